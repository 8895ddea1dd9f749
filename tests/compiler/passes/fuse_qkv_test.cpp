// Could break: q, k and v end up in another order, the rotation of k is lost, or a graph where
// something else reads q is rewritten all the same.
#include <gtest/gtest.h>

#include "compiler/arch/architecture.h"
#include "compiler/passes/passes.h"
#include "tests/support/lines.h"
#include "tests/support/small_llama.h"

namespace nbl::compiler {
namespace {

using Lines = std::vector<std::string>;
using test::lines_with;

TEST(FuseQkv, turns_seven_ops_into_two) {
  const Checkpoint checkpoint = test::small_llama({.layers = 1, .rotary_dim = 16});
  Graph graph = build_graph(checkpoint, {.context = 70});
  EXPECT_EQ(
      lines_with(graph, "blk.0.attn_norm"),
      (Lines{"blk.0.attn_norm [T, 96] = rms_norm(embedding, blk.0.attn_norm.weight) eps=1e-05",
             "blk.0.attn_q [T, 192] = linear_q4gsw(blk.0.attn_norm, blk.0.attn_q.weight)",
             "blk.0.attn_k [T, 64] = linear_q4gsw(blk.0.attn_norm, blk.0.attn_k.weight)",
             "blk.0.attn_v [T, 64] = linear_q4gsw(blk.0.attn_norm, blk.0.attn_v.weight)"}));
  EXPECT_EQ(lines_with(graph, "rope("),
            (Lines{"blk.0.q [T, 192] = rope(blk.0.attn_q, rope_table) heads=6 head_dim=32 "
                   "rotary_dim=16",
                   "blk.0.k [T, 64] = rope(blk.0.attn_k, rope_table) heads=2 head_dim=32 "
                   "rotary_dim=16"}));
  EXPECT_EQ(lines_with(graph, "update_cache"),
            (Lines{"blk.0.k_cache = update_cache(blk.0.k)",
                   "blk.0.v_cache = update_cache(blk.0.attn_v)"}));

  EXPECT_EQ(fuse_qkv(&graph), 1);
  tidy(&graph);
  EXPECT_EQ(verify(graph), "");
  EXPECT_EQ(lines_with(graph, "attn_qkv"),
            (Lines{"blk.0.attn_qkv [T, 320] = linear_q4gsw(blk.0.attn_norm, blk.0.attn_qkv.weight)",
                   "blk.0.q [T, 192], blk.0.k_cache, blk.0.v_cache = "
                   "rope_update_cache(blk.0.attn_qkv, rope_table) heads=6 kv_heads=2 "
                   "head_dim=32 rotary_dim=16"}));
  EXPECT_TRUE(lines_with(graph, "rope(").empty());
  EXPECT_TRUE(lines_with(graph, " = update_cache").empty());
}

TEST(FuseQkv, stacks_the_rows_of_q_then_k_then_v) {
  const Checkpoint checkpoint = test::small_llama({.layers = 1});
  Graph graph = build_graph(checkpoint, {.context = 70});
  fuse_qkv(&graph);
  for (const GraphTensor& tensor : graph.tensors) {
    if (tensor.name != "blk.0.attn_qkv.weight") continue;
    const std::vector<float> rows = constant_values(*tensor.constant);
    size_t at = 0;
    for (const char* part : {"blk.0.attn_q", "blk.0.attn_k", "blk.0.attn_v"}) {
      const SourceTensor& source = checkpoint.tensors.at(part);
      std::vector<float> row(source.columns);
      for (uint64_t n = 0; n < source.rows; ++n, at += row.size()) {
        source.read_row(n, row.data());
        EXPECT_TRUE(std::equal(row.begin(), row.end(), rows.begin() + static_cast<long>(at)));
      }
    }
    EXPECT_EQ(at, rows.size());
    return;
  }
  FAIL() << "no stacked weight";
}

TEST(FuseQkv, joins_biases_and_fills_in_where_one_is_missing) {
  const Checkpoint checkpoint = test::small_llama({.layers = 2, .architecture = "qwen2"});
  Graph graph = build_graph(checkpoint, {.context = 70});
  for (GraphOp& op : graph.ops) {
    if (op.name == "blk.1.attn_k") op.inputs.resize(2);
  }
  EXPECT_EQ(fuse_qkv(&graph), 2);
  tidy(&graph);
  EXPECT_EQ(verify(graph), "");
  EXPECT_EQ(lines_with(graph, "blk.0.attn_qkv [T, 320] ="),
            (Lines{"blk.0.attn_qkv [T, 320] = linear_q4gsw(blk.0.attn_norm, "
                   "blk.0.attn_qkv.weight, -, blk.0.attn_qkv.bias)"}));
  int seen = 0;
  for (const GraphTensor& tensor : graph.tensors) {
    const bool second = tensor.name == "blk.1.attn_qkv.bias";
    if (tensor.name != "blk.0.attn_qkv.bias" && !second) continue;
    ++seen;
    std::vector<float> expected;
    for (const char* part : {"attn_q.bias", "attn_k.bias", "attn_v.bias"}) {
      const SourceTensor& bias =
          checkpoint.tensors.at((second ? "blk.1." : "blk.0.") + std::string(part));
      std::vector<float> values(bias.columns);
      bias.read_row(0, values.data());
      if (second && part[5] == 'k') values.assign(values.size(), 0);
      expected.insert(expected.end(), values.begin(), values.end());
    }
    EXPECT_EQ(constant_values(*tensor.constant), expected) << tensor.name;
  }
  EXPECT_EQ(seen, 2);
}

TEST(FuseQkv, takes_the_norms_of_heads_along) {
  const Checkpoint checkpoint =
      test::small_llama({.layers = 2, .kv_heads = 1, .architecture = "qwen3"});
  Graph graph = build_graph(checkpoint, {.context = 70});
  EXPECT_EQ(fuse_qkv(&graph), 2);
  tidy(&graph);
  EXPECT_EQ(verify(graph), "");
  EXPECT_EQ(lines_with(graph, "blk.1.q ["),
            (Lines{"blk.1.q [T, 192], blk.1.k_cache, blk.1.v_cache = "
                   "rope_update_cache(blk.1.attn_qkv, rope_table, blk.1.attn_qk_norm.weight) "
                   "eps=1e-05 heads=6 kv_heads=1 head_dim=32 rotary_dim=32"}));
  EXPECT_TRUE(lines_with(graph, "attn_q_norm").empty());
  for (const GraphTensor& tensor : graph.tensors) {
    if (tensor.name != "blk.1.attn_qk_norm.weight") continue;
    std::vector<float> expected(64);
    checkpoint.tensors.at("blk.1.attn_q_norm").read_row(0, expected.data());
    checkpoint.tensors.at("blk.1.attn_k_norm").read_row(0, expected.data() + 32);
    EXPECT_EQ(constant_values(*tensor.constant), expected);
    return;
  }
  FAIL() << "no joined norm";
}

TEST(FuseQkv, leaves_a_layer_alone_whose_norms_are_not_of_both_or_not_alike) {
  const Checkpoint checkpoint = test::small_llama({.layers = 1, .architecture = "qwen3"});
  Graph one = build_graph(checkpoint, {.context = 70});
  Graph other = one;
  for (GraphOp& op : other.ops) {
    if (op.name == "blk.0.attn_k_norm") op.eps *= 2;
  }
  EXPECT_EQ(fuse_qkv(&other), 0);
  // k turns without its norm.
  int32_t plain = kAbsent;
  for (GraphOp& op : one.ops) {
    if (op.name == "blk.0.attn_k") plain = op.outputs[0];
    if (op.name == "blk.0.k") op.inputs[0] = plain;
  }
  std::erase_if(one.ops, [](const GraphOp& op) { return op.name == "blk.0.attn_k_norm"; });
  EXPECT_EQ(fuse_qkv(&one), 0);
}

TEST(FuseQkv, rewrites_every_layer) {
  const Checkpoint checkpoint = test::small_llama({.layers = 3});
  Graph graph = build_graph(checkpoint, {.context = 70});
  EXPECT_EQ(fuse_qkv(&graph), 3);
  EXPECT_EQ(lines_with(graph, "rope_update_cache").size(), 3u);
  EXPECT_EQ(verify(graph), "");
}

TEST(FuseQkv, leaves_a_layer_alone_whose_q_is_read_elsewhere) {
  const Checkpoint checkpoint = test::small_llama({.layers = 1});
  Graph graph = build_graph(checkpoint, {.context = 70});
  for (GraphOp& op : graph.ops) {
    // The attention's projection now reads q itself as well: same width, another meaning.
    if (op.name == "blk.0.attn_output") op.inputs[0] = graph.ops[2].outputs[0];
  }
  const std::string before = dump(graph);
  EXPECT_EQ(fuse_qkv(&graph), 0);
  EXPECT_EQ(dump(graph), before);
}

TEST(FuseQkv, leaves_a_layer_alone_whose_k_turns_differently) {
  const Checkpoint checkpoint = test::small_llama({.layers = 1});
  Graph graph = build_graph(checkpoint, {.context = 70});
  for (GraphOp& op : graph.ops) {
    if (op.name == "blk.0.k") op.rope_half = !op.rope_half;
  }
  EXPECT_EQ(fuse_qkv(&graph), 0);
}

}  // namespace
}  // namespace nbl::compiler
