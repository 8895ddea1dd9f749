#include "compiler/passes/passes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "compiler/error.h"

namespace nbl::compiler {
namespace {

constexpr Pass kPasses[] = {
    {"tie_weights", "store equal weights once", false, tie_weights},
    {"lower_elementwise", "add, silu and swiglu for the functions they are", true,
     lower_elementwise},
    {"fuse_qkv", "one linear for q, k and v; rope with the cache write", true, fuse_qkv},
    {"fuse_gate_up", "one linear for gate and up, with swiglu or geglu", true, fuse_gate_up},
    {"fuse_residual", "the residual add in the linear before it", true, fuse_residual},
    {"fuse_norm", "the norm in the linears behind it", true, fuse_norm},
};

void require_well_formed(const Graph& graph, const char* after) {
  const std::string wrong = verify(graph);
  if (!wrong.empty()) {
    throw CompileError(fmt::format("the graph is malformed after {}: {}", after, wrong));
  }
}

}  // namespace

std::span<const Pass> all_passes() {
  return kPasses;
}

void run_passes(Graph* graph, const PassOptions& options) {
  for (const std::string& name : options.disabled) {
    const auto is_named = [&](const Pass& pass) { return name == pass.name; };
    if (std::ranges::none_of(kPasses, is_named)) {
      std::vector<std::string> names;
      for (const Pass& pass : kPasses)
        names.emplace_back(pass.name);
      throw CompileError(
          fmt::format("there is no pass {}; there are {}", name, fmt::join(names, ", ")));
    }
  }
  require_well_formed(*graph, "building it");
  keep_bits(graph, options.head_bits, options.keep);
  require_well_formed(*graph, "keeping bits");
  if (options.activations == Activations::int8) quantize_activations(graph);
  for (const Pass& pass : kPasses) {
    const bool disabled = std::ranges::count(options.disabled, pass.name) > 0;
    if (disabled || (pass.fusion && !options.fuse)) continue;
    pass.run(graph);
    tidy(graph);
    require_well_formed(*graph, pass.name);
  }
  choose_layouts(graph, options.embedding_layout);
  tidy(graph);
  require_well_formed(*graph, "choosing layouts");
}

bool is_plain_linear(const Graph& graph, int32_t op) {
  return op >= 0 && is_plain_linear(graph, graph.ops[static_cast<size_t>(op)]);
}

bool is_plain_linear(const Graph& graph, const GraphOp& linear) {
  if (!is_linear(linear.kind) || linear.swiglu || linear.last_row) return false;
  for (size_t slot = 2; slot < linear.inputs.size(); ++slot) {
    if (linear.inputs[slot] != kAbsent) return false;
  }
  return graph.tensor(linear.inputs[1]).constant->is_plain_matrix();
}

}  // namespace nbl::compiler
