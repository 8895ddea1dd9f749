// nibblec prefix: the one command that runs a model, through the public API like any application.
#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <iterator>

#include "compiler/commands.h"
#include "compiler/emit/prefix.h"
#include "compiler/error.h"
#include "compiler/open_model.h"
#include "tools/common/engine_session.h"
#include "tools/common/failure.h"
#include "tools/common/vulkan_loader.h"

namespace nbl::compiler {
namespace {

std::string text_of(const PrefixOptions& options) {
  if (options.file.empty()) return options.text;
  std::ifstream file(options.file, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<uint32_t> listed(const std::string& text) {
  std::vector<uint32_t> tokens;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    const auto [next, error] = std::from_chars(at, end, tokens.emplace_back());
    if (error != std::errc() || (next != end && (*next != ',' || next + 1 == end))) {
      throw CompileError(
          "--tokens takes ids separated by commas, such as 1,2,3; this is not one: " + text);
    }
    at = next == end ? end : next + 1;
  }
  return tokens;
}

// What the caches hold after the tokens. A saved state of nothing is its header alone; otherwise
// the tokens lie behind it.
std::vector<std::byte> rows_after(std::span<const uint32_t> tokens, nibble::Engine* engine) {
  nbl_error error = {};
  tools::check(engine->rewind(0, &error), error);
  const size_t header = engine->state_bytes();
  tools::check(engine->evaluate(tokens, &error), error);
  std::vector<std::byte> state(engine->state_bytes());
  size_t bytes = 0;
  tools::check(engine->save_state(state, &bytes, &error), error);
  const size_t front = header + tokens.size_bytes();
  state.erase(state.begin(), state.begin() + static_cast<std::ptrdiff_t>(front));
  return state;
}

}  // namespace

void run_prefix(const PrefixOptions& options) {
  const MappedFile file(options.input);
  const Model model = open_model(file);
  nbl_config config = {};
  config.get_instance_proc_addr = tools::load_vulkan();
  config.model = file.bytes().data();
  config.model_bytes = file.bytes().size();
  config.device = options.device + 1;
  tools::EngineSession session(config);
  PrefixData prefix;
  if (options.tokens.empty()) {
    if (session.engine().info().has_tokenizer == 0) {
      throw CompileError("the model has no tokenizer: give token ids with --tokens");
    }
    prefix.text = text_of(options);
    prefix.tokens = session.tokenize(
        prefix.text, NBL_TOKENIZE_BOS | (options.special ? uint32_t{NBL_TOKENIZE_SPECIAL} : 0));
  } else {
    prefix.tokens = listed(options.tokens);
  }
  if (prefix.tokens.empty()) throw CompileError("the prefix is empty: give --text or --file");
  prefix.rows = rows_after(prefix.tokens, &session.engine());
  if (prefix.rows.empty()) throw CompileError("the model has no caches that a prefix could fill");
  write_with_prefix(model, prefix, options.output);
  fmt::print("{}: starts after {} tokens, {:.1f} KiB of caches ({})\n", options.output.string(),
             prefix.tokens.size(), static_cast<double>(prefix.rows.size()) / 1024,
             session.engine().info().device_name);
}

}  // namespace nbl::compiler
