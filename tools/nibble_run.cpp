// nibble-run: text in, text out, with a compiled model.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tools/common/cache_file.h"
#include "tools/common/engine_session.h"
#include "tools/common/failure.h"
#include "tools/common/kernel_options.h"
#include "tools/common/mapped_file.h"
#include "tools/common/text_output.h"
#include "tools/common/vulkan_loader.h"

namespace nbl::tools {
namespace {

using Clock = std::chrono::steady_clock;

// A generation call is meant to take about this long, so that text comes as it is made.
constexpr double kBurstSeconds = 0.1;
constexpr int kInterruptedExit = 130;  // as shells report SIGINT

volatile std::sig_atomic_t interrupted = 0;
extern "C" void on_interrupt(int) {
  interrupted = 1;
}

struct Options {
  std::string model;
  std::optional<std::string> prompt;
  std::string prompt_file;
  std::optional<std::string> tokens;
  uint32_t generate = 128;
  nbl_sampling sampling = {};
  int32_t device = -1;
  uint32_t context = 0;
  uint32_t prefill_chunk = 0;
  uint32_t burst = 0;
  bool floor = false;
  bool float32 = false;
  bool no_import = false;
  std::string weights = "auto";
  std::string chain = "auto";
  bool print_tokens = false;
  bool ignore_stop = false;
  bool no_echo = false;
  bool quiet = false;
  std::string logits;
  std::string cache;
};

struct Statistics {
  double load_seconds = 0;
  double prompt_seconds = 0;
  double decode_seconds = 0;
  uint32_t prompt_count = 0;
  uint32_t generated = 0;  // a stop token counts
  bool stopped = false;
  bool context_full = false;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void describe_options(CLI::App& app, Options& options) {
  app.add_option("-m,--model", options.model,
                 "Compiled model (.nbl); make one with nibblec compile")
      ->required();
  auto* prompt = app.add_option("-p,--prompt", options.prompt, "Text to continue");
  auto* file = app.add_option("-f,--file", options.prompt_file, "File with the text to continue");
  auto* tokens = app.add_option("--tokens", options.tokens,
                                "Token ids to continue, as 1,2,3; nothing is put in front");
  prompt->excludes(file)->excludes(tokens);
  file->excludes(tokens);
  app.add_option("-n,--count", options.generate, "Tokens to generate")->capture_default_str();
  app.add_option("--temp", options.sampling.temperature, "Temperature; 0 = the most likely token")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  app.add_option("--top-k", options.sampling.top_k, "Only among the K most likely; 0 = off")
      ->capture_default_str();
  app.add_option("--top-p", options.sampling.top_p,
                 "Only among the smallest set with probability P; 0 or 1 = off")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--seed", options.sampling.seed, "Same seed, same text")->capture_default_str();
  app.add_option("--device", options.device,
                 "Vulkan device, counted from 0; default: first that fits")
      ->check(CLI::Range(0, 1 << 16));
  app.add_option("--context", options.context, "Positions to make room for; default: the model's")
      ->check(CLI::Range(1u, ~0u));
  app.add_option("--prefill-chunk", options.prefill_chunk, "Prompt tokens a step takes")
      ->check(CLI::Range(1u, ~0u));
  app.add_option("--burst", options.burst, "Tokens made in one submit at most")
      ->check(CLI::Range(1u, ~0u));
  app.add_flag("--floor", options.floor, "Only kernels inside Vulkan 1.1's minimums");
  app.add_flag("--float32", options.float32,
               "No matrix kernels: their operands are rounded to f16");
  app.add_flag("--no-import", options.no_import,
               "Copy the weights even where they could be imported");
  add_weights_option(app, options.weights);
  add_chain_option(app, options.chain);
  app.add_flag("--print-tokens", options.print_tokens, "Print the generated ids instead of text");
  app.add_flag("--no-echo", options.no_echo,
               "Do not print the prompt in front of its continuation");
  app.add_flag("--ignore-stop", options.ignore_stop, "Go on after a stop token");
  app.add_option("--logits", options.logits,
                 "Write the logits of every evaluated position: float32, little-endian,\n"
                 "[prompt + generated - 1][vocabulary]");
  app.add_option("--cache", options.cache,
                 "Pipeline cache file: read when there, written otherwise");
  app.add_flag("-q,--quiet", options.quiet, "No statistics on standard error");
}

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

nbl_config make_config(const Options& options, const MappedFile& model, CacheFile* cache) {
  nbl_config config = {};
  config.get_instance_proc_addr = load_vulkan();
  config.model = model.bytes().data();
  config.model_bytes = model.bytes().size();
  config.device = options.device + 1;
  if (options.floor) config.flags |= NBL_FLAG_FLOOR_KERNELS;
  if (options.float32) config.flags |= NBL_FLAG_FLOAT32;
  if (options.no_import) config.flags |= NBL_FLAG_NO_IMPORT;
  config.flags |= weight_flags(options.weights) | chain_flags(options.chain);
  config.context = options.context;
  config.prefill_chunk = options.prefill_chunk;
  config.max_burst = options.burst;
  config.logits = options.logits.empty() ? NBL_LOGITS_NONE : NBL_LOGITS_ALL;
  if (cache != nullptr) {
    config.cache_load = &CacheFile::load;
    config.cache_store = &CacheFile::store;
    config.user = cache;
  }
  return config;
}

std::vector<uint32_t> make_prompt(const Options& options, EngineSession& session) {
  if (options.tokens) return parse_tokens(*options.tokens);
  if (session.engine().info().has_tokenizer == 0) {
    throw Failure("the model has no tokenizer: give token ids with --tokens");
  }
  std::vector<uint32_t> tokens =
      session.tokenize(options.prompt_file.empty() ? options.prompt.value_or("")
                                                   : read_text_file(options.prompt_file));
  if (tokens.empty()) {
    throw Failure("the prompt is empty and the model has no token to begin with: give -p TEXT");
  }
  return tokens;
}

// The rows of --logits, written as they come.
class LogitsFile {
 public:
  LogitsFile(const std::string& path, nibble::Engine& engine)
      : path_(path), engine_(engine), file_(std::fopen(path.c_str(), "wb"), &std::fclose) {
    if (file_ == nullptr) throw Failure("cannot write the logits to " + path);
    const nbl_info info = engine.info();
    rows_.resize(size_t{info.vocab_size} * info.prefill_chunk);
    vocab_size_ = info.vocab_size;
  }

  void append() {
    uint32_t rows = 0;
    nbl_error error = {};
    check(engine_.logits(rows_, &rows, &error), error);
    const size_t count = size_t{rows} * vocab_size_;
    if (std::fwrite(rows_.data(), sizeof(float), count, file_.get()) != count) fail();
  }
  void finish() {
    if (std::fclose(file_.release()) != 0) fail();
  }

 private:
  [[noreturn]] void fail() { throw Failure("cannot write the logits to " + path_); }

  std::string path_;
  nibble::Engine& engine_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  std::vector<float> rows_;
  uint32_t vocab_size_ = 0;
};

// Where generated tokens go: ids or text.
class Output {
 public:
  Output(const Options& options, EngineSession& session) {
    if (options.print_tokens || session.engine().info().has_tokenizer == 0) {
      ids_.emplace(stdout);
    } else {
      text_.emplace(session.engine(), stdout);
    }
  }
  void prompt(const std::vector<uint32_t>& tokens, bool echo) {
    if (!text_) return;
    echo ? text_->put(tokens) : text_->skip(tokens);
  }
  void put(std::span<const uint32_t> tokens) { ids_ ? ids_->put(tokens) : text_->put(tokens); }
  void finish() { ids_ ? ids_->finish() : text_->finish(); }

 private:
  std::optional<IdOutput> ids_;
  std::optional<TextOutput> text_;
};

void evaluate_prompt(nibble::Engine& engine, std::span<const uint32_t> prompt, LogitsFile* logits) {
  nbl_error error = {};
  if (logits == nullptr) {
    check(engine.evaluate(prompt, &error), error);
    return;
  }
  // Only the rows of the last chunk can be read: one chunk at a time.
  const size_t chunk = engine.info().prefill_chunk;
  for (size_t at = 0; at < prompt.size(); at += chunk) {
    check(engine.evaluate(prompt.subspan(at, std::min(chunk, prompt.size() - at)), &error), error);
    logits->append();
  }
}

// Token by token, each one evaluated only when another is to follow it.
void generate_with_logits(nibble::Engine& engine, const Options& options, LogitsFile& logits,
                          Output& output, Statistics& statistics) {
  nbl_error error = {};
  const uint32_t context = engine.info().context;
  while (statistics.generated < options.generate && interrupted == 0) {
    uint32_t token = 0;
    check(engine.next_token(&token, &error), error);
    ++statistics.generated;
    if (!options.ignore_stop && engine.is_stop_token(token)) {
      statistics.stopped = true;
      return;
    }
    output.put({&token, 1});
    if (statistics.generated == options.generate) return;
    if (engine.position() == context) {
      statistics.context_full = true;
      return;
    }
    uint32_t count = 0;
    check(engine.generate({&token, 1}, &count, &error), error);
    logits.append();
  }
}

// In bursts that grow until a call takes kBurstSeconds; their size does not change the tokens.
void generate(nibble::Engine& engine, const Options& options, Output& output,
              Statistics& statistics) {
  nbl_error error = {};
  const nbl_info info = engine.info();
  std::vector<uint32_t> tokens(info.max_burst);
  uint32_t burst = 1;
  while (statistics.generated < options.generate && interrupted == 0) {
    if (engine.position() == info.context) {
      statistics.context_full = true;
      return;
    }
    const uint32_t limit = std::min(burst, options.generate - statistics.generated);
    uint32_t count = 0;
    const Clock::time_point start = Clock::now();
    check(engine.generate({tokens.data(), limit}, &count, &error), error);
    const double seconds = seconds_since(start);
    statistics.generated += count;
    statistics.stopped = !options.ignore_stop && engine.is_stop_token(tokens[count - 1]);
    output.put({tokens.data(), statistics.stopped ? count - 1 : count});
    if (statistics.stopped) return;
    if (seconds < kBurstSeconds / 2) burst = std::min(burst * 2, info.max_burst);
    if (seconds > kBurstSeconds * 2) burst = std::max(burst / 2, 1u);
  }
}

void report(const Statistics& statistics, nibble::Engine& engine) {
  const auto rate = [](uint32_t count, double seconds) {
    return seconds > 0 ? count / seconds : 0;
  };
  const nbl_info info = engine.info();
  std::fputs(fmt::format("\ndevice         {}\nload           {:8.1f} ms\n"
                         "prompt         {:8} tokens, {:.1f} ms, {:.2f} tokens/s\n"
                         "generated      {:8} tokens, {:.1f} ms, {:.2f} tokens/s\n",
                         info.device_name, statistics.load_seconds * 1e3, statistics.prompt_count,
                         statistics.prompt_seconds * 1e3,
                         rate(statistics.prompt_count, statistics.prompt_seconds),
                         statistics.generated, statistics.decode_seconds * 1e3,
                         rate(statistics.generated, statistics.decode_seconds))
                 .c_str(),
             stderr);
  std::fputs(describe_memory(info).c_str(), stderr);
}

int run(const Options& options) {
  const Clock::time_point start = Clock::now();
  Statistics statistics;
  const MappedFile model(options.model);
  CacheFile cache(options.cache);
  EngineSession session(make_config(options, model, options.cache.empty() ? nullptr : &cache));
  nibble::Engine& engine = session.engine();
  statistics.load_seconds = seconds_since(start);

  nbl_error error = {};
  check(engine.set_sampling(options.sampling, &error), error);
  const std::vector<uint32_t> prompt = make_prompt(options, session);
  statistics.prompt_count = static_cast<uint32_t>(prompt.size());
  std::optional<LogitsFile> logits;
  if (!options.logits.empty()) logits.emplace(options.logits, engine);
  Output output(options, session);

  const Clock::time_point prompt_start = Clock::now();
  evaluate_prompt(engine, prompt, logits ? &*logits : nullptr);
  statistics.prompt_seconds = seconds_since(prompt_start);
  output.prompt(prompt, !options.no_echo);

  const Clock::time_point decode_start = Clock::now();
  if (logits) {
    generate_with_logits(engine, options, *logits, output, statistics);
    logits->finish();
  } else {
    generate(engine, options, output, statistics);
  }
  statistics.decode_seconds = seconds_since(decode_start);
  output.finish();
  if (statistics.context_full) {
    std::fprintf(stderr, "note: the context of %u positions is full after %u generated tokens\n",
                 engine.info().context, statistics.generated);
  }
  if (!options.quiet) report(statistics, engine);
  if (interrupted != 0) return kInterruptedExit;
  return statistics.generated > 0 || options.generate == 0 ? 0 : 1;
}

}  // namespace
}  // namespace nbl::tools

int main(int argc, char** argv) {
  nbl::tools::Options options;
  CLI::App app(
      "Continues a text with a model that nibblec compiled.\n\n"
      "  nibble-run -m stories.nbl -p \"Once upon a time\" -n 200 --temp 0.8 --seed 7");
  nbl::tools::describe_options(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    std::fprintf(stderr, "nibble-run: %s\n", error.what());
    return 1;
  }
  struct sigaction action = {};
  action.sa_handler = nbl::tools::on_interrupt;
  action.sa_flags = SA_RESETHAND;  // the second Ctrl-C ends at once
  sigaction(SIGINT, &action, nullptr);
  try {
    return nbl::tools::run(options);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "nibble-run: %s\n", failure.what());
    return 1;
  }
}
