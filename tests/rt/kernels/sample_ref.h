// The sampling rule of spirv/sample.comp on the CPU: Philox written from the paper, float64 for the
// race, sorting instead of radix selection.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace nbl::test {

struct SampleRule {
  float temperature = 0;
  uint32_t top_k = 0;
  float top_p = 0;
  uint64_t seed = 0;
  float min_p = 0;
};

// What happens to logits before a token is chosen.
struct AdjustRule {
  std::vector<std::pair<uint32_t, float>> biases = {};
  float repeat = 1;
  float presence = 0;
  float frequency = 0;
  uint32_t window = 0;
};

// `context` is all that was evaluated, the last token included.
inline std::vector<double> adjust_reference(const std::vector<float>& logits,
                                            const AdjustRule& rule,
                                            std::span<const uint32_t> context) {
  std::vector<double> adjusted(logits.begin(), logits.end());
  for (const auto& [token, bias] : rule.biases)
    adjusted[token] += double{bias};
  std::map<uint32_t, uint32_t> counts;
  for (const uint32_t token : context.last(std::min<size_t>(rule.window, context.size())))
    ++counts[token];
  for (const auto& [token, count] : counts) {
    double& logit = adjusted[token];
    const double repeat = rule.repeat;
    logit = logit > 0 ? logit / repeat : logit * repeat;
    logit -= double{rule.presence} + count * double{rule.frequency};
  }
  return adjusted;
}

// The words of Philox-4x32-10.
inline std::vector<uint32_t> philox_reference(std::vector<uint32_t> c, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xd2511f53u} * c[0];
    const uint64_t b = uint64_t{0xcd9e8d57u} * c[2];
    c = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(a)};
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  return c;
}

// Of numbers.
template <typename Float>
uint32_t argmax_reference(const std::vector<Float>& logits) {
  uint32_t best = 0;
  for (uint32_t i = 1; i < logits.size(); ++i) {
    if (logits[i] > logits[best]) best = i;
  }
  return best;
}

struct Survivor {
  double distance;  // nats below the maximum
  uint32_t index;
};

// The tokens that can be drawn, likeliest first.
template <typename Float>
std::vector<Survivor> survivors_reference(const std::vector<Float>& logits,
                                          const SampleRule& rule) {
  const double maximum = logits[argmax_reference(logits)];
  std::vector<Survivor> all;
  for (uint32_t i = 0; i < logits.size(); ++i) {
    const double nats = (maximum - double{logits[i]}) / double{rule.temperature};
    if (nats < 32) all.push_back({nats, i});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Survivor& a, const Survivor& b) { return a.distance < b.distance; });
  if (rule.top_k > 0 && rule.top_k < all.size()) all.resize(rule.top_k);
  if (rule.top_p > 0 && rule.top_p < 1) {
    double total = 0;
    for (const Survivor& s : all)
      total += std::exp(-s.distance);
    double sum = 0;
    size_t count = 0;
    while (count < all.size() && (count == 0 || sum < double{rule.top_p} * total)) {
      sum += std::exp(-all[count++].distance);
    }
    all.resize(count);
  }
  if (rule.min_p > 0) {
    const double most = -std::log(double{rule.min_p});
    while (all.back().distance > most)
      all.pop_back();
  }
  return all;
}

// The token at `position`, drawn by the exponential race.
template <typename Float>
uint32_t sample_reference(const std::vector<Float>& logits, const SampleRule& rule,
                          uint32_t position) {
  const uint32_t greedy = argmax_reference(logits);
  if (rule.temperature < 1e-6f || !std::isfinite(logits[greedy])) return greedy;
  uint32_t token = 0;
  double first = INFINITY;
  for (const Survivor& s : survivors_reference(logits, rule)) {
    const uint32_t word =
        philox_reference({s.index / 4, position, 0, 0}, static_cast<uint32_t>(rule.seed),
                         static_cast<uint32_t>(rule.seed >> 32))[s.index % 4];
    const double u = (word + 0.5) / 4294967296.0;
    const double time = -std::log1p(-u) * std::exp(s.distance);
    if (time > first || (time == first && s.index > token)) continue;
    first = time;
    token = s.index;
  }
  return token;
}

}  // namespace nbl::test
