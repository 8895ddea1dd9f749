// How tensors lie in memory, and the bytes that quantized weights take. docs/format.md explains
// both.
#pragma once

#include <cstdint>

#include "rt/base/limits.h"

namespace nbl {

// How a tensor's elements lie in memory.
//   row_major  C order. Activations: rows of align_up(columns, 32) elements (limits.h). KV state:
//              rt/model/cache.h.
//   q4_t16k8   4-bit values v in [-8, 7] stored as nibble v + 8. Tiles of 16 rows, padded to
//              an even number of tiles; a tile holds its columns 8 at a time, 16 words (one a row)
//              for each:
//                word[((n/16) * (K/8) + k/8) * 16 + n%16]
//              Byte k%4 of the word holds k%8 = 0..3 in its low nibble and k%8 = 4..7 in its high
//              one, so that `word & 0x0f0f0f0f` is four consecutive values. K is padded to whole
//              groups and to 32 with nibble 8. Scales, f16 or f32, lie in the same tiles:
//                scale[((n/16) * (K/G) + k/G) * 16 + n%16]
//              Padding rows have scale 0.
//   q4_rows_*  the same nibbles row by row, for tables that are gathered only. K is padded to whole
//              groups; rows are not padded. Word n * (K/8) + k/8 holds k%8 = i at bits 4i (linear)
//              or 4(i^1) (embedding: the even column in a byte's high nibble). scale[n * (K/G) +
//              k/G], and whole words of them.
//   q8_t16k4   8-bit values v in [-128, 127] stored as byte v + 128. Tiles, padding and scales of
//              q4_t16k8, with a word for 4 columns of a row, column k in byte k%4:
//                word[((n/16) * (K/4) + k/4) * 16 + n%16]
//              Padding columns have byte 128.
enum class Layout : uint8_t { row_major, q4_t16k8, q4_rows_linear, q4_rows_embedding, q8_t16k4 };

constexpr bool is_tiled(Layout layout) {
  return layout == Layout::q4_t16k8 || layout == Layout::q8_t16k4;
}

// Groups that the file may have: powers of two.
inline constexpr uint32_t kMinGroup = 8;
inline constexpr uint32_t kMaxGroup = 256;

// Rows of a tiled weight with its padding: whole pairs of 16-row tiles.
constexpr uint32_t q4_padded_rows(uint32_t rows) {
  return (rows + 31) & ~31u;
}
// Columns of a weight with its padding: whole groups and, in tiles, whole blocks of 32.
constexpr uint32_t q4_padded_columns(uint32_t columns, uint32_t group_size,
                                     Layout layout = Layout::q4_t16k8) {
  const uint32_t unit = is_tiled(layout) && group_size < kRowAlign ? kRowAlign : group_size;
  return (columns + unit - 1) / unit * unit;
}

// What decides how many bytes a q4 or q8 weight takes. Its scales never take more than its values.
struct Q4Format {
  Layout layout = Layout::q4_t16k8;
  uint32_t group_size = 32;
  bool f32_scales = false;

  constexpr bool tiled() const { return is_tiled(layout); }
  constexpr bool eight_bits() const { return layout == Layout::q8_t16k4; }
  constexpr uint32_t rows(uint32_t rows) const { return tiled() ? q4_padded_rows(rows) : rows; }
  constexpr uint32_t columns(uint32_t columns) const {
    return q4_padded_columns(columns, group_size, layout);
  }
  // Of so many rows, to whole tiles where there are tiles.
  constexpr uint64_t data_bytes(uint32_t row_count, uint32_t column_count) const {
    return uint64_t{rows(row_count)} * columns(column_count) / (eight_bits() ? 1 : 2);
  }
  constexpr uint64_t scale_bytes(uint32_t row_count, uint32_t column_count) const {
    const uint64_t count = uint64_t{rows(row_count)} * (columns(column_count) / group_size);
    return f32_scales ? count * 4 : (count * 2 + 3) / 4 * 4;
  }
};

// Of a q4_t16k8 weight with f16 scales.
constexpr uint64_t q4_data_bytes(uint32_t rows, uint32_t columns, uint32_t group_size) {
  return Q4Format{.group_size = group_size}.data_bytes(rows, columns);
}
constexpr uint64_t q4_scale_bytes(uint32_t rows, uint32_t columns, uint32_t group_size) {
  return Q4Format{.group_size = group_size}.scale_bytes(rows, columns);
}

}  // namespace nbl
