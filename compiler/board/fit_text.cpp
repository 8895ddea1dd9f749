#include <fmt/format.h>

#include "compiler/board/fit.h"

namespace nbl::compiler {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr const char* kRoles[kBlockRoleCount] = {"weights", "caches and state", "activations",
                                                 "input and output"};

double per_second(double tokens, double ms) {
  return ms > 0 ? 1000 * tokens / ms : 0;
}

std::string watchdog_text(const Watchdog& watchdog) {
  if (watchdog.ms == 0) return "none known";
  return fmt::format("{} ms a {}", watchdog.ms, watchdog.of_submit ? "submit" : "dispatch");
}

}  // namespace

std::string fit_text(const Fit& fit, const Board& board) {
  std::string out = fmt::format("board {}: {}\n", board.name, board.device);
  const auto row = [&](std::string_view name, const std::string& value) {
    out += fmt::format("  {:<18} {}\n", name, value);
  };
  if (fit.planned) {
    row("host arena",
        fmt::format("{:.1f} MiB of {:.0f}", static_cast<double>(fit.host_bytes) / kMiB,
                    static_cast<double>(board.budget.host_arena_bytes) / kMiB));
    row("device memory",
        fmt::format("{:.1f} MiB of {:.0f}", static_cast<double>(fit.device_bytes) / kMiB,
                    static_cast<double>(board.budget.device_memory_bytes) / kMiB));
    for (uint32_t role = 0; role < kBlockRoleCount; ++role) {
      row(fmt::format("  {}", kRoles[role]),
          fmt::format("{:.1f} MiB", static_cast<double>(fit.role_bytes[role]) / kMiB));
    }
    row("decode",
        fmt::format("about {:.1f} tokens/s, {:.1f} with {} positions",
                    per_second(1, fit.decode_ms[0]), per_second(1, fit.decode_ms[1]), fit.context));
    row("prefill", fmt::format("about {:.0f} tokens/s, {} at a time",
                               per_second(fit.prefill_chunk, fit.prefill_ms), fit.prefill_chunk));
    row("longest dispatch", fmt::format("about {:.1f} ms ({})", fit.longest_ms, fit.longest));
    row("watchdog", watchdog_text(board.watchdog));
    row("burst", fmt::format("{} tokens a submit at most", fit.max_burst));
    if (fit.windowed_weights > 0) {
      row("bindings", fmt::format("{} weights are read in windows", fit.windowed_weights));
    }
  }
  for (const std::string& problem : fit.problems)
    out += fmt::format("  does not fit: {}\n", problem);
  for (const std::string& remedy : fit.remedies)
    out += fmt::format("  would help: {}\n", remedy);
  if (fit.problems.empty()) out += "  fits; speeds are estimates from the board's facts\n";
  return out;
}

nlohmann::json fit_json(const Fit& fit, const Board& board) {
  nlohmann::json json = {{"board", board.name},
                         {"fits", fit.problems.empty()},
                         {"problems", fit.problems},
                         {"remedies", fit.remedies}};
  if (!fit.planned) return json;
  json["host_bytes"] = fit.host_bytes;
  json["device_bytes"] = fit.device_bytes;
  json["budget_bytes"] = board.budget.device_memory_bytes;
  json["context"] = fit.context;
  json["prefill_chunk"] = fit.prefill_chunk;
  json["max_burst"] = fit.max_burst;
  json["decode_tokens_per_s"] = {per_second(1, fit.decode_ms[0]), per_second(1, fit.decode_ms[1])};
  json["prefill_tokens_per_s"] = per_second(fit.prefill_chunk, fit.prefill_ms);
  json["longest_dispatch_ms"] = fit.longest_ms;
  return json;
}

}  // namespace nbl::compiler
