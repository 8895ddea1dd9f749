// Exported attention layers of a decoder with one, in pieces.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/support/pt2_builder.h"

namespace nbl::test {

inline constexpr int64_t kHeads = 4;
inline constexpr int64_t kKvHeads = 2;
inline constexpr int64_t kDim = 4;
inline constexpr int64_t kPositions = 16;

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Queries, keys and values of the tokens, and two caches, as the graphs of this file begin.
struct AttentionNet : Pt2Builder {
  explicit AttentionNet(int64_t tokens = 0) : Pt2Builder(tokens) {
    if (tokens == 0) {
      positions();
    } else {
      input("input_pos", {{tokens, ""}});
      length = std::to_string(tokens);
    }
    const std::string x = embed(kHeads * kDim);
    q = heads(linear(x, "q", kHeads * kDim, kHeads * kDim), kHeads);
    k = heads(linear(x, "k", kKvHeads * kDim, kHeads * kDim), kKvHeads);
    v = heads(linear(x, "v", kKvHeads * kDim, kHeads * kDim), kKvHeads);
    k_cache = floats("k_cache", {1, kKvHeads, kPositions, kDim}, 0.0f);
    v_cache = floats("v_cache", {1, kKvHeads, kPositions, kDim}, 0.0f);
  }

  // [1, T, H * D] -> [1, H, T, D]
  std::string heads(const std::string& x, int64_t count) {
    const std::string split = aten("view.default", x, {{"size", sizes({1, -1, count, kDim})}});
    return aten("transpose.int", split, {{"dim0", of(1)}, {"dim1", of(2)}});
  }

  void write() {
    k_cache = aten("index_copy_.default", k_cache,
                   {{"dim", of(2)}, {"index", of("input_pos")}, {"source", of(k)}});
    v_cache = aten("index_copy_.default", v_cache,
                   {{"dim", of(2)}, {"index", of("input_pos")}, {"source", of(v)}});
  }

  // Rows of a [kPositions, kPositions] table at the tokens' positions, as [1, 1, T, kPositions].
  std::string at_positions(const std::string& table) {
    const std::string wide = aten(
        "unsqueeze.default", aten("unsqueeze.default", table, {{"dim", of(0)}}), {{"dim", of(1)}});
    return aten("index.Tensor", wide, {{"indices", tensors({"", "", "input_pos"})}});
  }

  template <typename Allowed>
  std::string mask(const std::string& name, Allowed allowed) {
    std::vector<uint8_t> values;
    for (int64_t p = 0; p < kPositions; ++p) {
      for (int64_t c = 0; c < kPositions; ++c)
        values.push_back(allowed(p, c) ? 1 : 0);
    }
    return at_positions(constant(name, pt2::ScalarType::boolean, {kPositions, kPositions}, values));
  }
  std::string causal() {
    return mask("mask", [](int64_t p, int64_t c) { return c <= p; });
  }

  std::string sdpa(const std::string& mask_name, std::vector<Named> more = {}) {
    std::vector<Named> arguments = {
        {"query", of(q)}, {"key", of(k_cache)}, {"value", of(v_cache)}, {"enable_gqa", of(true)}};
    if (!mask_name.empty()) arguments.push_back({"attn_mask", of(mask_name)});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return call("torch.ops.aten.scaled_dot_product_attention.default", std::move(arguments));
  }

  pt2::ExportedProgram end(const std::string& attended) {
    const std::string rows = aten("transpose.int", attended, {{"dim0", of(1)}, {"dim1", of(2)}});
    const std::string flat =
        aten("reshape.default", rows, {{"shape", sizes({1, -1, kHeads * kDim})}});
    return finish(flat, kHeads * kDim);
  }

  std::string q, k, v, k_cache, v_cache;
  std::string length = "length";
};

inline constexpr const char* kAttention =
    "k_cache = update_cache(k)\n"
    "v_cache = update_cache(v)\n";

inline std::string attention_line(const std::string& graph) {
  const size_t at = graph.find("sdpa_with_kv_cache(");
  return at == std::string::npos ? graph : graph.substr(at, graph.find('\n', at) - at);
}

inline constexpr const char* kPlain =
    "sdpa_with_kv_cache(q, k_cache, v_cache) scale=0.5 heads=4 kv_heads=2 head_dim=4";

}  // namespace nbl::test
