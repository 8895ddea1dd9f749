// What the tests of the linear kernels share: a float64 reference and one checked run.
#pragma once

#include <cmath>
#include <cstdlib>
#include <ostream>
#include <string>
#include <vector>

#include "rt/kernels/linear.h"
#include "rt/kernels/variants.h"
#include "spirv/step_state.h"
#include "tests/support/gpu.h"
#include "tests/support/q4.h"

namespace nbl::test {

struct LinearCase {
  uint32_t tokens, columns, rows, group_size;
  uint32_t live = 0;  // 0 = all
  bool norm = false, bias = false, residual = false, swiglu = false, last_row = false;
  uint32_t window = 0;  // rows a dispatch; 0 = all
  bool f32_scales = false;
  bool gelu = false;  // with swiglu
  bool eight_bits = false;
};

inline void PrintTo(const LinearCase& c, std::ostream* out) {
  *out << "M" << c.tokens << " K" << c.columns << " N" << c.rows << " G" << c.group_size << " live"
       << c.live << (c.norm ? " norm" : "") << (c.bias ? " bias" : "")
       << (c.residual ? " residual" : "") << (c.swiglu ? " swiglu" : "")
       << (c.last_row ? " last_row" : "") << " window" << c.window
       << (c.f32_scales ? " f32 scales" : "") << (c.gelu ? " gelu" : "")
       << (c.eight_bits ? " 8 bits" : "");
}

inline LinearArgs args_of(const LinearCase& c, uint32_t row_begin, uint32_t row_count) {
  return {.tokens = c.tokens,
          .rows = c.rows,
          .columns = c.columns,
          .group_size = c.group_size,
          .row_begin = row_begin,
          .row_count = row_count,
          .norm = c.norm,
          .bias = c.bias,
          .residual = c.residual,
          .swiglu = c.swiglu,
          .last_row = c.last_row,
          .eps = 1e-5f,
          .f32_scales = c.f32_scales,
          .gelu = c.gelu,
          .eight_bits = c.eight_bits};
}

// The operands of one case, random; x and residual have zero padding as activations do.
struct LinearData {
  Q4Matrix weight;
  std::vector<float> x, norm, bias, residual;
  std::vector<uint32_t> x_words, residual_words, step;

  LinearData(Random& random, const LinearCase& c)
      : weight(
            random_q4(random, c.rows, c.columns, c.group_size, 0.01f, c.f32_scales, c.eight_bits)),
        x(random.normals(size_t{c.tokens} * c.columns)),
        norm(random.normals(c.columns)),
        bias(random.normals(c.rows)),
        residual(random.normals(size_t{c.tokens} * out_columns(c))),
        x_words(activation_words(x, c.tokens, c.columns)),
        residual_words(activation_words(residual, c.tokens, out_columns(c))),
        step(STEP_TOKENS + c.tokens, 0) {
    step[STEP_TOKEN_COUNT] = c.live == 0 ? c.tokens : c.live;
  }

  static double gated(const LinearCase& c, double x) {
    if (!c.gelu) return x / (1 + std::exp(-x));
    return x / 2 * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
  }
  static uint32_t out_columns(const LinearCase& c) { return c.swiglu ? c.rows / 2 : c.rows; }

  // What the sums of row t would measure if their terms did not cancel: ||(sum_k (x w)^2)^(1/2)||.
  // The error of a row whose few outputs happen to cancel is compared with this.
  double uncancelled(const LinearCase& c, uint32_t t) const {
    double squares = 0;
    for (uint32_t n = 0; n < c.rows; ++n) {
      for (uint32_t k = 0; k < c.columns; ++k) {
        const double term = static_cast<double>(x[size_t{t} * c.columns + k]) * weight.at(n, k);
        squares += term * term;
      }
    }
    return std::sqrt(squares);
  }

  // One output row in float64.
  std::vector<double> reference(const LinearCase& c, uint32_t t) const {
    const float* row = &x[size_t{t} * c.columns];
    std::vector<double> in(row, row + c.columns);
    if (c.norm) {
      double squares = 0;
      for (const double v : in)
        squares += v * v;
      const double inverse = 1 / std::sqrt(squares / c.columns + 1e-5f);
      for (uint32_t k = 0; k < c.columns; ++k)
        in[k] *= inverse * norm[k];
    }
    std::vector<double> sums(c.rows, 0);
    for (uint32_t n = 0; n < c.rows; ++n) {
      for (uint32_t k = 0; k < c.columns; ++k)
        sums[n] += in[k] * weight.at(n, k);
      if (c.bias) sums[n] += bias[n];
    }
    std::vector<double> out(out_columns(c));
    for (uint32_t i = 0; i < out.size(); ++i) {
      out[i] = c.swiglu ? gated(c, sums[2 * i]) * sums[2 * i + 1] : sums[i];
      if (c.residual) out[i] += residual[size_t{c.last_row ? 0 : t} * out.size() + i];
    }
    return out;
  }
};

// Tolerance. Every product and sum is rounded to 24 bits. A sum over K terms in S-fold split
// partial sums accumulates at most about K/S + log S roundings of 2^-24 relative to the partial
// sums, which for zero-mean data are of the size of the result; rounding errors of random sign grow
// with the square root: sqrt(8192) * 2^-24 = 5.4e-6 of the largest partial sum. Folding the eights
// doubles the magnitude of what is summed inside a group only. 1e-5 covers both; a wrong element,
// scale or address shows as 1e-2 and more.
inline constexpr double kLinearTolerance = 1e-5;

// Kernels of cooperative matrices round both operands of a product to 11 bits: errors of random
// sign of up to 2^-12 each, so about 3e-4 of the root of the sum of squares, whatever K is.
inline constexpr double kMatrixTolerance = 2e-3;

inline double tolerance_of(const KernelCall& call) {
  const bool matrix = (kVariants[call.variant].needs & kCooperativeMatrix) != 0;
  return matrix ? kMatrixTolerance : kLinearTolerance;
}

// Runs the case in its windows on `gpu` with kernels chosen by `caps` and checks every output row,
// the padding, and that nothing else was written. Returns the name of the variant.
inline void run_linear(Gpu* gpu, const Caps& caps, const LinearCase& c, const LinearData& data,
                       const char* expected_variant = nullptr) {
  const uint32_t out_columns = LinearData::out_columns(c);
  const uint32_t stride = row_stride(out_columns);
  const uint32_t out_rows = c.last_row ? 1 : c.tokens;
  const uint32_t live = data.step[STEP_TOKEN_COUNT];
  std::vector<uint32_t> out(size_t{out_rows} * stride, kPoison);
  const uint32_t padded = data.weight.padded_rows;
  const uint32_t window = c.window == 0 ? padded : c.window;
  double tolerance = kLinearTolerance;
  for (uint32_t begin = 0; begin < padded; begin += window) {
    const uint32_t count = std::min(window, padded - begin);
    KernelCall call;
    ASSERT_TRUE(call_linear(caps, args_of(c, begin, count), &call, nullptr).ok());
    tolerance = std::max(tolerance, tolerance_of(call));
    if (expected_variant != nullptr) {
      ASSERT_STREQ(kVariants[call.variant].name, expected_variant);
    }
    const size_t value_words = data.weight.format().data_bytes(count, c.columns) / 4;
    const size_t scale_words = data.weight.format().scale_bytes(count, c.columns) / 4;
    const std::vector<uint32_t> norm = words_of(data.norm), bias = words_of(data.bias);
    const Binding x = reads(data.x_words);
    ASSERT_EQ(gpu->run(call, {reads(data.step), x,
                              reads(data.weight.values_from(begin).first(value_words)),
                              reads(data.weight.scales_from(begin).first(scale_words)), writes(out),
                              c.norm ? reads(norm) : x, c.bias ? reads(bias) : x,
                              c.residual ? reads(data.residual_words) : x}),
              "");
  }
  for (uint32_t t = 0; t < out_rows; ++t) {
    const uint32_t* row = &out[size_t{t} * stride];
    if (!c.last_row && t >= live) {
      for (uint32_t i = 0; i < stride; ++i)
        ASSERT_EQ(row[i], kPoison) << "row " << t;
      continue;
    }
    std::vector<float> got(out_columns);
    std::memcpy(got.data(), row, got.size() * 4);
    const uint32_t from = c.last_row ? live - 1 : t;
    double error = relative_error(data.reference(c, from), got);
    if (error >= tolerance && out_columns < 8) {
      const std::vector<double> reference = data.reference(c, from);
      double norm = 0;
      for (const double v : reference)
        norm += v * v;
      error *= std::sqrt(norm) / data.uncancelled(c, from);
    }
    EXPECT_LT(error, tolerance) << "row " << t;
    for (uint32_t i = out_columns; i < stride; ++i) {
      ASSERT_EQ(std::bit_cast<float>(row[i]), 0.0f) << "padding column " << i << " of row " << t;
    }
  }
}

// A device of eight cores: six work-groups occupy it enough for a larger block.
inline Caps eight_cores(const Caps& device, bool matrices) {
  Caps caps = device;
  caps.features &= ~uint32_t{kScalarLoads};
  if (!matrices) caps.features &= ~kCooperativeMatrix;
  caps.lanes = 16384;
  return caps;
}

// The ways a device can differ that change which kernel runs.
struct NamedCaps {
  const char* name;
  Caps caps;
};

// Environment  NIBBLE_TEST_CAPS="device floor"    only these, where each takes minutes (emulators)
inline std::vector<NamedCaps> caps_to_try(const Gpu& gpu) {
  const Caps device = gpu.caps();
  Caps split = device;  // splits K over lanes, subgroup arithmetic where the device has it
  split.features &= ~uint32_t{kScalarLoads};
  Caps wide = split;  // a wide GPU: K is split as far as it goes
  wide.lanes = 1u << 18;
  Caps pairs = split;  // a wide GPU whose lanes take two quads each
  pairs.kind = DeviceKind::discrete;
  pairs.lanes = 64;
  Caps plain = wide;
  plain.features = kNoFeatures;
  Caps blocks = wide;  // without matrices, but with all the room that the device has
  blocks.features &= ~kCooperativeMatrix;
  Caps floor = gpu.floor_of_caps();
  Caps scalar = device;
  scalar.features |= kScalarLoads;
  std::vector<NamedCaps> all = {{"device", device}, {"split", split},  {"wide", wide},
                                {"pairs", pairs},   {"plain", plain},  {"blocks", blocks},
                                {"floor", floor},   {"scalar", scalar}};
  if (const char* chosen = std::getenv("NIBBLE_TEST_CAPS")) {
    const std::string names = std::string(" ") + chosen + " ";
    std::erase_if(all, [&](const NamedCaps& named) {
      return names.find(std::string(" ") + named.name + " ") == std::string::npos;
    });
  }
  return all;
}

}  // namespace nbl::test
