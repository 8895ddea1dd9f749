// Step buffers, activation rows and f16 caches for kernel tests.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "rt/model/model.h"
#include "spirv/step_state.h"
#include "tests/support/gpu.h"
#include "tests/support/q4.h"

namespace nbl::test {

inline std::vector<uint32_t> step_words(uint32_t input_pos, uint32_t token_count) {
  std::vector<uint32_t> words(STEP_TOKENS + 1, kPoison);
  words[STEP_INPUT_POS] = input_pos;
  words[STEP_TOKEN_COUNT] = token_count;
  return words;
}

// f16 bits to float through a table: references convert whole caches.
inline float half_value(uint16_t half) {
  static const std::vector<float> table = [] {
    std::vector<float> values(65536);
    for (uint32_t i = 0; i < 65536; ++i)
      values[i] = f16_to_f32(static_cast<uint16_t>(i));
    return values;
  }();
  return table[half];
}

inline uint16_t half_at(std::span<const uint32_t> words, size_t index) {
  return static_cast<uint16_t>(words[index / 2] >> (16 * (index % 2)));
}

inline void set_half(std::span<uint32_t> words, size_t index, uint16_t half) {
  const uint32_t shift = 16 * (index % 2);
  words[index / 2] = (words[index / 2] & ~(0xffffu << shift)) | (uint32_t{half} << shift);
}

// The columns of the first `live` rows. Fails where their padding is not 0, or where a later row is
// no longer poison.
inline std::vector<float> live_rows(std::span<const uint32_t> words, uint32_t live,
                                    uint32_t columns) {
  const uint32_t stride = row_stride(columns);
  std::vector<float> values;
  values.reserve(size_t{live} * columns);
  uint32_t dirty = 0, touched = 0;
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t row = i / stride, column = i % stride;
    if (row >= live) {
      touched += words[i] != kPoison;
    } else if (column >= columns) {
      dirty += words[i] != 0;
    } else {
      values.push_back(std::bit_cast<float>(words[i]));
    }
  }
  EXPECT_EQ(dirty, 0u) << "padding elements that are not 0";
  EXPECT_EQ(touched, 0u) << "elements written past the live rows";
  return values;
}

}  // namespace nbl::test
