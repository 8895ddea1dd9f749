#include "tools/run/generate.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "tools/common/failure.h"

namespace nbl::tools {

namespace {

// A generation call is meant to take about this long, so that text comes as it is made.
constexpr double kBurstSeconds = 0.1;

}  // namespace

volatile std::sig_atomic_t interrupted = 0;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void evaluate_prompt(nibble::Engine& engine, const Options& options,
                     std::span<const uint32_t> prompt, LogitsFile* logits) {
  nbl_error error = {};
  if (prompt.empty()) return;
  if (logits == nullptr) {
    check(engine.evaluate(prompt, &error), error);
    return;
  }
  // Only the rows of the last chunk can be read: one chunk at a time. A slide cuts chunks in two.
  const size_t chunk = options.on_full == "slide" ? 1 : engine.info().prefill_chunk;
  for (size_t at = 0; at < prompt.size(); at += chunk) {
    check(engine.evaluate(prompt.subspan(at, std::min(chunk, prompt.size() - at)), &error), error);
    logits->append();
  }
}

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
    statistics.stopped = output.stopped();
    if (statistics.stopped || statistics.generated == options.generate) return;
    if (engine.position() == context && options.on_full == "stop") {
      statistics.context_full = true;
      return;
    }
    uint32_t count = 0;
    check(engine.generate({&token, 1}, &count, &error), error);
    logits.append();
  }
}

void generate(nibble::Engine& engine, const Options& options, Output& output,
              Statistics& statistics) {
  nbl_error error = {};
  const nbl_info info = engine.info();
  std::vector<uint32_t> tokens(info.max_burst);
  uint32_t burst = 1;
  while (statistics.generated < options.generate && interrupted == 0) {
    if (engine.position() == info.context && options.on_full == "stop") {
      statistics.context_full = true;
      return;
    }
    const uint32_t limit = std::min(burst, options.generate - statistics.generated);
    uint32_t count = 0;
    const Clock::time_point start = Clock::now();
    const nbl_status status = engine.generate({tokens.data(), limit}, &count, &error);
    // What comes before the token whose logits are not finite is text still.
    if (std::string_view(nbl_status_name(status)) == "not_finite" && options.on_full != "slide" &&
        error.value > engine.position()) {
      burst = static_cast<uint32_t>(error.value - engine.position());
      continue;
    }
    check(status, error);
    const double seconds = seconds_since(start);
    statistics.generated += count;
    statistics.stopped = !options.ignore_stop && engine.is_stop_token(tokens[count - 1]);
    output.put({tokens.data(), statistics.stopped ? count - 1 : count});
    statistics.stopped |= output.stopped();
    if (statistics.stopped) return;
    if (seconds < kBurstSeconds / 2) burst = std::min(burst * 2, info.max_burst);
    if (seconds > kBurstSeconds * 2) burst = std::max(burst / 2, 1u);
  }
}

}  // namespace nbl::tools
