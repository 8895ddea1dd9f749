#include "compiler/board/fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "compiler/error.h"
#include "compiler/inspect/inspect.h"
#include "rt/kernels/variants.h"
#include "tools/common/flops.h"

namespace nbl::compiler {
namespace {

constexpr uint32_t kMostBurst = 32;
constexpr double kMiB = 1024.0 * 1024.0;

double mib(uint64_t bytes) {
  return static_cast<double>(bytes) / kMiB;
}

struct StepTime {
  double ms = 0;
  double longest_ms = 0;
  std::string longest;
};

StepTime estimate(const Model& model, const Phase& phase, const Board& board, uint32_t first) {
  const uint32_t tokens = std::max(1u, phase.tokens);
  tools::TimedStep step;
  for (const Dispatch& dispatch : phase.dispatches) {
    const Op op = model.op(dispatch.op);
    const uint32_t positions = std::min(first + tokens, dispatch.most_positions);
    tools::TimedDispatch d;
    d.kernel = kVariants[dispatch.call.variant].name;
    d.node = op.name;
    d.op = kOpKindNames[static_cast<size_t>(op.kind)];
    d.bytes = dispatch.bytes + dispatch.bytes_per_position * positions;
    step.push_back(std::move(d));
  }
  tools::estimate_flops(model, tokens, first, &step);
  const double bytes_per_ms = board.speed.dram_gb_per_s * board.speed.decode_share * 1e6;
  const double flops_per_ms = board.speed.prefill_gflops * 1e6;
  StepTime time;
  for (const tools::TimedDispatch& d : step) {
    const double ms = std::max(static_cast<double>(d.bytes) / bytes_per_ms,
                               static_cast<double>(d.flops) / flops_per_ms) +
                      board.speed.dispatch_us / 1000;
    time.ms += ms;
    if (ms <= time.longest_ms) continue;
    time.longest_ms = ms;
    time.longest = d.node;
  }
  return time;
}

PlanOptions plan_options(const Board& board, uint32_t context, uint32_t chunk, LogitsMode logits) {
  PlanOptions options;
  options.context = context;
  options.prefill_chunk = chunk;
  options.logits = logits;
  options.float32 = board.kernels.float32;
  options.floor_kernels = board.kernels.floor;
  if (board.kernels.weights == "texture") options.weights = WeightMemory::images;
  if (board.kernels.weights == "buffer") options.weights = WeightMemory::buffers;
  return options;
}

// What a submit or a dispatch may be estimated to take; infinite without a watchdog.
double most_ms(const Board& board) {
  return board.watchdog.ms == 0 ? 1e30 : board.watchdog.ms / 2.0;
}

void fill_times(const Model& model, const Plan& plan, const Board& board, Fit* fit) {
  const uint32_t last = plan.options.context - 1;
  const StepTime start = estimate(model, plan.decode, board, 0);
  const StepTime end = estimate(model, plan.decode, board, last);
  fit->decode_ms[0] = start.ms;
  fit->decode_ms[1] = end.ms;
  StepTime prefill = end;
  if (!plan.prefill.dispatches.empty()) {
    const uint32_t chunk = plan.options.prefill_chunk;
    prefill = estimate(model, plan.prefill, board, plan.options.context - chunk);
  }
  fit->prefill_ms = prefill.ms;
  const StepTime& longer = prefill.longest_ms > end.longest_ms ? prefill : end;
  fit->longest_ms = longer.longest_ms;
  fit->longest = longer.longest;
}

void fill_plan(const Model& model, const Plan& plan, const Board& board, Fit* fit) {
  fit->planned = true;
  fit->device_bytes = 0;
  for (uint32_t role = 0; role < kBlockRoleCount; ++role) {
    fit->role_bytes[role] = plan.role_bytes[role];
    fit->device_bytes += plan.role_bytes[role];
  }
  std::set<uint32_t> windowed;
  for (size_t i = 1; i < plan.decode.dispatches.size(); ++i) {
    const Dispatch& before = plan.decode.dispatches[i - 1];
    const Dispatch& dispatch = plan.decode.dispatches[i];
    const bool product = is_linear(model.op(dispatch.op).kind);
    if (product && before.op == dispatch.op && before.call.variant == dispatch.call.variant) {
      windowed.insert(dispatch.op);
    }
  }
  fit->windowed_weights = static_cast<uint32_t>(windowed.size());
  fit->context = plan.options.context;
  fit->prefill_chunk = plan.options.prefill_chunk;
  fill_times(model, plan, board, fit);
}

// Plans once; false, with the runtime's sentence as a problem, where there is no plan.
bool try_plan(const Model& model, const Board& board, const FitRequest& request, uint32_t chunk,
              Fit* fit) {
  try {
    const OwnedPlan owned =
        make_plan(model, board.caps, plan_options(board, request.context, chunk, request.logits));
    fill_plan(model, owned.plan, board, fit);
    return true;
  } catch (const CompileError& error) {
    fit->problems.push_back(error.what());
    return false;
  }
}

bool submit_is_too_long(const Fit& fit, const Board& board) {
  const double ms = board.watchdog.of_submit ? fit.prefill_ms : fit.longest_ms;
  return ms > most_ms(board);
}

void check_watchdog(const Board& board, Fit* fit) {
  if (board.watchdog.ms == 0) return;
  const double step = fit->decode_ms[1];
  if (board.watchdog.of_submit && step > most_ms(board)) {
    fit->problems.push_back(
        fmt::format("a decode step is estimated at {:.0f} ms, and the watchdog ends a submit after "
                    "{} ms (half of it is kept free)",
                    step, board.watchdog.ms));
  }
  if (!submit_is_too_long(*fit, board)) return;
  fit->problems.push_back(
      board.watchdog.of_submit
          ? fmt::format("a prefill step of {} tokens is estimated at {:.0f} ms, and the watchdog "
                        "ends a submit after {} ms (half of it is kept free)",
                        fit->prefill_chunk, fit->prefill_ms, board.watchdog.ms)
          : fmt::format("the dispatch of {} is estimated at {:.0f} ms, and the watchdog ends one "
                        "after {} ms (half of it is kept free)",
                        fit->longest, fit->longest_ms, board.watchdog.ms));
}

uint32_t burst_within(const Fit& fit, const Board& board) {
  if (!board.watchdog.of_submit) return kMostBurst;
  uint32_t burst = kMostBurst;
  while (burst > 1 && burst * fit.decode_ms[1] > most_ms(board))
    burst /= 2;
  return burst;
}

// The largest context, halved from the present one, with which the board's memory is enough.
void suggest_context(const Model& model, const Board& board, const FitRequest& request, Fit* fit) {
  for (uint32_t context = fit->context / 2; context >= 64; context /= 2) {
    FitRequest smaller = request;
    smaller.context = context;
    Fit other;
    if (!try_plan(model, board, smaller, std::min(fit->prefill_chunk, context), &other)) continue;
    if (other.device_bytes > board.budget.device_memory_bytes) continue;
    fit->remedies.push_back(
        fmt::format("--context {} comes to {:.0f} MiB", context, mib(other.device_bytes)));
    return;
  }
}

void suggest_smaller_weights(const Model& model, uint64_t over, Fit* fit) {
  uint64_t eight = 0, scales = 0, four = 0;
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    const Tensor t = model.tensor(i);
    if (t.role != Role::weight) continue;
    const bool matrix = t.dtype == DType::q4 || t.dtype == DType::q8;
    if (t.dtype == DType::q8) eight += model.segment(static_cast<uint32_t>(t.data)).size;
    if (t.dtype == DType::q4) four += model.segment(static_cast<uint32_t>(t.data)).size;
    if (matrix && t.scales >= 0 && t.group_size < 128) {
      const uint64_t bytes = model.segment(static_cast<uint32_t>(t.scales)).size;
      scales += bytes - bytes * t.group_size / 128;
    }
  }
  const auto suggest = [&](const char* option, uint64_t saved) {
    if (saved == 0) return;
    fit->remedies.push_back(fmt::format("{} saves about {:.0f} MiB{}", option, mib(saved),
                                        saved >= over ? ", which is enough" : ""));
  };
  suggest("--head-bits 4, and no --keep of 8 bits,", eight / 2);
  suggest("--group-size 128", scales);
  if (eight + four > 0 && over > eight / 2 + scales + fit->role_bytes[1]) {
    fit->remedies.push_back(fmt::format(
        "weights alone take {:.0f} MiB: a model with fewer parameters", mib(fit->role_bytes[0])));
  }
}

// Halving what a cache entry takes halves the state, but for the scales of i8.
void suggest_cache(const Model& model, uint64_t over, Fit* fit) {
  uint64_t saved = 0;
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    const Tensor t = model.tensor(i);
    if (t.role != Role::state || t.dtype == DType::i8) continue;
    const uint64_t entries = uint64_t{t.shape[0]} * fit->context * t.shape[2];
    const uint64_t wide = t.dtype == DType::f32 ? 4 : 2;
    saved += entries * (wide - 1) - entries / t.shape[2] * 4;
  }
  if (saved == 0) return;
  fit->remedies.push_back(fmt::format("--cache i8 saves about {:.0f} MiB{}", mib(saved),
                                      saved >= over ? ", which is enough" : ""));
}

void check_memory(const Model& model, const Board& board, const FitRequest& request, Fit* fit) {
  const uint64_t limit = board.budget.device_memory_bytes;
  if (fit->device_bytes <= limit) return;
  const uint64_t over = fit->device_bytes - limit;
  fit->problems.push_back(
      fmt::format("device memory: {:.0f} MiB (weights {:.0f}, caches and state {:.0f}, "
                  "activations {:.0f}), the board's budget is {:.0f} MiB",
                  mib(fit->device_bytes), mib(fit->role_bytes[0]), mib(fit->role_bytes[1]),
                  mib(fit->role_bytes[2]), mib(limit)));
  suggest_context(model, board, request, fit);
  suggest_cache(model, over, fit);
  suggest_smaller_weights(model, over, fit);
}

void check_arena(const Model& model, const Board& board, const FitRequest& request, Fit* fit) {
  EngineSizes sizes = sizes_of(*fit);
  sizes.logits = static_cast<uint32_t>(request.logits);
  fit->host_bytes = memory_on(model, board, sizes).host_bytes;
  if (fit->host_bytes <= board.budget.host_arena_bytes) return;
  fit->problems.push_back(
      fmt::format("host memory: an arena of {:.1f} MiB, the board's budget is {:.1f} MiB",
                  mib(fit->host_bytes), mib(board.budget.host_arena_bytes)));
}

}  // namespace

EngineSizes sizes_of(const Fit& fit) {
  return {fit.context, fit.prefill_chunk, fit.max_burst};
}

Fit check_fit(const Model& model, const Board& board, const FitRequest& request) {
  Fit fit;
  if (!try_plan(model, board, request, request.prefill_chunk, &fit)) return fit;
  uint32_t chunk = fit.prefill_chunk;
  while (request.prefill_chunk == 0 && chunk > 1 && submit_is_too_long(fit, board)) {
    chunk /= 2;
    if (!try_plan(model, board, request, chunk, &fit)) return fit;
  }
  fit.max_burst = burst_within(fit, board);
  check_arena(model, board, request, &fit);
  check_memory(model, board, request, &fit);
  check_watchdog(board, &fit);
  return fit;
}

}  // namespace nbl::compiler
