// The tiled layouts (rt/model/q4.h) written down a second time, plus f16 and error measures.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "rt/model/model.h"
#include "tests/support/random.h"

namespace nbl::test {

inline float f16_to_f32(uint16_t h) {
  const int exponent = (h >> 10) & 31, mantissa = h & 1023;
  const float sign = (h & 0x8000) ? -1.0f : 1.0f;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
  if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
  return sign * std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
}

// Rounds to nearest even.
inline uint16_t f32_to_f16(float f) {
  const uint16_t sign = std::signbit(f) ? 0x8000 : 0;
  const float a = std::fabs(f);
  if (std::isnan(f)) return 0x7e00;
  if (a >= 65520.0f) return sign | 0x7c00;
  int exponent = 0;
  std::frexp(a, &exponent);
  const int shift = a == 0 ? 24 : std::min(24, 11 - exponent);
  const long mantissa = std::lrint(std::ldexp(a, shift));
  if (shift == 24) return static_cast<uint16_t>(sign | mantissa);
  return static_cast<uint16_t>(sign + ((25 - shift) << 10) + (mantissa - 1024));
}

inline std::vector<double> rounded_to_f16(std::vector<double> values) {
  for (double& value : values)
    value = static_cast<double>(f16_to_f32(f32_to_f16(static_cast<float>(value))));
  return values;
}

// A random q4 or q8 matrix with its packed form.
struct Q4Matrix {
  uint32_t rows, columns, group_size;
  uint32_t padded_rows, padded_columns;
  std::vector<int8_t> values;    // [padded_rows][padded_columns], padding 0
  std::vector<uint16_t> scales;  // f16 [padded_rows][padded_columns / group_size], padding rows 0
  std::vector<uint32_t> value_words;
  std::vector<uint32_t> scale_words;
  bool f32_scales = false;
  std::vector<float> float_scales = {};  // f32, in place of `scales`
  bool eight_bits = false;

  double at(uint32_t row, uint32_t column) const {
    return values[size_t{row} * padded_columns + column] *
           static_cast<double>(scale_value(row, column / group_size));
  }
  uint32_t groups() const { return padded_columns / group_size; }
  uint16_t scale(uint32_t row, uint32_t group) const {
    return scales[size_t{row} * groups() + group];
  }
  float scale_value(uint32_t row, uint32_t group) const {
    return f32_scales ? float_scales[size_t{row} * groups() + group]
                      : f16_to_f32(scale(row, group));
  }
  Q4Format format() const {
    return {eight_bits ? Layout::q8_t16k4 : Layout::q4_t16k8, group_size, f32_scales};
  }
  uint32_t columns_of_word() const { return eight_bits ? 4 : 8; }

  // Words from the tile of a row on: what a window starting at `row` (a multiple of 32) binds.
  std::span<const uint32_t> values_from(uint32_t row) const {
    return std::span(value_words).subspan(size_t{row} * padded_columns / columns_of_word());
  }
  std::span<const uint32_t> scales_from(uint32_t row) const {
    return std::span(scale_words).subspan(size_t{row} * groups() / (f32_scales ? 1 : 2));
  }
};

inline void pack(Q4Matrix* m) {
  const uint32_t groups = m->groups();
  m->value_words.assign(size_t{m->padded_rows} * m->padded_columns / m->columns_of_word(), 0);
  m->scale_words.assign(size_t{m->padded_rows} * groups / (m->f32_scales ? 1 : 2), 0);
  for (uint32_t n = 0; n < m->padded_rows; ++n) {
    for (uint32_t k = 0; k < m->padded_columns; ++k) {
      const int value = m->values[size_t{n} * m->padded_columns + k];
      if (m->eight_bits) {
        const size_t word = (size_t{n / 16} * (m->padded_columns / 4) + k / 4) * 16 + n % 16;
        m->value_words[word] |= static_cast<uint32_t>(value + 128) << (8 * (k % 4));
        continue;
      }
      const auto nibble = static_cast<uint32_t>(value + 8);
      const size_t word = (size_t{n / 16} * (m->padded_columns / 8) + k / 8) * 16 + n % 16;
      m->value_words[word] |= nibble << (8 * (k % 4) + (k % 8 >= 4 ? 4 : 0));
    }
    for (uint32_t g = 0; g < groups; ++g) {
      const size_t at = (size_t{n / 16} * groups + g) * 16 + n % 16;
      if (m->f32_scales) {
        m->scale_words[at] = std::bit_cast<uint32_t>(m->scale_value(n, g));
      } else {
        m->scale_words[at / 2] |= uint32_t{m->scale(n, g)} << (16 * (at % 2));
      }
    }
  }
}

// Values uniform in -8..7, or -128..127, scales as a trained layer has them: positive and negative
// around `scale`; f32 ones have more bits than an f16 holds.
inline Q4Matrix random_q4(Random& random, uint32_t rows, uint32_t columns, uint32_t group_size,
                          float scale = 0.01f, bool f32_scales = false, bool eight_bits = false) {
  Q4Matrix m{};
  m.eight_bits = eight_bits;
  const uint32_t value_bits = eight_bits ? 8 : 4;
  m.rows = rows;
  m.columns = columns;
  m.group_size = group_size;
  m.padded_rows = q4_padded_rows(rows);
  m.padded_columns = q4_padded_columns(columns, group_size);
  const uint32_t groups = m.padded_columns / group_size;
  m.values.assign(size_t{m.padded_rows} * m.padded_columns, 0);
  m.f32_scales = f32_scales;
  m.scales.assign(size_t{m.padded_rows} * groups, 0);
  m.float_scales.assign(size_t{m.padded_rows} * groups, 0);
  for (uint32_t n = 0; n < rows; ++n) {
    for (uint32_t k = 0; k < columns; k += m.columns_of_word()) {
      uint32_t bits = random.below(0xffffffffu);
      for (uint32_t i = k; i < std::min(columns, k + m.columns_of_word()); ++i) {
        const auto low = static_cast<int>(bits & ((1u << value_bits) - 1));
        m.values[size_t{n} * m.padded_columns + i] =
            static_cast<int8_t>(low - (1 << (value_bits - 1)));
        bits >>= value_bits;
      }
    }
    for (uint32_t g = 0; g < groups; ++g) {
      const float sign = random.below(4) == 0 ? -1.0f : 1.0f;
      const float value = sign * random.uniform(0.5f, 1.5f) * scale;
      m.scales[size_t{n} * groups + g] = f32_to_f16(value);
      m.float_scales[size_t{n} * groups + g] = value;
    }
  }
  pack(&m);
  return m;
}

// The same matrix row by row, as the wire has it: a byte holds columns 2j and 2j + 1, the even one
// in the low nibble (linear order) or in the high one (embedding order).
struct Q4Wire {
  Q4Format format;
  uint32_t columns;  // padded
  std::vector<uint32_t> value_words;
  std::vector<uint32_t> scale_words;

  // Words from a row on, for a window that starts there (a multiple of 128).
  std::span<const uint32_t> values_from(uint32_t row) const {
    return std::span(value_words).subspan(size_t{row} * columns / 8);
  }
  std::span<const uint32_t> scales_from(uint32_t row) const {
    const size_t scales = size_t{row} * (columns / format.group_size);
    return std::span(scale_words).subspan(format.f32_scales ? scales : scales / 2);
  }
};

inline Q4Wire wire_of(const Q4Matrix& m, Layout layout) {
  Q4Wire wire{{layout, m.group_size, m.f32_scales}, 0, {}, {}};
  wire.columns = (m.columns + m.group_size - 1) / m.group_size * m.group_size;
  const uint32_t groups = wire.columns / m.group_size;
  std::vector<uint8_t> bytes;
  std::vector<uint16_t> halves;
  std::vector<float> floats;
  for (uint32_t n = 0; n < m.rows; ++n) {
    for (uint32_t k = 0; k < wire.columns; k += 2) {
      const auto even = static_cast<uint8_t>(m.values[size_t{n} * m.padded_columns + k] + 8);
      const auto odd = static_cast<uint8_t>(m.values[size_t{n} * m.padded_columns + k + 1] + 8);
      const bool even_low = layout == Layout::q4_rows_linear;
      bytes.push_back(static_cast<uint8_t>(even_low ? odd << 4 | even : even << 4 | odd));
    }
    for (uint32_t g = 0; g < groups; ++g) {
      halves.push_back(m.scale(n, g));
      floats.push_back(m.scale_value(n, g));
    }
  }
  wire.value_words.resize(bytes.size() / 4);
  std::memcpy(wire.value_words.data(), bytes.data(), bytes.size());
  const size_t scale_bytes = m.f32_scales ? floats.size() * 4 : halves.size() * 2;
  wire.scale_words.resize((scale_bytes + 3) / 4);
  std::memcpy(wire.scale_words.data(),
              m.f32_scales ? static_cast<const void*>(floats.data()) : halves.data(), scale_bytes);
  return wire;
}

// ||out - ref|| / ||ref|| in double; infinite where anything is not finite.
inline double relative_error(std::span<const double> ref, std::span<const float> out) {
  double difference = 0, norm = 0;
  if (ref.size() != out.size()) return INFINITY;
  for (size_t i = 0; i < ref.size(); ++i) {
    const double d = static_cast<double>(out[i]) - ref[i];
    if (!std::isfinite(d)) return INFINITY;
    difference += d * d;
    norm += ref[i] * ref[i];
  }
  if (norm == 0) return difference == 0 ? 0 : INFINITY;
  return std::sqrt(difference / norm);
}

// Spreads [rows][columns] into activation rows of row_stride(columns), padding `fill`.
inline std::vector<uint32_t> activation_words(std::span<const float> values, uint32_t rows,
                                              uint32_t columns, float fill = 0) {
  const uint32_t stride = row_stride(columns);
  std::vector<uint32_t> words(size_t{rows} * stride, std::bit_cast<uint32_t>(fill));
  for (uint32_t r = 0; r < rows; ++r) {
    for (uint32_t c = 0; c < columns; ++c) {
      words[size_t{r} * stride + c] = std::bit_cast<uint32_t>(values[size_t{r} * columns + c]);
    }
  }
  return words;
}

inline std::vector<uint32_t> words_of(std::span<const float> values) {
  std::vector<uint32_t> words(values.size());
  if (!words.empty()) std::memcpy(words.data(), values.data(), words.size() * 4);
  return words;
}

}  // namespace nbl::test
