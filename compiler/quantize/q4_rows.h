// A weight that arrives quantized: groupwise symmetric int4 with scales of its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace nbl::compiler {

// value(row, k) = values[row * columns + k] * scales[row * groups() + k / group_size]
//
// Shapes  values: [rows, columns], each -8..7; scales: [rows, groups()], finite. The last group of
//         a row may be cut short.
// Units   group_size is a multiple of 8, or at least `columns`: one group a row.
struct Q4Rows {
  uint32_t rows = 0;
  uint32_t columns = 0;
  uint32_t group_size = 0;
  std::vector<int8_t> values;
  std::vector<float> scales;
  bool embedding_order = false;  // the source had the even column in the high nibble
  std::string name = {};         // for errors

  uint32_t groups() const { return (columns + group_size - 1) / group_size; }
};

// Writes the `columns` values of a row.
void read_q4_row(const Q4Rows& rows, uint32_t row, float* out);

// `count` rows from `first` on, as rows of their own.
Q4Rows slice_q4_rows(const Q4Rows& rows, uint32_t first, uint32_t count);

// The group size under which the model file holds groups of `group_size`: a power of two, 8 to 256,
// that divides it, each scale being repeated. 0 where there is none.
uint32_t stored_group_size(uint32_t group_size, uint32_t columns);

// Errors  ImportError, one sentence: shapes that disagree, a value outside -8..7, a scale that is
//         not finite, a group size that cannot be stored.
void check_q4_rows(const Q4Rows& rows);

// Whether every scale is exactly an f16.
bool has_f16_scales(const Q4Rows& rows);

// Same shape and nibbles, whatever the order that they arrived in.
bool same_nibbles(const Q4Rows& a, const Q4Rows& b);
// Same groups and scales.
bool same_scales(const Q4Rows& a, const Q4Rows& b);

}  // namespace nbl::compiler
