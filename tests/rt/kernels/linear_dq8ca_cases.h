// What the tests of linear_dq8ca share: rows quantized by the reference, a float64 result, one
// checked run.
#pragma once

#include <string_view>

#include "rt/kernels/linear_dq8ca.h"
#include "rt/kernels/quantize_rows.h"
#include "tests/rt/kernels/linear_cases.h"
#include "tests/rt/kernels/quantize_rows_ref.h"

namespace nbl::test {

// The operands of one case. Rows past the live ones hold nonsense.
struct Dq8caData : LinearData {
  std::vector<QuantizedRow> quantized;
  std::vector<uint32_t> rows, params;

  Dq8caData(Random& random, const LinearCase& c) : LinearData(random, c) { quantize(c); }

  // After x has changed.
  void quantize(const LinearCase& c) {
    const uint64_t stride = quantized_row_bytes(c.columns);
    quantized.clear();
    rows.assign(c.tokens * stride / 4, 0x5a5a5a5a);
    params.assign(c.tokens * kRowParamsBytes / 4, kPoison);
    for (uint32_t t = 0; t < step[STEP_TOKEN_COUNT]; ++t) {
      quantized.push_back(quantize_row(std::span(x).subspan(size_t{t} * c.columns, c.columns)));
      const QuantizedRow& row = quantized.back();
      params[t * 2] = std::bit_cast<uint32_t>(row.scale);
      params[t * 2 + 1] = static_cast<uint32_t>(row.zero);
      for (uint64_t i = 0; i < stride; ++i) {
        const int value = i < c.columns ? row.values[i] : row.zero;
        uint32_t& word = rows[(t * stride + i) / 4];
        const uint32_t shift = 8 * (i % 4);
        word = (word & ~(0xffu << shift)) | (static_cast<uint32_t>(value) & 0xffu) << shift;
      }
    }
  }

  // One output row in float64, from the integers.
  std::vector<double> exact(const LinearCase& c, uint32_t t) const {
    const QuantizedRow& row = quantized[t];
    std::vector<double> sums(c.rows, 0);
    for (uint32_t n = 0; n < c.rows; ++n) {
      for (uint32_t first = 0; first < c.columns; first += c.group_size) {
        int64_t sum = 0;
        for (uint32_t k = first; k < std::min(c.columns, first + c.group_size); ++k) {
          sum += (row.values[k] - row.zero) * weight.values[size_t{n} * weight.padded_columns + k];
        }
        sums[n] += static_cast<double>(sum) *
                   static_cast<double>(weight.scale_value(n, first / c.group_size));
      }
      sums[n] *= static_cast<double>(row.scale);
      if (c.bias) sums[n] += bias[n];
    }
    std::vector<double> out(out_columns(c));
    for (uint32_t i = 0; i < out.size(); ++i) {
      out[i] = c.swiglu ? gated(c, sums[2 * i]) * sums[2 * i + 1] : sums[i];
      if (c.residual) out[i] += residual[size_t{c.last_row ? 0 : t} * out.size() + i];
    }
    return out;
  }

  // The case of row t alone.
  Dq8caData only(const LinearCase& c, uint32_t t) const {
    Dq8caData one = *this;
    const size_t row_words = quantized_row_bytes(c.columns) / 4;
    const size_t stride = row_stride(out_columns(c));
    one.quantized = {quantized[t]};
    one.rows = {rows.begin() + static_cast<long>(t * row_words),
                rows.begin() + static_cast<long>((t + 1) * row_words)};
    one.params = {params[t * 2], params[t * 2 + 1]};
    one.residual_words = {residual_words.begin() + static_cast<long>(t * stride),
                          residual_words.begin() + static_cast<long>((t + 1) * stride)};
    one.step[STEP_TOKEN_COUNT] = 1;
    return one;
  }
};

// Runs the case in its windows with kernels chosen by `caps`. Returns the words of out.
inline std::vector<uint32_t> run_dq8ca(Gpu* gpu, const Caps& caps, const LinearCase& c,
                                       const Dq8caData& data) {
  const uint32_t out_rows = c.last_row ? 1 : c.tokens;
  std::vector<uint32_t> out(size_t{out_rows} * row_stride(LinearData::out_columns(c)), kPoison);
  const uint32_t padded = data.weight.padded_rows;
  const uint32_t window = c.window == 0 ? padded : c.window;
  const std::vector<uint32_t> bias = words_of(data.bias);
  for (uint32_t begin = 0; begin < padded; begin += window) {
    const uint32_t count = std::min(window, padded - begin);
    KernelCall call;
    EXPECT_TRUE(call_linear_dq8ca(caps, args_of(c, begin, count), &call, nullptr).ok());
    const size_t value_words = size_t{count} * data.weight.padded_columns / 8;
    const size_t scale_words = size_t{count} * data.weight.groups() / (c.f32_scales ? 1 : 2);
    const Binding rows = reads(data.rows);
    EXPECT_EQ(gpu->run(call, {reads(data.step), rows,
                              reads(data.weight.values_from(begin).first(value_words)),
                              reads(data.weight.scales_from(begin).first(scale_words)), writes(out),
                              reads(data.params), c.bias ? reads(bias) : rows,
                              c.residual ? reads(data.residual_words) : rows}),
              "");
  }
  return out;
}

// Every live row against float64, the padding, and that nothing else was written. Sums of groups
// are exact; what remains is the rounding of one scaled sum a group, so kLinearTolerance holds
// amply.
inline void expect_exact(const LinearCase& c, const Dq8caData& data,
                         std::span<const uint32_t> out) {
  const uint32_t columns = LinearData::out_columns(c), stride = row_stride(columns);
  const uint32_t live = data.step[STEP_TOKEN_COUNT];
  for (uint32_t t = 0; t < (c.last_row ? 1 : c.tokens); ++t) {
    const auto row = out.subspan(size_t{t} * stride, stride);
    if (!c.last_row && t >= live) {
      for (const uint32_t word : row)
        ASSERT_EQ(word, kPoison) << "row " << t;
      continue;
    }
    const uint32_t from = c.last_row ? live - 1 : t;
    const std::vector<double> expected = data.exact(c, from);
    std::vector<float> got(columns);
    std::memcpy(got.data(), row.data(), got.size() * 4);
    double error = relative_error(expected, got);
    if (error >= kLinearTolerance && columns < 8) {
      double norm = 0;
      for (const double v : expected)
        norm += v * v;
      error *= std::sqrt(norm) / data.uncancelled(c, from);
    }
    EXPECT_LT(error, kLinearTolerance) << "row " << t;
    for (uint32_t i = columns; i < stride; ++i)
      ASSERT_EQ(std::bit_cast<float>(row[i]), 0.0f) << "padding column " << i << " of row " << t;
  }
}

// The devices among caps_to_try() that differ for this op: in tile and in the ways of K.
inline std::vector<NamedCaps> dq8ca_caps(const Gpu& gpu) {
  std::vector<NamedCaps> some;
  for (const NamedCaps& named : caps_to_try(gpu)) {
    const std::string_view name = named.name;
    if (name == "scalar" || name == "wide" || name == "floor") some.push_back(named);
  }
  return some;
}

// Both ways of multiplying, where the device has both.
inline std::vector<Caps> with_and_without_dot(const Gpu& gpu, Caps caps) {
  caps.features &= ~uint32_t{kIntegerDot};
  std::vector<Caps> both{caps};
  if (!gpu.has_integer_dot()) return both;
  caps.features |= kIntegerDot;
  both.push_back(caps);
  return both;
}

}  // namespace nbl::test
