#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "compiler/error.h"
#include "compiler/inspect/inspect.h"
#include "rt/kernels/variants.h"

namespace nbl::compiler {
namespace {

constexpr double kKiB = 1024.0;
constexpr size_t kChartRows = 24;
constexpr size_t kChartColumns = 96;
constexpr size_t kArenaAlignBytes = 64;
constexpr std::string_view kLetters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
constexpr const char* kBlockRoleNames[kBlockRoleCount] = {"weights", "state", "activations", "io"};

void require_ok(const Status& status, const Error& error) {
  if (status.ok()) return;
  char sentence[256];
  describe(error, sentence, sizeof sentence);
  throw CompileError(sentence);
}

std::string_view name_of(const Model& model, const Value& value) {
  if (value.tensor < 0) return "scratch";
  return model.tensor(static_cast<uint32_t>(value.tensor)).name;
}

std::string memory_text(const Plan& plan) {
  std::string text = "\ndevice memory\n";
  uint64_t total = 0;
  for (uint32_t role = 0; role < kBlockRoleCount; ++role) {
    text += fmt::format("  {:12} {:14} bytes\n", kBlockRoleNames[role], plan.role_bytes[role]);
    total += plan.role_bytes[role];
  }
  text += fmt::format("  {:12} {:14} bytes in {} blocks\n", "total", total, plan.blocks.size());
  if (plan.imported_bytes != 0) {
    text +=
        fmt::format("  {:12} {:14} bytes where the file lies\n", "imported", plan.imported_bytes);
  }
  return text;
}

std::string dispatches_text(const Model& model, const Phase& phase) {
  std::string text;
  for (size_t i = 0; i < phase.dispatches.size(); ++i) {
    const Dispatch& dispatch = phase.dispatches[i];
    const KernelCall& call = dispatch.call;
    text += fmt::format("{:4} {} {:28} {:>16} {:10.1f} KiB  {}\n", i,
                        dispatch.barrier_before ? '|' : ' ', kVariants[call.variant].name,
                        fmt::format("{}x{}x{}", call.grid[0], call.grid[1], call.grid[2]),
                        static_cast<double>(dispatch.bytes) / kKiB, model.op(dispatch.op).name);
  }
  return text;
}

// A plan keeps a slot for every tensor; those that are no activation of the phase take no bytes.
std::vector<Value> placed_values(const Phase& phase) {
  std::vector<Value> placed;
  std::ranges::copy_if(phase.values, std::back_inserter(placed),
                       [](const Value& value) { return value.bytes != 0; });
  return placed;
}

std::string legend(const Model& model, const std::vector<Value>& values) {
  std::string text;
  for (size_t i = 0; i < values.size(); ++i) {
    const Value& value = values[i];
    text += fmt::format("  {} {:10} bytes at {:10}, dispatches {:4} to {:4}  {}\n",
                        kLetters[i % kLetters.size()], value.bytes, value.offset, value.first_use,
                        value.last_use, name_of(model, value));
  }
  return text;
}

std::string phase_text(const Model& model, const char* name, const Phase& phase) {
  std::string text = fmt::format(
      "\n{}: up to {} tokens, {} dispatches, {} barriers (|), {:.1f} KiB of weights read\n", name,
      phase.tokens, phase.dispatches.size(), phase.barrier_count,
      static_cast<double>(phase.weight_bytes) / kKiB);
  text += dispatches_text(model, phase);
  text += fmt::format("activations: {} bytes; never more than {} alive\n", phase.activation_bytes,
                      phase.lower_bound_bytes);
  const std::vector<Value> values = placed_values(phase);
  text += memory_chart(values, phase.activation_bytes, phase.dispatches.size());
  return text + legend(model, values);
}

nlohmann::json phase_json(const Model& model, const Phase& phase) {
  nlohmann::json json = {{"tokens", phase.tokens},
                         {"barriers", phase.barrier_count},
                         {"activation_bytes", phase.activation_bytes},
                         {"lower_bound_bytes", phase.lower_bound_bytes},
                         {"weight_bytes", phase.weight_bytes}};
  for (const Dispatch& dispatch : phase.dispatches) {
    json["dispatches"].push_back({{"kernel", kVariants[dispatch.call.variant].name},
                                  {"op", model.op(dispatch.op).name},
                                  {"grid", dispatch.call.grid},
                                  {"barrier_before", dispatch.barrier_before},
                                  {"bytes", dispatch.bytes}});
  }
  for (const Value& value : placed_values(phase)) {
    json["values"].push_back({{"name", name_of(model, value)},
                              {"bytes", value.bytes},
                              {"offset", value.offset},
                              {"first_use", value.first_use},
                              {"last_use", value.last_use}});
  }
  return json;
}

}  // namespace

OwnedPlan make_plan(const Model& model, const Caps& caps, const PlanOptions& options) {
  Error error;
  PlanCounts counts;
  Plan scratch;
  require_ok(count_plan(model, caps, options, &scratch, &counts, &error), error);
  OwnedPlan owned;
  owned.storage.resize(counts.host_bytes + kArenaAlignBytes);
  const auto address = reinterpret_cast<uintptr_t>(owned.storage.data());
  const size_t skip = align_up(address, uintptr_t{kArenaAlignBytes}) - address;
  Arena arena(std::span(owned.storage).subspan(skip));
  require_ok(plan(model, caps, options, &arena, &owned.plan, &error), error);
  return owned;
}

std::string memory_chart(std::span<const Value> values, uint64_t total_bytes,
                         size_t dispatch_count) {
  if (total_bytes == 0 || dispatch_count == 0) return {};
  const size_t columns = std::min(dispatch_count, kChartColumns);
  std::vector<std::string> rows(kChartRows, std::string(columns, '.'));
  for (size_t i = 0; i < values.size(); ++i) {
    const Value& value = values[i];
    if (value.bytes == 0 || value.first_use >= columns) continue;
    const size_t first_row = value.offset * kChartRows / total_bytes;
    const size_t last_row = (value.offset + value.bytes - 1) * kChartRows / total_bytes;
    const size_t last_column = std::min<size_t>(value.last_use, columns - 1);
    for (size_t row = first_row; row <= std::min(last_row, kChartRows - 1); ++row) {
      for (size_t column = value.first_use; column <= last_column; ++column) {
        rows[row][column] = kLetters[i % kLetters.size()];
      }
    }
  }
  std::string text;
  for (size_t row = 0; row < kChartRows; ++row) {
    text += fmt::format("{:12} {}\n", row * total_bytes / kChartRows, rows[row]);
  }
  if (columns < dispatch_count) {
    text += fmt::format("{:12} the first {} of {} dispatches\n", "", columns, dispatch_count);
  }
  return text;
}

std::string plan_text(const Model& model, const Plan& plan) {
  std::string text = fmt::format("\nplan for {}\n", plan.caps.name) + memory_text(plan);
  text += weights_text(model, plan);
  text += phase_text(model, "decode", plan.decode);
  if (!plan.prefill.dispatches.empty()) text += phase_text(model, "prefill", plan.prefill);
  return text;
}

nlohmann::json plan_json(const Model& model, const Plan& plan) {
  nlohmann::json json = {{"device", plan.caps.name},
                         {"decode", phase_json(model, plan.decode)},
                         {"kv_bytes", plan.kv_bytes},
                         {"imported_bytes", plan.imported_bytes},
                         {"weights", weights_json(model, plan)}};
  for (uint32_t role = 0; role < kBlockRoleCount; ++role) {
    json["memory"][kBlockRoleNames[role]] = plan.role_bytes[role];
  }
  if (!plan.prefill.dispatches.empty()) json["prefill"] = phase_json(model, plan.prefill);
  return json;
}

}  // namespace nbl::compiler
