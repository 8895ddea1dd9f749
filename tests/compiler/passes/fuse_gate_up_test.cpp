// Could break: gate and up change places, or the padding of an odd width is not zero.
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

// 172 is stories260K's: no multiple of 32.
const test::LlamaSpec kSpec{.layers = 1, .ffn = 172};

TEST(FuseGateUp, turns_three_ops_into_one) {
  const Checkpoint checkpoint = test::small_llama(kSpec);
  Graph graph = build_graph(checkpoint, {.context = 70});
  EXPECT_EQ(lines_with(graph, "blk.0.ffn_norm,"),
            (Lines{"blk.0.ffn_gate [T, 172] = linear_q4gsw(blk.0.ffn_norm, blk.0.ffn_gate.weight)",
                   "blk.0.ffn_up [T, 172] = linear_q4gsw(blk.0.ffn_norm, blk.0.ffn_up.weight)"}));
  EXPECT_EQ(lines_with(graph, "swiglu("),
            (Lines{"blk.0.ffn_swiglu [T, 172] = swiglu(blk.0.ffn_gate, blk.0.ffn_up)"}));
  EXPECT_EQ(fuse_gate_up(&graph), 1);
  tidy(&graph);
  EXPECT_EQ(verify(graph), "");
  EXPECT_EQ(lines_with(graph, "blk.0.ffn_norm,"),
            (Lines{"blk.0.ffn_swiglu [T, 172] = linear_q4gsw(blk.0.ffn_norm, "
                   "blk.0.ffn_gate_up.weight) swiglu"}));
  EXPECT_TRUE(lines_with(graph, "swiglu(").empty());
}

TEST(FuseGateUp, interleaves_the_rows_and_pads_with_zeros) {
  const Checkpoint checkpoint = test::small_llama(kSpec);
  Graph graph = build_graph(checkpoint, {.context = 70});
  fuse_gate_up(&graph);
  const auto fused = std::ranges::find(graph.tensors, "blk.0.ffn_gate_up.weight",
                                       [](const GraphTensor& tensor) { return tensor.name; });
  ASSERT_NE(fused, graph.tensors.end());
  EXPECT_EQ(fused->shape, (std::vector<uint32_t>{2 * 192, 96}));
  const RowSource rows = constant_rows(*fused->constant);
  std::vector<float> row(96);
  std::vector<float> expected(96);
  for (uint32_t n = 0; n < 2 * 192; ++n) {
    std::ranges::fill(expected, 0.0f);
    const SourceTensor& source =
        checkpoint.tensors.at(n % 2 == 0 ? "blk.0.ffn_gate" : "blk.0.ffn_up");
    if (n / 2 < 172) source.read_row(n / 2, expected.data());
    rows.read(n, row.data());
    EXPECT_EQ(row, expected) << "row " << n;
  }
}

// Gemma's gate. The product may name its operands in either order.
TEST(FuseGateUp, turns_a_gelu_and_a_product_into_the_gate_of_one_linear) {
  test::LlamaSpec spec = kSpec;
  spec.architecture = "gemma3";
  const Checkpoint checkpoint = test::small_llama(spec);
  for (const bool swapped : {false, true}) {
    Graph graph = build_graph(checkpoint, {.context = 70});
    for (GraphOp& op : graph.ops) {
      if (op.name == "blk.0.ffn_geglu" && swapped) std::swap(op.inputs[0], op.inputs[1]);
    }
    EXPECT_EQ(fuse_gate_up(&graph), 1);
    tidy(&graph);
    EXPECT_EQ(verify(graph), "");
    EXPECT_EQ(lines_with(graph, "blk.0.ffn_geglu ["),
              (Lines{"blk.0.ffn_geglu [T, 172] = linear_q4gsw(blk.0.ffn_norm, "
                     "blk.0.ffn_gate_up.weight) swiglu function=gelu_tanh"}));
    EXPECT_TRUE(lines_with(graph, "elementwise(blk.0").empty());
    const auto fused = std::ranges::find(graph.tensors, "blk.0.ffn_gate_up.weight",
                                         [](const GraphTensor& tensor) { return tensor.name; });
    ASSERT_NE(fused, graph.tensors.end());
    std::vector<float> row(96), gate(96);
    constant_rows(*fused->constant).read(2, row.data());
    checkpoint.tensors.at("blk.0.ffn_gate").read_row(1, gate.data());
    EXPECT_EQ(row, gate);
  }
}

TEST(FuseGateUp, leaves_a_gate_alone_that_goes_through_something_else) {
  test::LlamaSpec spec = kSpec;
  spec.architecture = "gemma3";
  const Checkpoint checkpoint = test::small_llama(spec);
  Graph graph = build_graph(checkpoint, {.context = 70});
  for (GraphOp& op : graph.ops) {
    if (op.name == "blk.0.ffn_gelu") op.function = Function::gelu;
  }
  EXPECT_EQ(fuse_gate_up(&graph), 0);
}

TEST(FuseGateUp, leaves_linears_of_different_inputs_alone) {
  const Checkpoint checkpoint = test::small_llama(kSpec);
  Graph graph = build_graph(checkpoint, {.context = 70});
  for (GraphOp& op : graph.ops) {
    if (op.name == "blk.0.ffn_up") op.inputs[0] = graph.ops[0].outputs[0];
  }
  EXPECT_EQ(fuse_gate_up(&graph), 0);
}

}  // namespace
}  // namespace nbl::compiler
