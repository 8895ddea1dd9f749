// Pearson's chi-square test.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace nbl::test {

// The upper tail of the chi-square distribution: how likely a value of `x` or more is.
//
// Source  the regularised incomplete gamma function's power series below its shape + 1, the
//         continued fraction of Lentz above (Abramowitz and Stegun, 6.5.29 and 6.5.31).
inline double chi_square_tail(double x, double freedom) {
  const double a = freedom / 2;
  const double z = x / 2;
  if (z <= 0) return 1;
  const double front = std::exp(-z + a * std::log(z) - std::lgamma(a));
  if (z < a + 1) {
    double term = 1 / a;
    double sum = term;
    for (double n = a + 1; term > sum * 1e-15; ++n)
      sum += term *= z / n;
    return 1 - sum * front;
  }
  double b = z + 1 - a;
  double c = 1e300;
  double d = 1 / b;
  double h = d;
  for (int i = 1; i < 100000; ++i) {
    const double an = -i * (i - a);
    b += 2;
    d = 1 / (an * d + b);
    c = b + an / c;
    h *= d * c;
    if (std::abs(d * c - 1) < 1e-15) break;
  }
  return front * h;
}

// How likely draws are that lie at least as far from the probabilities as these, and as near.
struct Fit {
  double far = 1;
  double near = 1;
  uint32_t bins = 0;
};

// Neighbouring outcomes share a bin until 10 draws are expected in it.
inline Fit fit_of(const std::vector<uint32_t>& seen, const std::vector<double>& probabilities) {
  double draws = 0;
  for (const uint32_t count : seen)
    draws += count;
  std::vector<double> expected;
  std::vector<double> got;
  bool open = false;
  for (size_t i = 0; i < seen.size(); ++i) {
    if (!open) {
      expected.push_back(0);
      got.push_back(0);
    }
    expected.back() += probabilities[i] * draws;
    got.back() += seen[i];
    open = expected.back() < 10;
  }
  if (open && expected.size() > 1) {
    expected[expected.size() - 2] += expected.back();
    got[got.size() - 2] += got.back();
    expected.pop_back();
    got.pop_back();
  }
  Fit fit{.bins = static_cast<uint32_t>(expected.size())};
  if (fit.bins < 2) return fit;
  double sum = 0;
  for (size_t i = 0; i < expected.size(); ++i)
    sum += (got[i] - expected[i]) * (got[i] - expected[i]) / expected[i];
  fit.far = chi_square_tail(sum, fit.bins - 1.0);
  fit.near = 1 - fit.far;
  return fit;
}

}  // namespace nbl::test
