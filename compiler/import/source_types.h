// How the elements of a checkpoint's tensors are encoded.
//
// Layout   a row is blocks without gaps; a block is one element or, where types share scales, 32 or
//          256. Little-endian; f16 where no other type is named. Elements are counted within their
//          block. In q2_k to q6_k, c counts chunks of 64 elements and h halves of 128.
//
//   q8_0    d, 32 i8.                    byte * d
//   q4_0    d, 16 bytes n.               (nibble - 8) * d: low nibble of n[i] is element i, high
//                                        nibble element i + 16
//   q4_1    d, m, n as in q4_0.          nibble * d + m
//   q5_0    d, u32 t, n as in q4_0.      (nibble + 16 * bit i of t - 16) * d
//   q5_1    d, m, t and n as in q5_0.    (nibble + 16 * bit) * d + m
//   iq4_nl  d, n as in q4_0.             level[nibble] * d, for 16 uneven levels
//   q2_k    16 bytes s, 64 bytes n, d, e.     n[32 h + i % 32] holds elements 128 h + 32 j + i % 32
//                                        at bits 2 j: s % 16 * d * value - s / 16 * e, with an s
//                                        for every 16 elements
//   q3_k    32 bytes t, n as in q2_k, 12 bytes of 6-bit s, d.  (value - 4 (1 - bit)) * (s - 32) *
//   d,
//                                        where bit is bit 4 h + j of t[i % 32]
//   q4_k    d, e, 12 bytes of 6-bit s and m, 128 bytes n.  low nibble of n[32 c + i] is element
//                                        64 c + i, high nibble 64 c + 32 + i: s * d * nibble - m *
//                                        e with an s and an m for every 32 elements
//   q5_k    d, e, s and m, 32 bytes t, n as in q4_k.  nibble + 16 * bit, of t[i % 32] the bit i /
//   32 q6_k    128 bytes n, 64 bytes t, 16 i8 s, d.  (value - 32) * s * d with an s for every 16;
//                                        element 128 h + 32 j + i has its low bits in a nibble of
//                                        n[64 h + 32 (j % 2) + i], low for j < 2, and bits 2 j of
//                                        t[32 h + i] above them
//
// Source   https://github.com/ggml-org/ggml, the block structures of src/ggml-common.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace nbl::compiler {

enum class SourceType : uint8_t {
  f32,
  f16,
  bf16,
  q8_0,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl
};
inline constexpr uint32_t kSourceTypeCount = 14;

// The weights that share a scale in q8_0 and q4_0.
inline constexpr uint32_t kSourceBlock = 32;

// As GGUF spells them: "F32", "Q4_K".
const char* source_type_name(SourceType type);
// All of them, for errors: "F32, F16, ...".
std::string source_type_names();

// Elements that share a scale in a type whose elements are whole numbers of at most 8 bits times
// scales, with nothing added: 16 or 32. 0 for the others.
uint32_t integer_group(SourceType type);
// Whether the scales of such a type are f16; else they are products that take an f32.
bool has_f16_scales(SourceType type);

// Writes `columns` whole numbers and a scale for every integer_group(type) of them. A number times
// its scale is what read_source_row() gives.
void read_source_integers(SourceType type, const std::byte* data, uint64_t columns, int8_t* values,
                          float* scales);

// Elements of a block; the columns of a tensor are a multiple.
uint32_t source_block(SourceType type);

// Bytes of `columns` elements of `type`.
uint64_t source_row_bytes(SourceType type, uint64_t columns);

// Writes `columns` dequantized elements.
void read_source_row(SourceType type, const std::byte* data, uint64_t columns, float* out);

}  // namespace nbl::compiler
