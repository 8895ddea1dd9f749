// What a .nbl file says, as plain structs read on demand from the borrowed bytes.
//
// A Model comes only from load() (rt/load.h), which has checked every index, shape and offset; the
// accessors therefore check nothing. They decode from the FlatBuffer on each call and keep no
// state: a Model owns nothing and is free to copy.
//
// Borrows  the file's bytes, for as long as the Model or anything planned from it is in use.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "rt/base/limits.h"
#include "rt/base/status.h"
#include "rt/model/chat_table.h"
#include "rt/model/function.h"
#include "rt/model/q4.h"
#include "rt/model/tokenizer_tables.h"

namespace nbl {

namespace fb {
struct Model;
}

enum class Role : uint8_t { input, activation, weight, state };
enum class DType : uint8_t { u32, f32, f16, q4, i8, q8 };

// Weights in groups that share a scale (Q4Format).
constexpr bool is_quantized(DType dtype) {
  return dtype == DType::q4 || dtype == DType::q8;
}

// The ops of a graph. Inputs and outputs are listed in their order in the file; [x] = may be absent
// (-1). T = live tokens, E, K, N = columns.
enum class OpKind : uint8_t {
  // tokens u32 [T], weight q4 [V, E] -> out [T, E].     out[t] = weight[tokens[t]]
  embedding_q4gsw,
  // x [T, E], weight f32 [E/H] -> out [T, E].           out = x / sqrt(mean(x^2) + eps) * weight,
  // each of the H = max(heads, 1) slices of a row on its own.
  rms_norm,
  // x [T, K], weight q4 [N, K], [norm f32 [K]], [bias f32 [N]], [residual [T, N]] -> out [T, N].
  // out = (norm ? rms_norm(x, norm, eps) : x) * weight^T + bias + residual; with swiglu, rows
  // 2i and 2i+1 are gate and up and out[i] = silu(gate) * up [T, N/2], or gelu_tanh(gate) * up
  // where
  // that is its function.
  linear_q4gsw,
  // x [T, H*D], table f32 [64 + ceil(context/64), R] -> out [T, H*D].  Rotates each head at its
  // position; the table holds (cos, sin) pairs (docs/format.md).
  rope,
  // x [T, Hkv*D] -> cache [Hkv, context, D].            Writes rows input_pos .. input_pos+T-1.
  update_cache,
  // qkv [T, (H+2*Hkv)*D], table, [norm f32 [2*D]] -> q [T, H*D], k cache, v cache.
  // rope of q and k, then update_cache. With a norm, each head of q and k is normed before it
  // turns:
  // those of q by the first D weights, those of k by the others.
  rope_update_cache,
  // q [T, H*D], k cache, v cache, [mask f32 [context, context]] -> out [T, H*D].
  // softmax(softcap(scale * q k^T) + mask) v over the keys that a row sees (docs/format.md).
  sdpa_with_kv_cache,
  // gate [T, F], up [T, F] -> out [T, F].               out = gate / (1 + exp(-gate)) * up
  swiglu,
  // a [T, E], b [T, E] -> out [T, E].
  add,
  // logits [T, V] -> nothing in the graph.              The next token, by the sampling rule.
  sample,
  // a [T, C], [b] -> out [T, C].                        out = function(a, b): b is [T, C], [T, 1]
  // or
  // an f32 weight [D] that repeats, C % D == 0; absent, alpha. add and sub take alpha * b.
  elementwise,
  // x [T, C] -> out [T, N].                             Columns offset .. offset + N - 1.
  slice,
  // 2 to 4 inputs [T, C_i] -> out [T, sum C_i].         Side by side.
  cat,
  // x [T, H*D] -> out [T, D*H].                         Columns [heads, head_dim], transposed.
  permute,
  // x [T, C] -> out [T, C].                             exp(scale * x) / sum over C of it
  softmax,
  // As linear_q4gsw, but each row of (normed) x is rounded to int8 first, with a scale and a zero
  // point of its own (docs/kernels.md): out = s * sum (xq - zero) * weight + bias + residual.
  linear_dq8ca_q4gsw,
  // As embedding_q4gsw and linear_q4gsw, with a q8 weight.
  embedding_q8gsw,
  linear_q8gsw,
};
inline constexpr uint32_t kOpKindCount = 18;

constexpr bool is_linear(OpKind kind) {
  return kind == OpKind::linear_q4gsw || kind == OpKind::linear_dq8ca_q4gsw ||
         kind == OpKind::linear_q8gsw;
}
constexpr bool is_embedding(OpKind kind) {
  return kind == OpKind::embedding_q4gsw || kind == OpKind::embedding_q8gsw;
}
// Of the weight that an embedding or a linear reads.
constexpr DType weight_dtype(OpKind kind) {
  const bool eight = kind == OpKind::embedding_q8gsw || kind == OpKind::linear_q8gsw;
  return eight ? DType::q8 : DType::q4;
}

// The names in the file, in the order of the enums.
inline constexpr std::string_view kOpKindNames[kOpKindCount] = {"embedding_q4gsw",
                                                                "rms_norm",
                                                                "linear_q4gsw",
                                                                "rope",
                                                                "update_cache",
                                                                "rope_update_cache",
                                                                "sdpa_with_kv_cache",
                                                                "swiglu",
                                                                "add",
                                                                "sample",
                                                                "elementwise",
                                                                "slice",
                                                                "cat",
                                                                "permute",
                                                                "softmax",
                                                                "linear_dq8ca_q4gsw",
                                                                "embedding_q8gsw",
                                                                "linear_q8gsw"};
inline constexpr std::string_view kRoleNames[] = {"input", "activation", "weight", "state"};
inline constexpr std::string_view kDTypeNames[] = {"u32", "f32", "f16", "q4", "i8", "q8"};
inline constexpr std::string_view kLayoutNames[] = {"row_major", "q4_t16k8", "q4_rows_linear",
                                                    "q4_rows_embedding", "q8_t16k4"};

struct Segment {
  uint64_t offset;  // bytes from the start of the file
  uint64_t size;    // bytes
  const uint8_t* sha256;
};

struct Tensor {
  std::string_view name;
  Role role;
  DType dtype;
  Layout layout;
  uint8_t rank;
  uint32_t shape[kMaxRank];  // shape[0] of an activation is 0: the live token count
  uint32_t group_size;       // q4, q8
  int32_t data;              // segment of the values, -1 = none
  int32_t scales;            // segment of the scales, -1 = none
  bool f32_scales;           // q4, q8: else f16

  uint32_t columns() const { return shape[rank - 1]; }
  uint32_t rows() const { return rank < 2 ? 1 : shape[0]; }
};

struct Op {
  OpKind kind;
  std::string_view name;
  uint8_t input_count;
  uint8_t output_count;
  int32_t inputs[kMaxOpInputs];  // tensor indices, -1 = absent
  int32_t outputs[kMaxOpOutputs];
  float eps;
  float scale;
  uint32_t heads;
  uint32_t kv_heads;
  uint32_t head_dim;
  uint32_t rotary_dim;
  bool rope_half;
  bool swiglu;
  bool last_row;
  Function function;
  float alpha;
  uint32_t offset;
  uint32_t window;  // 0 = none
  float softcap;    // 0 = none
  bool full;        // not causal
};

class Model {
 public:
  Model() = default;
  Model(const fb::Model* root, std::span<const std::byte> file) : root_(root), file_(file) {}

  uint32_t tensor_count() const;
  uint32_t op_count() const;
  uint32_t segment_count() const;
  Tensor tensor(uint32_t index) const;
  Op op(uint32_t index) const;
  Segment segment(uint32_t index) const;
  std::span<const std::byte> segment_bytes(uint32_t index) const;
  // True where the segment holds the values of q4_t16k8 weights and nothing else, and where only
  // ops of the kinds in the mask (1 << OpKind) read them.
  bool serves_only(uint32_t segment, uint32_t op_kinds) const;

  std::string_view name() const;
  std::string_view architecture() const;
  uint32_t vocab_size() const;
  uint32_t context_length() const;
  uint32_t prefill_chunk() const;
  std::span<const uint32_t> stop_tokens() const;

  // Bytes that all caches take at one position.
  uint64_t position_bytes() const;
  // The tokens that the model starts after, and the rows of the caches that they leave:
  // position_bytes() for each. None where the model has no prefix.
  std::span<const uint32_t> prefix() const;
  std::span<const std::byte> prefix_rows() const;

  // False where the model has none; the table is then untouched.
  bool tokenizer(TokenizerTables* tables) const;
  bool chat(ChatTable* table) const;  // table may be null

  std::span<const std::byte> file() const { return file_; }
  const fb::Model* root() const { return root_; }

 private:
  const fb::Model* root_ = nullptr;
  std::span<const std::byte> file_;
};

constexpr Q4Format q4_format(const Tensor& weight) {
  return {weight.layout, weight.group_size, weight.f32_scales};
}

// Elements from one activation row to the next.
constexpr uint32_t row_stride(uint32_t columns) {
  return (columns + kRowAlign - 1) & ~(kRowAlign - 1);
}

}  // namespace nbl
