#include "compiler/arch/llama.h"

#include <fmt/format.h>

#include <cmath>

#include "compiler/error.h"

namespace nbl::compiler {
namespace {

constexpr uint32_t kMaxHeadDim = 256;
constexpr uint32_t kMaxHeads = 1024;
constexpr uint32_t kMaxPrefillChunk = 4096;
constexpr uint32_t kMaxContext = 1u << 24;

void require(bool holds, const std::string& sentence) {
  if (!holds) throw CompileError(sentence);
}

void check_hyper(const Hyper& h, const ArchitectureOptions& options) {
  require(h.architecture == "llama",
          fmt::format("the architecture {} is not supported; llama is", h.architecture));
  require(h.layers > 0 && h.vocab > 0 && h.dim > 0 && h.ffn > 0, "the model is empty");
  require(h.vocab <= kMaxDim && h.dim <= kMaxDim && h.ffn <= kMaxDim / 2,
          fmt::format("a dimension of the model is larger than {}", kMaxDim));
  require(h.head_dim > 0 && h.head_dim % 4 == 0 && h.head_dim <= kMaxHeadDim,
          fmt::format("the head dimension is {}; it must be a multiple of 4 and at most {}",
                      h.head_dim, kMaxHeadDim));
  require(h.heads > 0 && h.heads <= kMaxHeads,
          fmt::format("the model has {} heads; at most {} are supported", h.heads, kMaxHeads));
  require(h.kv_heads > 0 && h.heads % h.kv_heads == 0,
          fmt::format("{} attention heads cannot share {} key-value heads evenly", h.heads,
                      h.kv_heads));
  require(
      h.rotary_dim > 0 && h.rotary_dim % 2 == 0 && h.rotary_dim <= h.head_dim,
      fmt::format("the rotary dimension is {}; it must be even and at most the head dimension {}",
                  h.rotary_dim, h.head_dim));
  require(h.rope_inv_freq.size() == h.rotary_dim / 2,
          fmt::format("the model has {} rotary frequencies; {} are needed", h.rope_inv_freq.size(),
                      h.rotary_dim / 2));
  require(h.eps > 0 && std::isfinite(h.eps),
          fmt::format("the norm epsilon is {}; it must be positive", h.eps));
  require(options.context > 0 && options.context <= h.context && options.context <= kMaxContext,
          fmt::format("the context is {}; this checkpoint allows 1 to {}", options.context,
                      std::min(h.context, kMaxContext)));
  require(options.prefill_chunk > 0 && options.prefill_chunk <= kMaxPrefillChunk,
          fmt::format("the prefill chunk is {}; it must be 1 to {}", options.prefill_chunk,
                      kMaxPrefillChunk));
}

// The vocabulary of the architecture: each method appends one op and returns what it computes.
class Builder {
 public:
  Builder(const Checkpoint& checkpoint, const ArchitectureOptions& options)
      : checkpoint_(checkpoint), hyper_(checkpoint.hyper), cache_(options.cache) {
    graph_.name = hyper_.name;
    graph_.architecture = hyper_.architecture;
    graph_.vocab_size = hyper_.vocab;
    graph_.context_length = options.context;
    graph_.prefill_chunk = options.prefill_chunk;
    graph_.stop_tokens = hyper_.stop_tokens;
    rope_table_ = rope_weight();
  }

  Graph take() { return std::move(graph_); }

  int32_t tokens() {
    return graph_.add({.name = "tokens", .role = Role::input, .dtype = DType::u32, .shape = {0}});
  }

  int32_t state(const std::string& name) {
    return graph_.add({.name = name,
                       .role = Role::state,
                       .dtype = cache_,
                       .shape = {hyper_.kv_heads, graph_.context_length, hyper_.head_dim}});
  }

  int32_t embedding(const std::string& name, int32_t tokens, const std::string& weight) {
    return op({.kind = OpKind::embedding_q4gsw, .name = name, .inputs = {tokens, matrix(weight)}},
              hyper_.dim);
  }

  int32_t rms_norm(const std::string& name, int32_t x, const std::string& weight) {
    return op(
        {.kind = OpKind::rms_norm, .name = name, .inputs = {x, vector(weight)}, .eps = hyper_.eps},
        graph_.columns(x));
  }

  int32_t linear(const std::string& name, int32_t x, const std::string& weight) {
    const int32_t w = matrix(weight);
    return op({.kind = OpKind::linear_q4gsw, .name = name, .inputs = {x, w}},
              graph_.tensor(w).shape[0]);
  }

  int32_t rope(const std::string& name, int32_t x) {
    return op({.kind = OpKind::rope,
               .name = name,
               .inputs = {x, rope_table_},
               .heads = graph_.columns(x) / hyper_.head_dim,
               .head_dim = hyper_.head_dim,
               .rotary_dim = hyper_.rotary_dim,
               .rope_half = hyper_.rope_half},
              graph_.columns(x));
  }

  void update_cache(const std::string& name, int32_t x, int32_t cache) {
    graph_.ops.push_back(
        {.kind = OpKind::update_cache, .name = name, .inputs = {x}, .outputs = {cache}});
  }

  int32_t attention(const std::string& name, int32_t q, int32_t k_cache, int32_t v_cache) {
    return op({.kind = OpKind::sdpa_with_kv_cache,
               .name = name,
               .inputs = {q, k_cache, v_cache},
               .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(hyper_.head_dim))),
               .heads = hyper_.heads,
               .kv_heads = hyper_.kv_heads,
               .head_dim = hyper_.head_dim},
              graph_.columns(q));
  }

  int32_t swiglu(const std::string& name, int32_t gate, int32_t up) {
    return op({.kind = OpKind::swiglu, .name = name, .inputs = {gate, up}}, graph_.columns(gate));
  }

  int32_t add(const std::string& name, int32_t a, int32_t b) {
    return op({.kind = OpKind::add, .name = name, .inputs = {a, b}}, graph_.columns(a));
  }

  // Only the last token's logits are needed to go on.
  int32_t logits(const std::string& name, int32_t x, const std::string& weight) {
    const int32_t out = linear(name, x, weight);
    graph_.ops.back().last_row = true;
    return out;
  }

  void sample(int32_t logits) {
    graph_.ops.push_back({.kind = OpKind::sample, .name = "sample", .inputs = {logits}});
  }

 private:
  int32_t op(GraphOp op, uint32_t columns) {
    const int32_t out = graph_.add({.name = op.name, .shape = {0, columns}});
    op.outputs = {out};
    graph_.ops.push_back(std::move(op));
    return out;
  }

  const SourceTensor* source(const std::string& name) const {
    const auto found = checkpoint_.tensors.find(name);
    require(found != checkpoint_.tensors.end(), fmt::format("the checkpoint has no {}", name));
    return &found->second;
  }

  int32_t weight(const std::string& name, DType dtype, std::vector<uint32_t> shape) {
    auto constant = std::make_shared<Constant>();
    constant->sources = {source(name)};
    return graph_.add({.name = name + ".weight",
                       .role = Role::weight,
                       .dtype = dtype,
                       .shape = std::move(shape),
                       .constant = std::move(constant)});
  }

  int32_t matrix(const std::string& name) {
    const SourceTensor* from = source(name);
    return weight(name, DType::q4,
                  {static_cast<uint32_t>(from->rows), static_cast<uint32_t>(from->columns)});
  }

  int32_t vector(const std::string& name) {
    return weight(name, DType::f32, {static_cast<uint32_t>(source(name)->columns)});
  }

  int32_t rope_weight() {
    auto constant = std::make_shared<Constant>();
    constant->values = rope_table(hyper_.rope_inv_freq, graph_.context_length);
    const auto rows = static_cast<uint32_t>(constant->values.size() / hyper_.rotary_dim);
    return graph_.add({.name = "rope_table",
                       .role = Role::weight,
                       .dtype = DType::f32,
                       .shape = {rows, hyper_.rotary_dim},
                       .constant = std::move(constant)});
  }

  const Checkpoint& checkpoint_;
  const Hyper& hyper_;
  const DType cache_;
  Graph graph_;
  int32_t rope_table_ = kAbsent;
};

// One block: x + attention(norm(x)), then x + feed-forward(norm(x)).
int32_t layer(Builder& net, const std::string& at, int32_t x) {
  const int32_t a = net.rms_norm(at + "attn_norm", x, at + "attn_norm");
  const int32_t q = net.rope(at + "q", net.linear(at + "attn_q", a, at + "attn_q"));
  const int32_t k = net.rope(at + "k", net.linear(at + "attn_k", a, at + "attn_k"));
  const int32_t v = net.linear(at + "attn_v", a, at + "attn_v");
  const int32_t k_cache = net.state(at + "k_cache");
  const int32_t v_cache = net.state(at + "v_cache");
  net.update_cache(at + "k_cache", k, k_cache);
  net.update_cache(at + "v_cache", v, v_cache);
  const int32_t heads = net.attention(at + "attention", q, k_cache, v_cache);
  const int32_t attended = net.linear(at + "attn_output", heads, at + "attn_output");
  x = net.add(at + "attn_residual", x, attended);

  const int32_t f = net.rms_norm(at + "ffn_norm", x, at + "ffn_norm");
  const int32_t gate = net.linear(at + "ffn_gate", f, at + "ffn_gate");
  const int32_t up = net.linear(at + "ffn_up", f, at + "ffn_up");
  const int32_t hidden = net.swiglu(at + "ffn_swiglu", gate, up);
  const int32_t down = net.linear(at + "ffn_down", hidden, at + "ffn_down");
  return net.add(at + "ffn_residual", x, down);
}

}  // namespace

std::vector<float> rope_table(const std::vector<double>& inverse_frequencies, uint32_t context) {
  const uint32_t coarse_rows = (context + kRopeFineRows - 1) / kRopeFineRows;
  std::vector<float> table;
  table.reserve((kRopeFineRows + coarse_rows) * 2 * inverse_frequencies.size());
  for (uint32_t row = 0; row < kRopeFineRows + coarse_rows; ++row) {
    const double position =
        row < kRopeFineRows ? row : static_cast<double>(row - kRopeFineRows) * kRopeFineRows;
    for (const double frequency : inverse_frequencies) {
      table.push_back(static_cast<float>(std::cos(position * frequency)));
      table.push_back(static_cast<float>(std::sin(position * frequency)));
    }
  }
  return table;
}

Graph build_llama(const Checkpoint& checkpoint, const ArchitectureOptions& options) {
  check_hyper(checkpoint.hyper, options);
  Builder net(checkpoint, options);
  int32_t x = net.embedding("embedding", net.tokens(), "token_embd");
  for (uint32_t i = 0; i < checkpoint.hyper.layers; ++i) {
    x = layer(net, fmt::format("blk.{}.", i), x);
  }
  x = net.rms_norm("output_norm", x, "output_norm");
  const bool tied = !checkpoint.tensors.contains("output");
  net.sample(net.logits("logits", x, tied ? "token_embd" : "output"));
  Graph graph = net.take();
  tidy(&graph);
  return graph;
}

}  // namespace nbl::compiler
