// Could break: a write of a cache that is not seen, or one that is and goes elsewhere.
#include <gtest/gtest.h>

#include "tests/support/pt2_attention.h"

namespace nbl::test {
namespace {

TEST(LowerCache, takes_an_index_put) {
  AttentionNet net;
  net.k_cache = net.aten("index_put.default", net.k_cache,
                         {{"indices", tensors({"", "", "input_pos"})}, {"values", of(net.k)}});
  net.v_cache = net.aten("index_put_.default", net.v_cache,
                         {{"indices", tensors({"", "", "input_pos"})}, {"values", of(net.v)}});
  const std::string graph = lowered(net.end(net.sdpa(net.causal())));
  EXPECT_TRUE(has(graph, kAttention)) << graph;
}

// start = input_pos[0].item(); cache[:, :, start : start + length] = k
struct Slices {
  explicit Slices(AttentionNet& net) {
    const std::string first =
        net.aten("select.int", "input_pos", {{"dim", of(0)}, {"index", of(0)}});
    start = net.aten("item.default", first);
    end = net.call("_operator.add", {{"a", of(start)}, {"b", of("length")}});
  }
  std::string start, end;
};

TEST(LowerCache, takes_a_copy_into_a_slice) {
  AttentionNet net;
  const Slices at(net);
  for (const auto& [cache, from] : {std::pair(net.k_cache, net.k), std::pair(net.v_cache, net.v)}) {
    const std::string part = net.aten(
        "slice.Tensor", cache, {{"dim", of(2)}, {"start", of(at.start)}, {"end", of(at.end)}});
    net.aten("copy_.default", part, {{"src", of(from)}});
  }
  const std::string graph = lowered(net.end(net.sdpa(net.causal())));
  EXPECT_TRUE(has(graph, kAttention)) << graph;
}

TEST(LowerCache, takes_a_slice_scatter_and_a_live_slice) {
  AttentionNet net;
  const Slices at(net);
  const auto scatter = [&](const std::string& cache, const std::string& from) {
    return net.aten(
        "slice_scatter.default", cache,
        {{"src", of(from)}, {"dim", of(2)}, {"start", of(at.start)}, {"end", of(at.end)}});
  };
  const auto live = [&](const std::string& cache) {
    return net.aten("slice.Tensor", cache, {{"dim", of(2)}, {"start", of(0)}, {"end", of(at.end)}});
  };
  net.k_cache = live(scatter(net.k_cache, net.k));
  net.v_cache = live(scatter(net.v_cache, net.v));
  const std::string mask = net.aten("slice.Tensor", net.causal(),
                                    {{"dim", of(3)}, {"start", of(0)}, {"end", of(at.end)}});
  const std::string graph = lowered(net.end(net.sdpa(mask)));
  EXPECT_TRUE(has(graph, kAttention)) << graph;
  EXPECT_EQ(attention_line(graph), kPlain);
}

// The llama ops keep tokens before heads.
struct Llama : AttentionNet {
  explicit Llama(int64_t tokens = 0) : AttentionNet(tokens) {
    const auto tokens_first = [&](std::string* x) {
      *x = aten("transpose.int", *x, {{"dim0", of(1)}, {"dim1", of(2)}});
    };
    tokens_first(&q);
    tokens_first(&k);
    tokens_first(&v);
    k_cache = floats("k_rows", {1, kPositions, kKvHeads, kDim}, 0.0f);
    v_cache = floats("v_rows", {1, kPositions, kKvHeads, kDim}, 0.0f);
    start =
        aten("item.default", aten("select.int", "input_pos", {{"dim", of(0)}, {"index", of(0)}}));
  }
  std::string attend() {
    return call("torch.ops.llama.custom_sdpa.default", {{"query", of(q)},
                                                        {"key", of(k_cache)},
                                                        {"value", of(v_cache)},
                                                        {"start_pos", of(start)},
                                                        {"attn_mask", pt2::None{}},
                                                        {"drpout_p", of(0.0)},
                                                        {"is_causal", of(true)}});
  }
  pt2::ExportedProgram end_rows(const std::string& attended) {
    const std::string flat =
        aten("reshape.default", attended, {{"shape", sizes({1, -1, kHeads * kDim})}});
    return finish(flat, kHeads * kDim);
  }
  std::string start;
};

const char* const kLlama =
    "sdpa_with_kv_cache(q, k_rows, v_rows) scale=0.5 heads=4 kv_heads=2 head_dim=4";

TEST(LowerCache, takes_the_llama_ops) {
  Llama net;
  for (const auto& [cache, from] : {std::pair(net.k_cache, net.k), std::pair(net.v_cache, net.v)}) {
    net.call("torch.ops.llama.update_cache.default",
             {{"value", of(from)}, {"cache", of(cache)}, {"start_pos", of(net.start)}});
  }
  EXPECT_EQ(attention_line(lowered(net.end_rows(net.attend()))), kLlama);
}

TEST(LowerCache, takes_the_llama_ops_made_functional) {
  Llama net;
  const auto update = [&](std::string* cache, const std::string& from, const char* name) {
    net.call("torch.ops.higher_order.auto_functionalized_v2",
             {{"", text("torch.ops.llama.update_cache.default")},
              {"value", of(from)},
              {"start_pos", of(net.start)},
              {"_cache_base_index", of(0)},
              {"_all_bases", tensors({*cache})}},
             {std::string(name) + "_unused", name});
    *cache = name;
  };
  update(&net.k_cache, net.k, "new_k");
  update(&net.v_cache, net.v, "new_v");
  EXPECT_EQ(attention_line(lowered(net.end_rows(net.attend()))), kLlama);
}

TEST(LowerCache, takes_the_llama_op_that_does_it_all) {
  Llama net;
  const std::string out =
      net.call("torch.ops.llama.sdpa_with_kv_cache.default", {{"query", of(net.q)},
                                                              {"key", of(net.k)},
                                                              {"value", of(net.v)},
                                                              {"key_cache", of(net.k_cache)},
                                                              {"value_cache", of(net.v_cache)},
                                                              {"start_pos", of(net.start)},
                                                              {"seq_len", of("length")},
                                                              {"attn_mask", pt2::None{}},
                                                              {"drpout_p", of(0.0)},
                                                              {"is_causal", of(true)}});
  EXPECT_EQ(attention_line(lowered(net.end_rows(out))), kLlama);
}

TEST(LowerCache, refuses_the_llama_ops_at_another_position) {
  Llama net;
  const std::string later = net.call("_operator.add", {{"a", of(net.start)}, {"b", of(1)}});
  net.call("torch.ops.llama.update_cache.default",
           {{"value", of(net.k)}, {"cache", of(net.k_cache)}, {"start_pos", of(later)}});
  EXPECT_TRUE(has(lower_error(net.end_rows(net.attend())), "position of the step"));
}

TEST(LowerCache, runs_a_graph_of_one_token_token_by_token) {
  AttentionNet net(1);
  net.write();
  const pt2::Lowered result = pt2::lower(net.end(net.sdpa(net.causal())), {});
  EXPECT_EQ(result.graph.prefill_chunk, 1u);
  EXPECT_EQ(attention_line(compiler::dump(result.graph)), kPlain);
}

TEST(LowerCache, gives_a_graph_without_one_a_cache_of_its_own) {
  Pt2Builder net;
  const std::string x = net.embed(kHeads * kDim);
  const auto heads = [&](const char* name, int64_t count) {
    const std::string y = net.linear(x, name, count * kDim, kHeads * kDim);
    const std::string split =
        net.aten("view.default", y, {{"size", sizes({1, "length", count, kDim})}});
    return net.aten("transpose.int", split, {{"dim0", of(1)}, {"dim1", of(2)}});
  };
  const std::string q = heads("q", kHeads);
  const std::string k = heads("k", kKvHeads);
  const std::string v = heads("v", kKvHeads);
  const std::string out =
      net.call("torch.ops.aten.scaled_dot_product_attention.default", {{"query", of(q)},
                                                                       {"key", of(k)},
                                                                       {"value", of(v)},
                                                                       {"is_causal", of(true)},
                                                                       {"enable_gqa", of(true)}});
  const std::string rows = net.aten("transpose.int", out, {{"dim0", of(1)}, {"dim1", of(2)}});
  const std::string flat =
      net.aten("reshape.default", rows, {{"shape", sizes({1, "length", kHeads * kDim})}});
  const std::string graph = lowered(net.finish(flat, kHeads * kDim));
  EXPECT_TRUE(has(attention_line(graph), "scale=0.5 heads=4 kv_heads=2 head_dim=4")) << graph;
  EXPECT_TRUE(has(graph, "update_cache(k)")) << graph;
}

}  // namespace
}  // namespace nbl::test
