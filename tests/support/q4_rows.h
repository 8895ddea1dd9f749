// Random weights that arrive quantized.
#pragma once

#include <memory>

#include "compiler/quantize/q4_rows.h"
#include "tests/support/q4.h"
#include "tests/support/random.h"

namespace nbl::test {

// Scales are f16 unless `exact_f32`: then no f16 is any of them.
inline std::shared_ptr<compiler::Q4Rows> random_rows(uint64_t seed, uint32_t rows, uint32_t columns,
                                                     uint32_t group, bool exact_f32 = false) {
  Random random(seed);
  auto made = std::make_shared<compiler::Q4Rows>();
  made->rows = rows;
  made->columns = columns;
  made->group_size = group;
  made->values.resize(size_t{rows} * columns);
  for (int8_t& value : made->values)
    value = static_cast<int8_t>(static_cast<int>(random.below(16)) - 8);
  made->scales.resize(size_t{rows} * made->groups());
  for (float& scale : made->scales) {
    const float sign = random.below(4) == 0 ? -1.0f : 1.0f;
    scale = f16_to_f32(f32_to_f16(sign * random.uniform(0.005f, 0.015f)));
    if (exact_f32) scale = std::nextafter(scale, 1.0f);
  }
  return made;
}

}  // namespace nbl::test
