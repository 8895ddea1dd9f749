#include "compiler/arch/network.h"

#include <fmt/format.h>

#include <cmath>

#include "compiler/arch/rope_table.h"
#include "compiler/error.h"

namespace nbl::compiler {

std::string Layer::operator()(const char* what) const {
  return fmt::format("blk.{}.{}", index, what);
}

Network::Network(const Checkpoint& checkpoint, const ArchitectureOptions& options)
    : checkpoint_(checkpoint), hyper_(checkpoint.hyper), cache_(options.cache) {
  graph_.name = hyper_.name;
  graph_.architecture = hyper_.architecture;
  graph_.vocab_size = hyper_.vocab;
  graph_.context_length = options.context;
  graph_.prefill_chunk = options.prefill_chunk;
  graph_.stop_tokens = hyper_.stop_tokens;
  const bool is_long =
      hyper_.rope_short_context != 0 && options.context > hyper_.rope_short_context;
  rope_table_ =
      rope_weight("rope_table", is_long ? hyper_.rope_long_inv_freq : hyper_.rope_inv_freq);
  local_rope_table_ = hyper_.local_rope_inv_freq.empty()
                          ? rope_table_
                          : rope_weight("local_rope_table", hyper_.local_rope_inv_freq);
}

int32_t Network::tokens() {
  return graph_.add({.name = "tokens", .role = Role::input, .dtype = DType::u32, .shape = {0}});
}

int32_t Network::embedding(const std::string& name, int32_t tokens) {
  const int32_t rows =
      op({.kind = OpKind::embedding_q4gsw, .name = "embedding", .inputs = {tokens, matrix(name)}},
         hyper_.dim);
  if (hyper_.embedding_scale == 1) return rows;
  return multiply("embedding_scale", rows, hyper_.embedding_scale);
}

int32_t Network::rms_norm(const std::string& name, int32_t x) {
  return op({.kind = OpKind::rms_norm,
             .name = name,
             .inputs = {x, vector(name, hyper_.norm_offset)},
             .eps = hyper_.eps},
            graph_.columns(x));
}

int32_t Network::head_norm(const std::string& name, int32_t x) {
  const int32_t out = rms_norm(name, x);
  const uint32_t heads = graph_.columns(x) / hyper_.head_dim;
  graph_.ops.back().heads = heads == 1 ? 0 : heads;
  return out;
}

int32_t Network::linear(const std::string& name, int32_t x) {
  const int32_t w = matrix(name);
  return op({.kind = OpKind::linear_q4gsw, .name = name, .inputs = {x, w}},
            graph_.tensor(w).shape[0]);
}

int32_t Network::linear_with_bias(const std::string& name, int32_t x) {
  const int32_t bias = vector(name + ".bias", 0);
  const int32_t out = linear(name, x);
  graph_.ops.back().inputs.insert(graph_.ops.back().inputs.end(), {kAbsent, bias});
  return out;
}

int32_t Network::add(const std::string& name, int32_t a, int32_t b) {
  return op({.kind = OpKind::add, .name = name, .inputs = {a, b}}, graph_.columns(a));
}

int32_t Network::multiply(const std::string& name, int32_t x, float factor) {
  return function(name, Function::mul, x, factor);
}

int32_t Network::softcap(const std::string& name, int32_t x, float c) {
  x = function(name + ".tanh", Function::tanh, multiply(name + ".in", x, 1 / c));
  return multiply(name, x, c);
}

int32_t Network::attention(const Layer& at, int32_t q, int32_t k, int32_t v) {
  q = rope(at("q"), q, at);
  const int32_t k_cache = cache(at("k_cache"), rope(at("k"), k, at));
  const int32_t v_cache = cache(at("v_cache"), v);
  const double usual = 1 / std::sqrt(static_cast<double>(hyper_.head_dim));
  const float scale =
      hyper_.attention_scale == 0 ? static_cast<float>(usual) : hyper_.attention_scale;
  const uint32_t window = has_window(at) ? hyper_.windows[at.index] : 0;
  return op({.kind = OpKind::sdpa_with_kv_cache,
             .name = at("attention"),
             .inputs = {q, k_cache, v_cache},
             .scale = scale,
             .heads = hyper_.heads,
             .kv_heads = hyper_.kv_heads,
             .head_dim = hyper_.head_dim,
             .window = window < graph_.context_length ? window : 0,
             .softcap = hyper_.attention_softcap},
            graph_.columns(q));
}

int32_t Network::feed_forward(const Layer& at, int32_t x) {
  const int32_t gate = linear(at("ffn_gate"), x);
  const int32_t up = linear(at("ffn_up"), x);
  int32_t hidden = kAbsent;
  if (hyper_.gate == Gate::silu) {
    hidden = op({.kind = OpKind::swiglu, .name = at("ffn_swiglu"), .inputs = {gate, up}},
                graph_.columns(gate));
  } else {
    const int32_t open = function(at("ffn_gelu"), Function::gelu_tanh, gate);
    hidden = op({.kind = OpKind::elementwise,
                 .name = at("ffn_geglu"),
                 .inputs = {open, up},
                 .function = Function::mul},
                graph_.columns(gate));
  }
  return linear(at("ffn_down"), hidden);
}

void Network::predict(int32_t x) {
  const bool tied = !checkpoint_.tensors.contains("output");
  int32_t logits = linear(tied ? "token_embd" : "output", x);
  graph_.ops.back().name = "logits";
  graph_.tensor(logits).name = "logits";
  graph_.ops.back().last_row = true;  // the last token's logits are enough to go on
  if (hyper_.logit_softcap != 0) logits = softcap("logit_softcap", logits, hyper_.logit_softcap);
  graph_.ops.push_back({.kind = OpKind::sample, .name = "sample", .inputs = {logits}});
}

int32_t Network::op(GraphOp op, uint32_t columns) {
  const int32_t out = graph_.add({.name = op.name, .shape = {0, columns}});
  op.outputs = {out};
  graph_.ops.push_back(std::move(op));
  return out;
}

int32_t Network::function(const std::string& name, Function function, int32_t x, float alpha) {
  return op({.kind = OpKind::elementwise,
             .name = name,
             .inputs = {x},
             .function = function,
             .alpha = alpha},
            graph_.columns(x));
}

int32_t Network::rope(const std::string& name, int32_t x, const Layer& at) {
  return op({.kind = OpKind::rope,
             .name = name,
             .inputs = {x, has_window(at) ? local_rope_table_ : rope_table_},
             .heads = graph_.columns(x) / hyper_.head_dim,
             .head_dim = hyper_.head_dim,
             .rotary_dim = hyper_.rotary_dim,
             .rope_half = hyper_.rope_half},
            graph_.columns(x));
}

int32_t Network::cache(const std::string& name, int32_t x) {
  const int32_t state =
      graph_.add({.name = name,
                  .role = Role::state,
                  .dtype = cache_,
                  .shape = {hyper_.kv_heads, graph_.context_length, hyper_.head_dim}});
  graph_.ops.push_back(
      {.kind = OpKind::update_cache, .name = name, .inputs = {x}, .outputs = {state}});
  return state;
}

bool Network::has_window(const Layer& at) const {
  return !hyper_.windows.empty() && hyper_.windows[at.index] != 0;
}

const SourceTensor* Network::source(const std::string& name) const {
  const auto found = checkpoint_.tensors.find(name);
  if (found != checkpoint_.tensors.end()) return &found->second;
  throw CompileError(fmt::format("the checkpoint has no {}", name));
}

int32_t Network::matrix(const std::string& name) {
  const SourceTensor* from = source(name);
  auto constant = std::make_shared<Constant>();
  if (from->quantized) {
    constant->quantized = from->quantized;
  } else {
    constant->sources = {from};
  }
  return graph_.add(
      {.name = name + ".weight",
       .role = Role::weight,
       .dtype = DType::q4,
       .shape = {static_cast<uint32_t>(from->rows), static_cast<uint32_t>(from->columns)},
       .constant = std::move(constant)});
}

int32_t Network::vector(const std::string& name, float offset) {
  const SourceTensor* from = source(name);
  auto constant = std::make_shared<Constant>();
  if (offset == 0) {
    constant->sources = {from};
  } else {
    constant->values.resize(from->columns);
    from->read_row(0, constant->values.data());
    for (float& value : constant->values)
      value += offset;
  }
  return graph_.add({.name = name.ends_with(".bias") ? name : name + ".weight",
                     .role = Role::weight,
                     .dtype = DType::f32,
                     .shape = {static_cast<uint32_t>(from->columns)},
                     .constant = std::move(constant)});
}

int32_t Network::rope_weight(const char* name, const std::vector<double>& frequencies) {
  auto constant = std::make_shared<Constant>();
  constant->values =
      rope_table(frequencies, graph_.context_length, static_cast<double>(hyper_.rope_magnitude));
  const auto rows = static_cast<uint32_t>(constant->values.size() / hyper_.rotary_dim);
  return graph_.add({.name = name,
                     .role = Role::weight,
                     .dtype = DType::f32,
                     .shape = {rows, hyper_.rotary_dim},
                     .constant = std::move(constant)});
}

}  // namespace nbl::compiler
