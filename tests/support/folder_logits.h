// Compiling a checkpoint for comparisons in float64.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "tests/support/compiled.h"
#include "tests/support/random.h"

namespace nbl::test {

// Caches in f32, so that nothing but the 4-bit weights is rounded.
inline AlignedBytes compiled(const compiler::Checkpoint& checkpoint, bool fuse) {
  BuildOptions options{.context = 64, .cache = DType::f32};
  options.passes.fuse = fuse;
  return build_model(checkpoint, options);
}

inline double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double error = 0, size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(error / size);
}

inline std::vector<uint32_t> random_tokens(uint32_t vocab, uint32_t count) {
  Random random(count);
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < count; ++i)
    tokens.push_back(random.below(vocab));
  return tokens;
}

}  // namespace nbl::test
