// demo-accuracy: how many of the held-out turns a model answers exactly: with its weights as
// stored, in float32 on the CPU, and compiled to 4 bits, on the Vulkan device.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <vector>

#include "compiler/compile.h"
#include "compiler/eval/reference.h"
#include "compiler/import/checkpoint.h"
#include "tools/common/engine_session.h"
#include "tools/common/failure.h"
#include "tools/common/mapped_file.h"
#include "tools/common/vulkan_loader.h"

namespace nbl::demo {
namespace {

constexpr uint32_t kSpareTokens = 16;  // more than the right answer has

struct Options {
  std::filesystem::path checkpoint, turns;
  double least_percent = 0;
  double within_points = 100;
  bool show_misses = false;
};

struct Turn {
  std::string said, want;
  std::vector<uint32_t> prompt, answer;  // the answer's last token is the stop token
};

std::string prompt_text(const std::string& state, const std::string& said) {
  const std::string system =
      state.empty() ? "" : "<|im_start|>system\n" + state + "<|im_end|>\n";
  return system + "<|im_start|>user\n" + said + "<|im_end|>\n<|im_start|>assistant\n";
}

// Lines of state, TAB, what is said, TAB, the answer.
std::vector<Turn> read_turns(const std::filesystem::path& path, tools::EngineSession* session) {
  std::ifstream in(path);
  if (!in) throw tools::Failure(fmt::format("cannot read {}", path.string()));
  std::vector<Turn> turns;
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find('\t'), second = line.find('\t', first + 1);
    if (second == std::string::npos) {
      throw tools::Failure(fmt::format("{} line {} is not state, TAB, what is said, TAB, answer",
                                       path.string(), turns.size() + 1));
    }
    Turn turn;
    turn.said = line.substr(first + 1, second - first - 1);
    turn.want = line.substr(second + 1);
    turn.prompt =
        session->tokenize(prompt_text(line.substr(0, first), turn.said), NBL_TOKENIZE_SPECIAL);
    turn.answer = session->tokenize(turn.want + "<|im_end|>", NBL_TOKENIZE_SPECIAL);
    turns.push_back(std::move(turn));
  }
  if (turns.empty()) throw tools::Failure(fmt::format("{} has no turns", path.string()));
  return turns;
}

// True where the most likely token after each of them is the next: what greedy decoding would give.
bool answers_as_stored(compiler::Reference* model, const Turn& turn, uint32_t vocab) {
  std::vector<uint32_t> tokens = turn.prompt;
  tokens.insert(tokens.end(), turn.answer.begin(), turn.answer.end() - 1);
  const std::vector<float> logits = model->logits(tokens);
  for (size_t i = 0; i < turn.answer.size(); ++i) {
    const auto row = logits.begin() + static_cast<ptrdiff_t>((turn.prompt.size() - 1 + i) * vocab);
    if (std::max_element(row, row + vocab) - row != turn.answer[i]) return false;
  }
  return true;
}

size_t count_as_stored(const compiler::Checkpoint& checkpoint, const std::vector<Turn>& turns) {
  constexpr size_t kParts = 2;
  std::vector<std::future<size_t>> parts;
  for (size_t part = 0; part < kParts; ++part) {
    parts.push_back(std::async(std::launch::async, [&, part] {
      compiler::Reference model(checkpoint, 0);
      size_t right = 0;
      for (size_t i = part; i < turns.size(); i += kParts)
        right += answers_as_stored(&model, turns[i], checkpoint.hyper.vocab) ? 1 : 0;
      return right;
    }));
  }
  size_t right = 0;
  for (auto& part : parts)
    right += part.get();
  return right;
}

size_t count_on_device(nibble::Engine& engine, const std::vector<Turn>& turns, bool show_misses) {
  nbl_error error = {};
  size_t right = 0;
  for (const Turn& turn : turns) {
    std::vector<uint32_t> got(turn.answer.size() + kSpareTokens);
    const uint32_t most = engine.info().max_burst;
    tools::check(engine.rewind(0, &error), error);
    tools::check(engine.evaluate(turn.prompt, &error), error);
    uint32_t count = 0;
    while (count < got.size() && (count == 0 || !engine.is_stop_token(got[count - 1]))) {
      uint32_t more = 0;
      const size_t limit = std::min<size_t>(most, got.size() - count);
      tools::check(engine.generate({got.data() + count, limit}, &more, &error), error);
      count += more;
    }
    got.resize(count);
    const bool exact = got == turn.answer;
    right += exact ? 1 : 0;
    if (!exact && show_misses) fmt::print("  missed: {} (wanted {})\n", turn.said, turn.want);
  }
  return right;
}

int run(const Options& options) {
  const std::filesystem::path compiled =
      std::filesystem::temp_directory_path() / fmt::format("demo-accuracy-{}.nbl", getpid());
  compiler::compile({.input = options.checkpoint, .output = compiled});
  const tools::MappedFile model(compiled.string());
  std::filesystem::remove(compiled);
  nbl_config config = {};
  config.get_instance_proc_addr = tools::load_vulkan();
  config.model = model.bytes().data();
  config.model_bytes = model.bytes().size();
  tools::EngineSession session(config);
  const std::vector<Turn> turns = read_turns(options.turns, &session);
  const auto percent = [&](size_t right) {
    return 100 * static_cast<double>(right) / static_cast<double>(turns.size());
  };
  const size_t device = count_on_device(session.engine(), turns, options.show_misses);
  fmt::print("4 bits on {}: {} of {} answers exact, {:.1f} %\n", session.engine().info().device_name,
             device, turns.size(), percent(device));
  std::fflush(stdout);
  const compiler::Checkpoint checkpoint = compiler::import_checkpoint(options.checkpoint, {});
  const size_t stored = count_as_stored(checkpoint, turns);
  fmt::print("weights as stored, float32: {} of {}, {:.1f} %\n", stored, turns.size(),
             percent(stored));
  return percent(stored) >= options.least_percent &&
                 percent(device) >= percent(stored) - options.within_points
             ? 0
             : 1;
}

}  // namespace
}  // namespace nbl::demo

int main(int argc, char** argv) {
  nbl::demo::Options options;
  CLI::App app("Counts the held-out turns that a model answers exactly.");
  app.add_option("checkpoint", options.checkpoint, "Model folder or GGUF file")->required();
  app.add_option("turns", options.turns, "Lines of state, TAB, what is said, TAB, answer")
      ->required();
  app.add_option("--least", options.least_percent, "Fail below this percentage in float32");
  app.add_option("--within", options.within_points, "Fail if 4 bits cost more points than this");
  app.add_flag("--misses", options.show_misses, "Print the turns that 4 bits answer otherwise");
  CLI11_PARSE(app, argc, argv);
  try {
    return nbl::demo::run(options);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "demo-accuracy: %s\n", failure.what());
    return 1;
  }
}
