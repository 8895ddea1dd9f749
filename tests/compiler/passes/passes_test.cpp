// Could break: a pass that is switched off runs, a misspelt name is ignored, or the whole list
// leaves more ops a layer than the runtime is built for.
#include "compiler/passes/passes.h"

#include <gtest/gtest.h>

#include "compiler/arch/llama.h"
#include "compiler/error.h"
#include "tests/support/small_llama.h"

namespace nbl::compiler {
namespace {

Graph run(const PassOptions& options) {
  static const Checkpoint checkpoint = test::small_llama({.layers = 2});
  Graph graph = build_llama(checkpoint, {.context = 70});
  run_passes(&graph, options);
  return graph;
}

TEST(Passes, leave_six_ops_a_layer) {
  const Graph graph = run({});
  // Two layers of qkv, rope_update_cache, sdpa, output, gate_up, down; embedding, logits, sample.
  EXPECT_EQ(graph.ops.size(), 2u * 6 + 3);
}

TEST(Passes, leave_the_ops_as_they_are_without_fusion) {
  EXPECT_EQ(run({.fuse = false}).ops.size(), 2u * 17 + 4);
}

TEST(Passes, can_be_switched_off_one_by_one) {
  const size_t all_on = run({}).ops.size();
  for (const Pass& pass : all_passes()) {
    const Graph graph = run({.disabled = {pass.name}});
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
