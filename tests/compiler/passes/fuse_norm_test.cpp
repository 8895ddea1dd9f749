// Could break: a norm that something else than a linear reads is lost, or eps is.
#include <gtest/gtest.h>

#include "compiler/arch/architecture.h"
#include "compiler/passes/passes.h"
#include "tests/support/lines.h"
#include "tests/support/small_llama.h"

namespace nbl::compiler {
namespace {

using Lines = std::vector<std::string>;
using test::lines_with;

TEST(FuseNorm, makes_the_norm_an_operand_of_every_linear_behind_it) {
  const Checkpoint checkpoint = test::small_llama({.layers = 1});
  Graph graph = build_graph(checkpoint, {.context = 70});
  EXPECT_EQ(lines_with(graph, "rms_norm(").size(), 3u);
  EXPECT_EQ(fuse_norm(&graph), 3);
  tidy(&graph);
  EXPECT_EQ(verify(graph), "");
  EXPECT_TRUE(lines_with(graph, "rms_norm(").empty());
  EXPECT_EQ(lines_with(graph, "blk.0.ffn_norm"),
            (Lines{"blk.0.ffn_gate [T, 160] = linear_q4gsw(blk.0.attn_residual, "
                   "blk.0.ffn_gate.weight, blk.0.ffn_norm.weight) eps=1e-05",
                   "blk.0.ffn_up [T, 160] = linear_q4gsw(blk.0.attn_residual, "
                   "blk.0.ffn_up.weight, blk.0.ffn_norm.weight) eps=1e-05"}));
  EXPECT_EQ(lines_with(graph, "last_row"),
            (Lines{"logits [T, 367] = linear_q4gsw(blk.0.ffn_residual, token_embd.weight, "
                   "output_norm.weight) eps=1e-05 last_row"}));
}

TEST(FuseNorm, leaves_a_norm_alone_that_an_add_reads) {
  const Checkpoint checkpoint = test::small_llama({.layers = 1});
  Graph graph = build_graph(checkpoint, {.context = 70});
  int32_t normed = kAbsent;
  for (GraphOp& op : graph.ops) {
    if (op.name == "blk.0.attn_norm") normed = op.outputs[0];
    if (op.name == "blk.0.attn_residual") op.inputs[0] = normed;
  }
  EXPECT_EQ(fuse_norm(&graph), 2);
  EXPECT_EQ(lines_with(graph, "rms_norm(").size(), 1u);
  EXPECT_EQ(verify(graph), "");
}

TEST(FuseNorm, leaves_a_norm_alone_that_a_linear_adds_as_residual) {
  const Checkpoint checkpoint = test::small_llama({.layers = 1});
  Graph graph = build_graph(checkpoint, {.context = 70});
  int32_t normed = kAbsent;
  for (GraphOp& op : graph.ops) {
    if (op.name == "blk.0.attn_norm") normed = op.outputs[0];
    if (op.name == "blk.0.attn_residual") op.inputs[0] = normed;
  }
  ASSERT_EQ(fuse_residual(&graph), 2);
  EXPECT_EQ(fuse_norm(&graph), 2);
}

}  // namespace
}  // namespace nbl::compiler
