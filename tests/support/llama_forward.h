// A llama forward pass in float64, written from the papers: it knows weights by name and nothing of
// graphs, files or fusion.
//
// Keys and values are rounded to f16, as the runtime's cache holds them. RoPE turns the pairs
// (2i, 2i+1), the convention of GGUF's llama files and of llama2.c.
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
    Vector x(spec_.dim);
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = static_cast<double>(table[size_t{token} * spec_.dim + i]);
    for (uint32_t l = 0; l < spec_.layers; ++l) {
      const std::string at = "blk." + std::to_string(l) + ".";
      attention(at, l, &x);
      feed_forward(at, &x);
    }
    ++position_;
    return times(weights_.count("output") != 0 ? "output" : "token_embd", norm("output_norm", x));
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

  // f(m): the pair 2i, 2i+1 of every head turns by m * theta^(-2i/R), divided by the factors.
  void turn(Vector* x) const {
    const uint32_t rotary = spec_.rotary_dim == 0 ? spec_.head_dim : spec_.rotary_dim;
    for (size_t i = 0; i < x->size(); i += 2) {
      const size_t d = i % spec_.head_dim;
      if (d >= rotary) continue;
      double angle = position_ * std::pow(spec_.theta, -static_cast<double>(d) / rotary);
      if (!spec_.rope_factors.empty()) angle /= static_cast<double>(spec_.rope_factors[d / 2]);
      const double real = (*x)[i], imaginary = (*x)[i + 1];
      (*x)[i] = real * std::cos(angle) - imaginary * std::sin(angle);
      (*x)[i + 1] = real * std::sin(angle) + imaginary * std::cos(angle);
    }
  }

  static Vector as_half(const Vector& x) {
    Vector out;
    for (const double v : x)
      out.push_back(static_cast<double>(f16_to_f32(f32_to_f16(static_cast<float>(v)))));
    return out;
  }

  void attention(const std::string& at, uint32_t layer, Vector* x) {
    const Vector a = norm(at + "attn_norm", *x);
    Vector q = times(at + "attn_q", a);
    Vector k = times(at + "attn_k", a);
    turn(&q);
    turn(&k);
    keys_[layer].push_back(as_half(k));
    values_[layer].push_back(as_half(times(at + "attn_v", a)));
    Vector out(q.size());
    for (uint32_t head = 0; head < spec_.heads; ++head)
      attend(q, layer, head, &out);
    add(times(at + "attn_output", out), x);
  }

  void attend(const Vector& q, uint32_t layer, uint32_t head, Vector* out) const {
    const size_t d = spec_.head_dim;
    const size_t own = head * d;
    const size_t shared = head / (spec_.heads / spec_.kv_heads) * d;
    Vector p;
    double total = 0;
    for (const Vector& key : keys_[layer]) {
      double dot = 0;
      for (size_t i = 0; i < d; ++i)
        dot += q[own + i] * key[shared + i];
      p.push_back(std::exp(dot / std::sqrt(static_cast<double>(d))));
      total += p.back();
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
      gate[i] *= up[i] / (1 + std::exp(-gate[i]));
    add(times(at + "ffn_down", gate), x);
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
