// Could break: a linear keeps its float32 activations, a fusion loses the kind or mixes two.
#include <gtest/gtest.h>

#include <algorithm>

#include "compiler/arch/architecture.h"
#include "compiler/passes/passes.h"
#include "tests/support/lines.h"
#include "tests/support/small_llama.h"

namespace nbl::compiler {
namespace {

using Lines = std::vector<std::string>;
using test::lines_with;

const test::LlamaSpec kSpec{.layers = 1, .ffn = 172};

Graph llama() {
  static const Checkpoint checkpoint = test::small_llama(kSpec);
  return build_graph(checkpoint, {.context = 70});
}

GraphOp* op_named(Graph* graph, const std::string& name) {
  const auto found = std::ranges::find(graph->ops, name, [](const GraphOp& op) { return op.name; });
  return found == graph->ops.end() ? nullptr : &*found;
}

TEST(QuantizeActivations, turns_every_linear_and_nothing_else) {
  Graph graph = llama();
  const size_t linears = lines_with(graph, "= linear_q4gsw(").size();
  const size_t ops = graph.ops.size();
  EXPECT_EQ(quantize_activations(&graph), static_cast<int>(linears));
  EXPECT_EQ(verify(graph), "");
  EXPECT_EQ(graph.ops.size(), ops);
  EXPECT_EQ(lines_with(graph, "= linear_dq8ca_q4gsw(").size(), linears);
  EXPECT_TRUE(lines_with(graph, "= linear_q4gsw(").empty());
  EXPECT_EQ(quantize_activations(&graph), 0);
}

TEST(QuantizeActivations, leaves_the_fusions_as_they_are) {
  Graph exact = llama(), rounded = llama();
  run_passes(&exact, {});
  run_passes(&rounded, {.activations = Activations::int8});
  ASSERT_EQ(rounded.ops.size(), exact.ops.size());
  for (size_t i = 0; i < exact.ops.size(); ++i) {
    const bool linear = exact.ops[i].kind == OpKind::linear_q4gsw;
    EXPECT_EQ(rounded.ops[i].kind, linear ? OpKind::linear_dq8ca_q4gsw : exact.ops[i].kind);
    EXPECT_EQ(rounded.ops[i].inputs, exact.ops[i].inputs);
    EXPECT_EQ(rounded.ops[i].swiglu, exact.ops[i].swiglu);
    EXPECT_EQ(rounded.ops[i].eps, exact.ops[i].eps);
  }
}

TEST(QuantizeActivations, of_one_linear_keep_it_out_of_fusions_with_others) {
  for (const char* name : {"blk.0.attn_q", "blk.0.attn_k", "blk.0.attn_v"}) {
    Graph graph = llama();
    ASSERT_NE(op_named(&graph, name), nullptr) << name;
    op_named(&graph, name)->kind = OpKind::linear_dq8ca_q4gsw;
    EXPECT_EQ(fuse_qkv(&graph), 0) << name;
  }
  for (const char* name : {"blk.0.ffn_gate", "blk.0.ffn_up"}) {
    Graph graph = llama();
    ASSERT_NE(op_named(&graph, name), nullptr) << name;
    op_named(&graph, name)->kind = OpKind::linear_dq8ca_q4gsw;
    EXPECT_EQ(fuse_gate_up(&graph), 0) << name;
  }
}

}  // namespace
}  // namespace nbl::compiler
