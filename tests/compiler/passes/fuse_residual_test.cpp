// Could break: the residual operand is the linear's own result, or is read before it is written.
#include <gtest/gtest.h>

#include "compiler/arch/architecture.h"
#include "compiler/passes/passes.h"
#include "tests/support/lines.h"
#include "tests/support/small_llama.h"

namespace nbl::compiler {
namespace {

using Lines = std::vector<std::string>;
using test::lines_with;

TEST(FuseResidual, makes_the_add_an_operand_of_the_linear) {
  const Checkpoint checkpoint = test::small_llama({.layers = 1});
  Graph graph = build_graph(checkpoint, {.context = 70});
  EXPECT_EQ(lines_with(graph, "_residual [T"),
            (Lines{"blk.0.attn_residual [T, 96] = add(embedding, blk.0.attn_output)",
                   "blk.0.ffn_residual [T, 96] = add(blk.0.attn_residual, blk.0.ffn_down)"}));
  EXPECT_EQ(fuse_residual(&graph), 2);
  tidy(&graph);
  EXPECT_EQ(verify(graph), "");
  EXPECT_EQ(lines_with(graph, "_residual [T"),
            (Lines{"blk.0.attn_residual [T, 96] = linear_q4gsw(blk.0.attention, "
                   "blk.0.attn_output.weight, -, -, embedding)",
                   "blk.0.ffn_residual [T, 96] = linear_q4gsw(blk.0.ffn_swiglu, "
                   "blk.0.ffn_down.weight, -, -, blk.0.attn_residual)"}));
  EXPECT_TRUE(lines_with(graph, "add(").empty());
}

TEST(FuseResidual, takes_a_linear_on_either_side) {
  const Checkpoint checkpoint = test::small_llama({.layers = 1});
  Graph graph = build_graph(checkpoint, {.context = 70});
  for (GraphOp& op : graph.ops) {
    if (op.kind == OpKind::add) std::swap(op.inputs[0], op.inputs[1]);
  }
  EXPECT_EQ(fuse_residual(&graph), 2);
  EXPECT_EQ(verify(graph), "");
}

TEST(FuseResidual, leaves_a_linear_alone_that_is_read_twice) {
  const Checkpoint checkpoint = test::small_llama({.layers = 1});
  Graph graph = build_graph(checkpoint, {.context = 70});
  int32_t down = kAbsent;
  for (GraphOp& op : graph.ops) {
    if (op.name == "blk.0.ffn_down") down = op.outputs[0];
    if (op.name == "output_norm") op.inputs[0] = down;
  }
  EXPECT_EQ(fuse_residual(&graph), 1);
  EXPECT_EQ(lines_with(graph, "add(").size(), 1u);
}

}  // namespace
}  // namespace nbl::compiler
