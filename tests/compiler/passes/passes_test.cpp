// Could break: a pass that is switched off runs, a misspelt name is ignored, or the whole list
// leaves more ops a layer than the runtime is built for.
#include "compiler/passes/passes.h"

#include <gtest/gtest.h>

#include "compiler/arch/architecture.h"
#include "compiler/error.h"
#include "tests/support/small_llama.h"

namespace nbl::compiler {
namespace {

Graph built() {
  static const Checkpoint checkpoint = test::small_llama({.layers = 2});
  return build_graph(checkpoint, {.context = 70});
}

Graph run(const PassOptions& options) {
  Graph graph = built();
  run_passes(&graph, options);
  return graph;
}

// The graph with sums and gates as a checkpoint of plain functions has them.
Graph spelt_out() {
  Graph graph = built();
  std::vector<GraphOp> ops;
  for (GraphOp op : graph.ops) {
    if (op.kind == OpKind::swiglu) {
      const int32_t silu =
          graph.add({.name = op.name + ".silu", .shape = graph.tensor(op.inputs[0]).shape});
      ops.push_back({.kind = OpKind::elementwise,
                     .name = op.name + ".silu",
                     .inputs = {op.inputs[0]},
                     .outputs = {silu},
                     .function = Function::silu});
      op.inputs[0] = silu;
      op.function = Function::mul;
    } else if (op.kind == OpKind::add) {
      op.function = Function::add;
      op.alpha = 1;
    }
    if (op.function != Function::none) op.kind = OpKind::elementwise;
    ops.push_back(std::move(op));
  }
  graph.ops = std::move(ops);
  return graph;
}

TEST(Passes, leave_six_ops_a_layer) {
  const Graph graph = run({});
  // Two layers of qkv, rope_update_cache, sdpa, output, gate_up, down; embedding, logits, sample.
  EXPECT_EQ(graph.ops.size(), 2u * 6 + 3);
}

TEST(Passes, see_through_functions) {
  Graph graph = spelt_out();
  run_passes(&graph, {});
  EXPECT_EQ(dump(graph), dump(run({})));
}

TEST(Passes, leave_the_ops_as_they_are_without_fusion) {
  EXPECT_EQ(run({.fuse = false}).ops.size(), 2u * 17 + 4);
}

TEST(Passes, can_be_switched_off_one_by_one) {
  const size_t all_on = run({}).ops.size();
  for (const Pass& pass : all_passes()) {
    Graph graph = spelt_out();
    run_passes(&graph, {.disabled = {pass.name}});
    EXPECT_EQ(verify(graph), "") << pass.name;
    if (pass.fusion) {
      EXPECT_GT(graph.ops.size(), all_on) << pass.name;
    }
  }
}

TEST(Passes, refuse_a_name_that_no_pass_has) {
  EXPECT_THROW(run({.disabled = {"fuse_everything"}}), CompileError);
}

TEST(Passes, number_activations_in_the_order_of_their_definition) {
  const Graph graph = run({});
  int32_t last = -1;
  for (const GraphOp& op : graph.ops) {
    for (const int32_t out : op.outputs) {
      if (graph.tensor(out).role != Role::activation) continue;
      EXPECT_GT(out, last);
      last = out;
    }
  }
}

}  // namespace
}  // namespace nbl::compiler
