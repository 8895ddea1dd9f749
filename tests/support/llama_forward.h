// A forward pass of llama and its kin in float64, written from the papers: it knows weights by name
// and nothing of graphs, files or fusion.
//
// Keys and values are rounded to f16, as the runtime's cache holds them. RoPE turns the pairs
// (2i, 2i+1) in llama, the convention of GGUF's llama files and of llama2.c, and (i, i + R/2) in
// the others. Norms multiply by the weight as it is.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/support/q4.h"
#include "tests/support/synthetic_llama.h"

namespace nbl::test {

class LlamaForward {
 public:
  // [rows, columns] by canonical name; no "output" where it is tied.
  using Weights = std::map<std::string, std::vector<float>>;

  LlamaForward(const LlamaSpec& spec, Weights weights)
      : spec_(spec), weights_(std::move(weights)), keys_(spec.layers), values_(spec.layers) {}

  std::vector<double> step(uint32_t token) {
    const std::vector<float>& table = weights_.at("token_embd");
    const double scale = spec_.is("gemma3") ? std::sqrt(static_cast<double>(spec_.dim)) : 1;
    Vector x(spec_.dim);
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = static_cast<double>(table[size_t{token} * spec_.dim + i]) * scale;
    for (uint32_t l = 0; l < spec_.layers; ++l) {
      const std::string at = "blk." + std::to_string(l) + ".";
      attention(at, l, &x);
      feed_forward(at, &x);
    }
    ++position_;
    Vector logits =
        times(weights_.count("output") != 0 ? "output" : "token_embd", norm("output_norm", x));
    for (double& v : logits)
      v = capped(v, spec_.logit_softcap);
    return logits;
  }

 private:
  using Vector = std::vector<double>;

  Vector times(const std::string& name, const Vector& x) const {
    const std::vector<float>& w = weights_.at(name);
    Vector out(w.size() / x.size());
    for (size_t i = 0; i < w.size(); ++i)
      out[i / x.size()] += static_cast<double>(w[i]) * x[i % x.size()];
    return out;
  }

  Vector norm(const std::string& name, Vector x) const {
    double squares = 0;
    for (const double v : x)
      squares += v * v;
    const double size = std::sqrt(squares / spec_.dim + static_cast<double>(spec_.eps));
    for (size_t i = 0; i < x.size(); ++i)
      x[i] *= static_cast<double>(weights_.at(name)[i]) / size;
    return x;
  }

  static double capped(double x, float cap) {
    const double c = static_cast<double>(cap);
    return cap == 0 ? x : c * std::tanh(x / c);
  }

  // x W + b, where there is a b.
  Vector projected(const std::string& name, const Vector& x) const {
    Vector out = times(name, x);
    const auto bias = weights_.find(name + ".bias");
    for (size_t i = 0; bias != weights_.end() && i < out.size(); ++i)
      out[i] += static_cast<double>(bias->second[i]);
    return out;
  }

  // Every head by the same weights, where there are any.
  void norm_heads(const std::string& name, Vector* x) const {
    if (weights_.count(name) == 0) return;
    const std::vector<float>& w = weights_.at(name);
    for (size_t head = 0; head < x->size(); head += spec_.head_dim) {
      double squares = 0;
      for (size_t i = 0; i < spec_.head_dim; ++i)
        squares += (*x)[head + i] * (*x)[head + i];
      const double size = std::sqrt(squares / spec_.head_dim + static_cast<double>(spec_.eps));
      for (size_t i = 0; i < spec_.head_dim; ++i)
        (*x)[head + i] *= static_cast<double>(w[i]) / size;
    }
  }

  // The angle of pair i at the current position.
  double angle(uint32_t layer, size_t i, uint32_t rotary) const {
    const auto factor_of = [&](const std::vector<float>& list) {
      return list.empty() ? 1.0 : static_cast<double>(list[i]);
    };
    const double exponent = -2.0 * static_cast<double>(i) / rotary;
    if (spec_.local_theta != 0 && spec_.has_window(layer))
      return position_ * std::pow(spec_.local_theta, exponent);
    const bool is_long = spec_.context > spec_.short_context;
    return position_ * std::pow(spec_.theta, exponent) / spec_.rope_linear /
           factor_of(spec_.rope_factors) /
           factor_of(is_long ? spec_.long_factors : spec_.short_factors);
  }

  void turn(uint32_t layer, Vector* x) const {
    const uint32_t rotary = spec_.rotary_dim == 0 ? spec_.head_dim : spec_.rotary_dim;
    const bool neighbours = spec_.is("llama");
    const double length = static_cast<double>(spec_.rope_magnitude);
    for (size_t head = 0; head < x->size(); head += spec_.head_dim) {
      for (size_t i = 0; i < rotary / 2; ++i) {
        double& a = (*x)[head + (neighbours ? 2 * i : i)];
        double& b = (*x)[head + (neighbours ? 2 * i + 1 : i + rotary / 2)];
        const double turned = angle(layer, i, rotary), real = a, imaginary = b;
        a = length * (real * std::cos(turned) - imaginary * std::sin(turned));
        b = length * (real * std::sin(turned) + imaginary * std::cos(turned));
      }
    }
  }

  void attention(const std::string& at, uint32_t layer, Vector* x) {
    const Vector a = norm(at + "attn_norm", *x);
    Vector q = projected(at + "attn_q", a);
    Vector k = projected(at + "attn_k", a);
    norm_heads(at + "attn_q_norm", &q);
    norm_heads(at + "attn_k_norm", &k);
    turn(layer, &q);
    turn(layer, &k);
    keys_[layer].push_back(rounded_to_f16(k));
    values_[layer].push_back(rounded_to_f16(projected(at + "attn_v", a)));
    Vector out(q.size());
    for (uint32_t head = 0; head < spec_.heads; ++head)
      attend(q, layer, head, &out);
    add(normed(at + "post_attention_norm", times(at + "attn_output", out)), x);
  }

  void attend(const Vector& q, uint32_t layer, uint32_t head, Vector* out) const {
    const size_t d = spec_.head_dim;
    const size_t own = head * d, shared = head / (spec_.heads / spec_.kv_heads) * d;
    const double usual = 1 / std::sqrt(static_cast<double>(d));
    const double scale = spec_.attention_scale == 0 ? usual : spec_.attention_scale;
    Vector p(keys_[layer].size());
    double total = 0;
    for (size_t t = 0; t < p.size(); ++t) {
      if (spec_.has_window(layer) && t + spec_.window <= position_) continue;
      double dot = 0;
      for (size_t i = 0; i < d; ++i)
        dot += q[own + i] * keys_[layer][t][shared + i];
      p[t] = std::exp(capped(scale * dot, spec_.attention_softcap));
      total += p[t];
    }
    for (size_t t = 0; t < p.size(); ++t) {
      for (size_t i = 0; i < d; ++i)
        (*out)[own + i] += p[t] / total * values_[layer][t][shared + i];
    }
  }

  void feed_forward(const std::string& at, Vector* x) const {
    const Vector f = norm(at + "ffn_norm", *x);
    Vector gate = times(at + "ffn_gate", f);
    const Vector up = times(at + "ffn_up", f);
    for (size_t i = 0; i < gate.size(); ++i)
      gate[i] = up[i] * (spec_.is("gemma3") ? gelu(gate[i]) : gate[i] / (1 + std::exp(-gate[i])));
    add(normed(at + "post_ffw_norm", times(at + "ffn_down", gate)), x);
  }

  // The approximation by tanh.
  static double gelu(double x) {
    return x / 2 * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
  }

  Vector normed(const std::string& name, const Vector& x) const {
    return weights_.count(name) == 0 ? x : norm(name, x);
  }

  static void add(const Vector& y, Vector* x) {
    for (size_t i = 0; i < x->size(); ++i)
      (*x)[i] += y[i];
  }

  LlamaSpec spec_;
  Weights weights_;
  uint32_t position_ = 0;
  std::vector<std::vector<Vector>> keys_, values_;  // [layer][position]
};

}  // namespace nbl::test
