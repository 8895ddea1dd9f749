#include "compiler/import/rope_frequencies.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "compiler/import/checkpoint.h"

namespace nbl::compiler {

std::vector<double> rope_frequencies(double theta, uint32_t rotary_dim) {
  std::vector<double> frequencies(rotary_dim / 2);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = std::pow(theta, -2.0 * static_cast<double>(i) / rotary_dim);
  }
  return frequencies;
}

void scale_linearly(double factor, std::vector<double>* frequencies) {
  for (double& frequency : *frequencies)
    frequency /= factor;
}

std::vector<double> llama3_factors(const Llama3Scaling& scaling,
                                   const std::vector<double>& frequencies) {
  std::vector<double> factors;
  for (const double frequency : frequencies) {
    const double turns = scaling.trained * frequency / (2 * std::numbers::pi);
    const double ramp = std::clamp(
        (turns - scaling.low_turns) / (scaling.high_turns - scaling.low_turns), 0.0, 1.0);
    factors.push_back(1 / ((1 - ramp) / scaling.factor + ramp));
  }
  return factors;
}

void scale_each(std::string_view what, const std::vector<double>& factors,
                std::vector<double>* frequencies) {
  if (factors.size() != frequencies->size()) {
    throw ImportError(fmt::format("{} has {} elements; the rotary dimension asks for {}", what,
                                  factors.size(), frequencies->size()));
  }
  for (size_t i = 0; i < factors.size(); ++i) {
    if (!(factors[i] > 0)) {
      throw ImportError(
          fmt::format("{} has element {} = {}; it must be positive", what, i, factors[i]));
    }
    (*frequencies)[i] /= factors[i];
  }
}

double longrope_magnitude(double context, double trained) {
  const double stretch = context / trained;
  return stretch <= 1 ? 1 : std::sqrt(1 + std::log(stretch) / std::log(trained));
}

}  // namespace nbl::compiler
