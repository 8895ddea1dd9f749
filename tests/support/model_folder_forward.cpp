#include <cmath>
#include <numbers>

#include "tests/support/model_folder_writer.h"
#include "tests/support/q4.h"

namespace nbl::test {
namespace {

using Vector = std::vector<double>;

void add(const Vector& y, Vector* x) {
  for (size_t i = 0; i < x->size(); ++i)
    (*x)[i] += y[i];
}

double gelu(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

}  // namespace

FolderForward::FolderForward(const FolderSpec& spec, FolderWeights weights, DType cache)
    : spec_(spec),
      weights_(std::move(weights)),
      half_cache_(cache == DType::f16),
      keys_(spec.layers),
      values_(spec.layers) {}

Vector FolderForward::times(const std::string& name, const Vector& x) const {
  const std::vector<float>& w = weights_.at(name);
  Vector out(w.size() / x.size());
  for (size_t i = 0; i < w.size(); ++i)
    out[i / x.size()] += static_cast<double>(w[i]) * x[i % x.size()];
  return out;
}

Vector FolderForward::norm(const std::string& name, const Vector& x) const {
  const std::vector<float>& w = weights_.at(name);
  double squares = 0;
  for (const double v : x)
    squares += v * v;
  const double size = std::sqrt(squares / static_cast<double>(x.size()) + 1e-5);
  Vector out(x.size());
  for (size_t i = 0; i < x.size(); ++i)
    out[i] = x[i] / size * ((spec_.gemma ? 1 : 0) + static_cast<double>(w[i]));
  return out;
}

void FolderForward::norm_heads(const std::string& name, Vector* x) const {
  for (size_t at = 0; at < x->size(); at += spec_.head_dim) {
    const auto begin = x->begin() + static_cast<ptrdiff_t>(at);
    const Vector head = norm(name, Vector(begin, begin + spec_.head_dim));
    std::copy(head.begin(), head.end(), begin);
  }
}

void FolderForward::turn(uint32_t layer, Vector* x) const {
  const bool local = spec_.local_theta != 0 && spec_.windows[layer] != 0;
  const size_t half = spec_.head_dim / 2;
  for (size_t at = 0; at < x->size(); at += spec_.head_dim) {
    for (size_t i = 0; i < half; ++i) {
      const double exponent = -static_cast<double>(i) / static_cast<double>(half);
      double frequency = std::pow(local ? spec_.local_theta : spec_.theta, exponent);
      if (!local && !spec_.inv_freq.empty()) frequency = spec_.inv_freq[i];
      const double c = spec_.magnitude * std::cos(position_ * frequency);
      const double s = spec_.magnitude * std::sin(position_ * frequency);
      double& a = (*x)[at + i];
      double& b = (*x)[at + i + half];
      const double turned = a * c - b * s;
      b = b * c + a * s;
      a = turned;
    }
  }
}

Vector FolderForward::project(const std::string& at, const char* name, const Vector& x) const {
  Vector out = times(at + name + ".weight", x);
  if (!spec_.qkv_bias) return out;
  const std::vector<float>& bias = weights_.at(at + name + ".bias");
  for (size_t i = 0; i < out.size(); ++i)
    out[i] += static_cast<double>(bias[i]);
  return out;
}

Vector FolderForward::attention(const std::string& at, uint32_t layer, const Vector& x) {
  const size_t d = spec_.head_dim;
  Vector q, k, v;
  if (spec_.fused) {
    const Vector all = times(at + "self_attn.qkv_proj.weight", x);
    const auto part = [&](size_t begin, size_t count) {
      return Vector(all.begin() + static_cast<ptrdiff_t>(begin * d),
                    all.begin() + static_cast<ptrdiff_t>((begin + count) * d));
    };
    q = part(0, spec_.heads);
    k = part(spec_.heads, spec_.kv_heads);
    v = part(spec_.heads + spec_.kv_heads, spec_.kv_heads);
  } else {
    q = project(at, "self_attn.q_proj", x);
    k = project(at, "self_attn.k_proj", x);
    v = project(at, "self_attn.v_proj", x);
  }
  if (spec_.qk_norm) {
    norm_heads(at + "self_attn.q_norm.weight", &q);
    norm_heads(at + "self_attn.k_norm.weight", &k);
  }
  turn(layer, &q);
  turn(layer, &k);
  keys_[layer].push_back(half_cache_ ? rounded_to_f16(k) : k);
  values_[layer].push_back(half_cache_ ? rounded_to_f16(v) : v);
  const uint32_t window = spec_.windows.empty() ? 0 : spec_.windows[layer];
  const size_t first = window == 0 || position_ < window ? 0 : position_ - window + 1;
  const double usual = 1 / std::sqrt(static_cast<double>(d));
  const double scale = spec_.attention_scale == 0 ? usual : spec_.attention_scale;
  Vector out(q.size());
  for (uint32_t head = 0; head < spec_.heads; ++head) {
    const size_t own = head * d;
    const size_t shared = head / (spec_.heads / spec_.kv_heads) * d;
    Vector p;
    double total = 0;
    for (size_t t = first; t <= position_; ++t) {
      double dot = 0;
      for (size_t i = 0; i < d; ++i)
        dot += q[own + i] * keys_[layer][t][shared + i];
      total += p.emplace_back(std::exp(dot * scale));
    }
    for (size_t t = first; t <= position_; ++t) {
      for (size_t i = 0; i < d; ++i)
        out[own + i] += p[t - first] / total * values_[layer][t][shared + i];
    }
  }
  return times(at + "self_attn.o_proj.weight", out);
}

Vector FolderForward::feed_forward(const std::string& at, const Vector& x) const {
  Vector gate, up;
  if (spec_.fused) {
    const Vector both = times(at + "mlp.gate_up_proj.weight", x);
    gate.assign(both.begin(), both.begin() + spec_.ffn);
    up.assign(both.begin() + spec_.ffn, both.end());
  } else {
    gate = times(at + "mlp.gate_proj.weight", x);
    up = times(at + "mlp.up_proj.weight", x);
  }
  for (size_t i = 0; i < gate.size(); ++i)
    gate[i] = up[i] * (spec_.gemma ? gelu(gate[i]) : gate[i] / (1 + std::exp(-gate[i])));
  return times(at + "mlp.down_proj.weight", gate);
}

void FolderForward::layer(uint32_t index, Vector* x) {
  const std::string at = "model.layers." + std::to_string(index) + ".";
  Vector attended = attention(at, index, norm(at + "input_layernorm.weight", *x));
  if (spec_.gemma) attended = norm(at + "post_attention_layernorm.weight", attended);
  add(attended, x);
  const char* before = spec_.gemma ? "pre_feedforward_layernorm" : "post_attention_layernorm";
  Vector fed = feed_forward(at, norm(at + before + ".weight", *x));
  if (spec_.gemma) fed = norm(at + "post_feedforward_layernorm.weight", fed);
  add(fed, x);
}

Vector FolderForward::step(uint32_t token) {
  const std::vector<float>& table = weights_.at("model.embed_tokens.weight");
  const double scale = spec_.gemma ? std::sqrt(static_cast<double>(spec_.dim)) : 1;
  Vector x(spec_.dim);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = scale * static_cast<double>(table[size_t{token} * spec_.dim + i]);
  for (uint32_t index = 0; index < spec_.layers; ++index)
    layer(index, &x);
  ++position_;
  const char* head = spec_.tied ? "model.embed_tokens.weight" : "lm_head.weight";
  return times(head, norm("model.norm.weight", x));
}

}  // namespace nbl::test
