// nibble-run: text in, text out, with a compiled model.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "tools/common/cache_file.h"
#include "tools/common/engine_session.h"
#include "tools/common/failure.h"
#include "tools/common/mapped_file.h"
#include "tools/run/chat.h"
#include "tools/run/context.h"
#include "tools/run/generate.h"
#include "tools/run/logits_file.h"
#include "tools/run/options.h"
#include "tools/run/output.h"

namespace nbl::tools {
namespace {

extern "C" void on_interrupt(int) {
  interrupted = 1;
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

  set_sampling(engine, options.sampling, options.more_sampling);
  if (options.chat) {
    const int status = run_chat(options, session, &statistics);
    if (!options.quiet) report(statistics, engine);
    return status;
  }
  std::optional<OutputFile> state_file;
  if (!options.save_state.empty()) state_file.emplace("the state", options.save_state);
  const std::vector<uint32_t> prompt = begin_sequence(options, session);
  statistics.prompt_count = static_cast<uint32_t>(prompt.size());
  std::optional<LogitsFile> logits;
  if (!options.logits.empty()) logits.emplace(options.logits, engine);
  Output output(options, session);

  const Clock::time_point prompt_start = Clock::now();
  evaluate_prompt(engine, options, prompt, logits ? &*logits : nullptr);
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
  if (state_file) save_state(session, &*state_file);
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
      "  nibble-run -m stories.nbl -p \"Once upon a time\" -n 200 --temp 0.8 --seed 7\n"
      "  nibble-run -m qwen3.nbl --chat --system \"Answer briefly.\" --temp 0.7");
  nbl::tools::describe_options(app, options);
  try {
    app.parse(argc, argv);
    for (const char* name : {"--temp", "--top-k", "--top-p", "--seed"})
      options.samples |= app.count(name) > 0;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    std::fprintf(stderr, "nibble-run: %s\n", error.what());
    return 1;
  }
  if (options.chat && app.count("--count") == 0) options.generate = ~0u;
  struct sigaction action = {};
  action.sa_handler = nbl::tools::on_interrupt;
  // The second Ctrl-C ends at once, but for a chat, which decides itself.
  if (!options.chat) action.sa_flags = SA_RESETHAND;
  sigaction(SIGINT, &action, nullptr);
  try {
    return nbl::tools::run(options);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "nibble-run: %s\n", failure.what());
    return 1;
  }
}
