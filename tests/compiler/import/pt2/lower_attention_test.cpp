// Could break: a cache write or a mask that is taken for another, heads that are shared in another
// order, or an attention that would see what is not there.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/pt2_attention.h"

namespace nbl::test {
namespace {

TEST(LowerAttention, takes_the_op_with_a_causal_mask) {
  AttentionNet net;
  net.write();
  const std::string graph = lowered(net.end(net.sdpa(net.causal())));
  EXPECT_TRUE(has(graph, kAttention)) << graph;
  EXPECT_EQ(attention_line(graph), kPlain);
}

TEST(LowerAttention, takes_a_fixed_scale) {
  AttentionNet net;
  net.write();
  const std::string graph = lowered(net.end(net.sdpa(net.causal(), {{"scale", of(0.125)}})));
  EXPECT_TRUE(has(attention_line(graph), "scale=0.125 ")) << graph;
}

TEST(LowerAttention, sees_a_window_in_the_values_of_a_mask) {
  AttentionNet net;
  net.write();
  const std::string mask =
      net.mask("mask", [](int64_t p, int64_t c) { return c <= p && p - c < 5; });
  EXPECT_TRUE(has(attention_line(lowered(net.end(net.sdpa(mask)))), " window=5"));
}

TEST(LowerAttention, keeps_other_masks_as_numbers) {
  AttentionNet net;
  net.write();
  std::vector<float> values;
  for (int64_t p = 0; p < kPositions; ++p) {
    for (int64_t c = 0; c < kPositions; ++c)
      values.push_back(c <= p ? 0.25f * static_cast<float>(c - p) : -INFINITY);
  }
  const std::string mask = net.at_positions(net.floats("bias", {kPositions, kPositions}, values));
  const pt2::Lowered result = pt2::lower(net.end(net.sdpa(mask)), {});
  for (const compiler::GraphOp& op : result.graph.ops) {
    if (op.kind != OpKind::sdpa_with_kv_cache) continue;
    ASSERT_EQ(op.inputs.size(), 4u);
    const auto& weight = result.graph.tensor(op.inputs[3]).constant->values;
    EXPECT_EQ(weight[5 * kPositions + 3], -0.5f);
    EXPECT_LE(weight[5 * kPositions + 6], -1e29f);
  }
  EXPECT_EQ(compiler::verify(result.graph), "");
}

TEST(LowerAttention, refuses_a_mask_that_shows_later_positions) {
  AttentionNet net;
  net.write();
  const std::string mask = net.mask("mask", [](int64_t p, int64_t c) { return c <= p + 1; });
  EXPECT_TRUE(has(lower_error(net.end(net.sdpa(mask))), "positions behind its own"));
}

TEST(LowerAttention, refuses_the_whole_cache_without_a_mask) {
  AttentionNet net;
  net.write();
  EXPECT_TRUE(has(lower_error(net.end(net.sdpa(""))), "whole cache without a mask"));
}

TEST(LowerAttention, refuses_the_ops_own_causality_over_a_cache) {
  AttentionNet net;
  net.write();
  const std::string error = lower_error(net.end(net.sdpa("", {{"is_causal", of(true)}})));
  EXPECT_TRUE(has(error, "whatever the position")) << error;
}

TEST(LowerAttention, refuses_to_read_a_cache_before_it_is_written) {
  AttentionNet net;
  EXPECT_TRUE(has(lower_error([&] {
                    const std::string out = net.sdpa(net.causal());
                    net.write();
                    return net.end(out);
                  }()),
                  "cache"));
}

TEST(LowerAttention, refuses_caches_that_begin_with_numbers) {
  AttentionNet net;
  net.k_cache = net.floats("full_cache", {1, kKvHeads, kPositions, kDim}, 1.0f);
  net.write();
  const std::string error = lower_error(net.end(net.sdpa(net.causal())));
  EXPECT_TRUE(has(error, "full_cache")) << error;
  EXPECT_TRUE(has(error, "does not begin as zeros")) << error;
}

TEST(LowerAttention, refuses_a_write_elsewhere) {
  AttentionNet net;
  const std::string later = net.aten("add.Tensor", "input_pos", {{"other", of(1)}});
  net.k_cache = net.aten("index_copy_.default", net.k_cache,
                         {{"dim", of(2)}, {"index", of(later)}, {"source", of(net.k)}});
  const std::string error = lower_error(net.end(net.sdpa(net.causal())));
  EXPECT_TRUE(has(error, "elsewhere")) << error;
}

// Shared heads, the product, a scale, a cap, a mask, the softmax and the product, one by one.
std::string decomposed(AttentionNet& net, bool cap) {
  const auto repeated = [&](const std::string& cache) {
    const std::string wide = net.aten("unsqueeze.default", cache, {{"dim", of(2)}});
    const std::string copies =
        net.aten("expand.default", wide, {{"size", sizes({1, kKvHeads, 2, kPositions, kDim})}});
    return net.aten("reshape.default", copies, {{"shape", sizes({1, kHeads, kPositions, kDim})}});
  };
  const std::string keys =
      net.aten("transpose.int", repeated(net.k_cache), {{"dim0", of(2)}, {"dim1", of(3)}});
  std::string scores = net.aten("matmul.default", net.q, {{"other", of(keys)}});
  scores = net.aten("mul.Tensor", scores, {{"other", of(0.5)}});
  if (cap) {
    scores = net.aten("div.Tensor", scores, {{"other", of(30.0)}});
    scores = net.aten("tanh.default", scores);
    scores = net.aten("mul.Tensor", scores, {{"other", of(30.0)}});
  }
  const std::string out = net.aten("logical_not.default", net.causal());
  scores = net.aten("masked_fill.Scalar", scores, {{"mask", of(out)}, {"value", of(-INFINITY)}});
  const std::string weights = net.aten("softmax.int", scores, {{"dim", of(-1)}});
  return net.aten("matmul.default", weights, {{"other", of(repeated(net.v_cache))}});
}

TEST(LowerAttention, follows_the_chain_spelled_out) {
  AttentionNet net;
  net.write();
  EXPECT_EQ(attention_line(lowered(net.end(decomposed(net, false)))), kPlain);
}

TEST(LowerAttention, takes_a_soft_cap) {
  AttentionNet net;
  net.write();
  const std::string line = attention_line(lowered(net.end(decomposed(net, true))));
  EXPECT_TRUE(has(line, "scale=0.5 ")) << line;
  EXPECT_TRUE(has(line, " softcap=30")) << line;
}

TEST(LowerAttention, refuses_scores_without_a_softmax) {
  AttentionNet net;
  net.write();
  const std::string keys =
      net.aten("repeat_interleave.self_int", net.k_cache, {{"repeats", of(2)}, {"dim", of(1)}});
  const std::string scores = net.aten(
      "matmul.default", net.q,
      {{"other", of(net.aten("transpose.int", keys, {{"dim0", of(2)}, {"dim1", of(3)}}))}});
  const std::string out = net.aten("matmul.default", scores, {{"other", of(keys)}});
  EXPECT_TRUE(has(lower_error(net.end(out)), "without a softmax"));
}

TEST(LowerAttention, refuses_heads_that_are_shared_in_another_order) {
  AttentionNet net;
  net.write();
  net.k_cache = net.aten("repeat.default", net.k_cache, {{"repeats", sizes({1, 2, 1, 1})}});
  net.v_cache = net.aten("repeat.default", net.v_cache, {{"repeats", sizes({1, 2, 1, 1})}});
  const std::string error = lower_error(net.end(net.sdpa(net.causal())));
  EXPECT_TRUE(has(error, "order")) << error;
}

}  // namespace
}  // namespace nbl::test
