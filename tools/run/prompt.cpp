#include "tools/run/prompt.h"

#include <charconv>

#include "tools/common/failure.h"
#include "tools/common/mapped_file.h"

namespace nbl::tools {

namespace {

std::vector<uint32_t> parse_tokens(const std::string& text) {
  std::vector<uint32_t> tokens;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    uint32_t token = 0;
    const auto [next, error] = std::from_chars(at, end, token);
    if (error != std::errc() || (next != end && *next != ',')) {
      throw Failure("--tokens takes ids separated by commas, such as 1,2,3; this is not one: " +
                    text);
    }
    tokens.push_back(token);
    if (next == end) return tokens;
    at = next + 1;
  }
}

}  // namespace

std::vector<uint32_t> make_prompt(const Options& options, EngineSession& session, bool begins) {
  if (options.tokens) return parse_tokens(*options.tokens);
  if (session.engine().info().has_tokenizer == 0) {
    throw Failure("the model has no tokenizer: give token ids with --tokens");
  }
  const uint32_t flags = (begins ? uint32_t{NBL_TOKENIZE_BOS} : 0) |
                         (options.special ? uint32_t{NBL_TOKENIZE_SPECIAL} : 0);
  std::vector<uint32_t> tokens =
      session.tokenize(options.prompt_file.empty() ? options.prompt.value_or("")
                                                   : read_text_file(options.prompt_file),
                       flags);
  if (tokens.empty()) {
    throw Failure("the prompt is empty and the model has no token to begin with: give -p TEXT");
  }
  return tokens;
}

}  // namespace nbl::tools
