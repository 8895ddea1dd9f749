// The numbers of the GGUF container, versions 2 and 3.
//
// Layout  "GGUF", u32 version, u64 tensor count, u64 key count; keys: string, u32 value type,
//         value; tensors: string, u32 rank, u64 dimensions (innermost first), u32 type, u64 offset
//         into the data section, which starts at the next multiple of general.alignment. A string
//         is u64 length and bytes; an array is u32 element type, u64 count and elements.
//         Little-endian.
// Source  https://github.com/ggml-org/ggml, docs/gguf.md.
#pragma once

#include <cstdint>

#include "compiler/import/checkpoint.h"

namespace nbl::compiler {

inline constexpr uint32_t kGgufVersion = 3;
inline constexpr uint32_t kGgufDefaultAlignment = 32;
inline constexpr uint32_t kGgufMaxRank = 4;

enum class GgufType : uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};
inline constexpr uint32_t kGgufTypeCount = 13;

// Bytes of a value; 0 for string and array, whose size is in the file.
inline constexpr uint32_t kGgufTypeBytes[kGgufTypeCount] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
inline constexpr const char* kGgufTypeNames[kGgufTypeCount] = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};

// The number of a type in a tensor's entry, in the order of SourceType.
inline constexpr uint32_t kGgmlTypeIds[kSourceTypeCount] = {0, 1,  30, 8,  2,  3,  6,
                                                            7, 10, 11, 12, 13, 14, 20};
constexpr uint32_t ggml_type_id(SourceType type) {
  return kGgmlTypeIds[static_cast<size_t>(type)];
}

// Every tensor type that was given a number, by it; null where none was.
inline constexpr const char* kGgmlTypeNames[] = {
    "F32",   "F16",        "Q4_0",       "Q4_1",       "Q4_2",     "Q4_3",     "Q5_0",
    "Q5_1",  "Q8_0",       "Q8_1",       "Q2_K",       "Q3_K",     "Q4_K",     "Q5_K",
    "Q6_K",  "Q8_K",       "IQ2_XXS",    "IQ2_XS",     "IQ3_XXS",  "IQ1_S",    "IQ4_NL",
    "IQ3_S", "IQ2_S",      "IQ4_XS",     "I8",         "I16",      "I32",      "I64",
    "F64",   "IQ1_M",      "BF16",       "Q4_0_4_4",   "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",
    "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4"};

}  // namespace nbl::compiler
