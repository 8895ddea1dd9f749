#include "tools/bench_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "rt/load.h"
#include "tools/common/failure.h"
#include "tools/common/flops.h"
#include "tools/common/kernel_options.h"
#include "tools/common/vulkan_loader.h"

namespace nbl::tools {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kTracedSteps = 8;

// Ids that are no stop tokens, the same for the same seed on every machine.
std::vector<uint32_t> random_tokens(const nibble::Engine& engine, size_t count, uint64_t seed) {
  const uint32_t vocab_size = engine.info().vocab_size;
  std::mt19937_64 random(seed);
  std::vector<uint32_t> tokens(count);
  for (uint32_t& token : tokens) {
    token = static_cast<uint32_t>(random() % vocab_size);
    for (uint32_t tries = 0; engine.is_stop_token(token) && tries < vocab_size; ++tries) {
      token = (token + 1) % vocab_size;
    }
  }
  return tokens;
}

void need_room(const nibble::Engine& engine, const std::string& test, uint64_t positions) {
  const uint32_t context = engine.info().context;
  if (positions > context) {
    throw Failure(fmt::format("{} needs {} positions, the context has {}: lower -d, -p or -n", test,
                              positions, context));
  }
}

// A generation begins with a token that is not timed.
void need_room(const nibble::Engine& engine, const TestResult& test) {
  if (test.tokens == 0) return;
  need_room(engine, test.name(), uint64_t{test.depth} + test.tokens + (test.prefill ? 0 : 1));
}

}  // namespace

nbl_config config_of(const BenchOptions& options, const MappedFile& model, bool timestamps) {
  nbl_config config = {};
  config.get_instance_proc_addr = load_vulkan();
  config.model = model.bytes().data();
  config.model_bytes = model.bytes().size();
  config.device = options.device + 1;
  if (options.floor) config.flags |= NBL_FLAG_FLOOR_KERNELS;
  if (options.float32) config.flags |= NBL_FLAG_FLOAT32;
  if (options.no_import) config.flags |= NBL_FLAG_NO_IMPORT;
  config.flags |= weight_flags(options.weights) | chain_flags(options.chain);
  if (timestamps) config.flags |= NBL_FLAG_TIMESTAMPS;
  config.context = options.context;
  config.prefill_chunk = options.prefill_chunk;
  config.max_burst = options.burst;
  return config;
}

BenchEngine::BenchEngine(const BenchOptions& options, const MappedFile& model, bool timestamps)
    : options_(options), file_(model), session_(config_of(options, model, timestamps)) {
  // All of them before the first one takes its time.
  for (const uint32_t depth : options.depth) {
    need_room(engine(), "the depth", uint64_t{depth} + 1);
    for (const uint32_t count : options.prompt)
      need_room(engine(), {.prefill = true, .tokens = count, .depth = depth});
    for (const uint32_t count : options.generate)
      need_room(engine(), {.tokens = count, .depth = depth});
  }
  go_to(options.depth.front());
}

void BenchEngine::go_to(uint32_t depth) {
  depth_ = depth;
  nbl_error error = {};
  check(engine().rewind(0, &error), error);
  if (depth > 0) evaluate(random_tokens(engine(), depth, options_.seed));
}

double BenchEngine::timed(const std::function<void()>& work) {
  if (meter_ != nullptr) meter_->start();
  const Clock::time_point start = Clock::now();
  work();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  if (meter_ != nullptr) meter_->stop();
  return seconds;
}

std::vector<Energy> BenchEngine::take_energy() {
  return meter_ == nullptr ? std::vector<Energy>() : meter_->take();
}

void BenchEngine::evaluate(const std::vector<uint32_t>& tokens) {
  nbl_error error = {};
  check(engine().evaluate(tokens, &error), error);
  uint32_t next = 0;
  check(engine().next_token(&next, &error), error);
}

void BenchEngine::rewind() {
  nbl_error error = {};
  check(engine().rewind(depth_, &error), error);
}

TestResult BenchEngine::prefill(uint32_t count) {
  TestResult result;
  result.prefill = true;
  result.tokens = count;
  result.depth = depth_;
  need_room(engine(), result);
  const std::vector<uint32_t> tokens = random_tokens(engine(), count, options_.seed + 1);
  for (uint32_t i = 0; i <= options_.repetitions; ++i) {
    rewind();
    const double seconds = timed([&] { evaluate(tokens); });
    if (i == 0) {
      take_energy();  // the first one warms up
    } else {
      result.seconds.push_back(seconds);
    }
  }
  result.energy = take_energy();
  return result;
}

// Generates tokens.size() of them, going on after stop tokens. Returns how often it had to.
uint32_t BenchEngine::generate_all(std::vector<uint32_t>& tokens) {
  nbl_error error = {};
  uint32_t calls = 0;
  for (size_t at = 0; at < tokens.size(); ++calls) {
    uint32_t count = 0;
    check(engine().generate(std::span(tokens).subspan(at), &count, &error), error);
    at += count;
  }
  return calls - 1;
}

TestResult BenchEngine::generate(uint32_t count) {
  TestResult result;
  result.tokens = count;
  result.depth = depth_;
  need_room(engine(), result);
  const std::vector<uint32_t> first = random_tokens(engine(), 1, options_.seed + 2);
  std::vector<uint32_t> tokens(count);
  for (uint32_t i = 0; i <= options_.repetitions; ++i) {
    rewind();
    evaluate(first);
    uint32_t stops = 0;
    const double seconds = timed([&] { stops = generate_all(tokens); });
    if (i == 0) {
      take_energy();
      continue;
    }
    result.seconds.push_back(seconds);
    result.stop_tokens += stops;
  }
  result.energy = take_energy();
  return result;
}

Sustained BenchEngine::sustain(double seconds, uint32_t count, const std::filesystem::path& sys) {
  need_room(engine(), "a sustained run", uint64_t{depth_} + 1 + count);
  const std::vector<uint32_t> first = random_tokens(engine(), 1, options_.seed + 2);
  std::vector<uint32_t> tokens(count);
  const auto run = [&] {
    rewind();
    evaluate(first);
    generate_all(tokens);
    return uint64_t{count} + 1;
  };
  run();  // warms up
  const Clock::time_point start = Clock::now();
  const SustainedWork work{
      .now_seconds = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); },
      .run = run,
      .temperatures = [&] { return read_temperatures(sys); }};
  Sustained result;
  timed([&] { result = tools::sustain(seconds, work); });
  result.energy = take_energy();
  return result;
}

bool BenchEngine::has_timestamps() {
  rewind();
  evaluate(random_tokens(engine(), 1, options_.seed));  // a decode step
  std::vector<nbl_timing> timings(engine().info().decode_dispatches);
  uint32_t count = 0;
  nbl_error error = {};
  const nbl_status status = engine().timings(false, timings, &count, &error);
  if (std::string_view(nbl_status_name(status)) == "no_timestamps") return false;
  check(status, error);
  return true;
}

bool BenchEngine::has_prefill() {
  return engine().info().prefill_dispatches > 0 && prefill_tokens() > 1;
}

uint32_t BenchEngine::prefill_tokens() {
  const nbl_info info = engine().info();
  return std::min(info.prefill_chunk, info.context - depth_);
}

// One step at the depth, or one position past it.
void BenchEngine::run_step(bool prefill) {
  rewind();
  evaluate(random_tokens(engine(), prefill ? prefill_tokens() : 1, options_.seed + 1));
  std::vector<uint32_t> generated(1);
  if (!prefill) generate_all(generated);
}

TimedPhase BenchEngine::kernels(bool prefill) {
  if (!prefill) need_room(engine(), "timing a decode step", uint64_t{depth_} + 2);
  TimedPhase phase;
  phase.name = prefill ? "prefill" : "decode";
  phase.tokens = prefill ? prefill_tokens() : 1;
  Model model;
  Error error;
  if (!load(file_.bytes(), &model, &error).ok()) throw Failure("the model file has changed");
  const uint32_t first = depth_ + (prefill ? 0 : 1);
  run_step(prefill);  // warms up
  for (uint32_t i = 0; i < options_.repetitions; ++i) {
    run_step(prefill);
    phase.steps.push_back(read_step(engine(), prefill));
    estimate_flops(model, phase.tokens, first, &phase.steps.back());
  }
  return phase;
}

void BenchEngine::trace(Trace* trace, uint64_t (*now_ns)()) {
  const bool prefill = has_prefill();
  const uint32_t context = engine().info().context;
  const uint32_t prompt = prefill ? std::min(prefill_tokens(), context - depth_ - 1) : 1;
  need_room(engine(), "a trace", uint64_t{depth_} + prompt + 1);
  const uint32_t steps = std::min(kTracedSteps, context - depth_ - prompt);
  const std::vector<uint32_t> tokens = random_tokens(engine(), prompt, options_.seed + 1);
  std::vector<uint32_t> next(1);

  const uint64_t warm_up_ns = now_ns();
  rewind();
  evaluate(tokens);
  generate_all(next);
  rewind();
  trace->add_call("warm-up", warm_up_ns, now_ns(), {{"tokens", prompt + 1}});

  // An evaluation of one token is a decode step.
  const auto call = [&](const char* name, bool in_prefill, uint32_t count, const auto& work) {
    const uint32_t position = engine().position();
    const uint64_t start_ns = now_ns();
    work();
    const uint64_t end_ns = now_ns();
    trace->add_call(name, start_ns, end_ns, {{"tokens", count}, {"position", position}});
    trace->add_step(in_prefill, count, position, read_step(engine(), in_prefill), end_ns);
  };
  call("evaluate", prompt > 1, prompt, [&] { evaluate(tokens); });
  for (uint32_t i = 0; i < steps; ++i)
    call("generate", false, 1, [&] { generate_all(next); });
}

}  // namespace nbl::tools
