// Blocks of the types that GGUF files quantize with, written from the layouts' definitions bit by
// bit: the other direction of compiler/import/source_types.cpp, and sharing nothing with it.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "compiler/import/source_types.h"

namespace nbl::test {

// The whole numbers of a block.
//
//   value(i) = scale * step(i) * (q[i] - zero) - least * low(i)
//
// step and low have one element for every `share` elements, or none where the type has none.
struct SourceBlock {
  std::vector<int> q;
  std::vector<int> step;
  std::vector<int> low;
  uint16_t scale = 0;  // f16
  uint16_t least = 0;  // f16; q4_1 and q5_1 add it
};

// What the numbers of a type may be.
struct BlockShape {
  uint32_t elements;
  uint32_t share;  // elements of one step; 0 = no steps
  int most_q;
  int least_q;
  int zero;  // of q
  int most_step;
  int least_step;
  int step_zero;
  bool has_low;    // for every `share`
  bool has_least;  // for the whole block
};
BlockShape block_shape(compiler::SourceType type);

// Every number somewhere in its range.
SourceBlock random_block(compiler::SourceType type, std::mt19937* random);
std::string encode_block(compiler::SourceType type, const SourceBlock& block);
double block_value(compiler::SourceType type, const SourceBlock& block, uint32_t i);

// A block near `values`, which become what it holds.
std::string quantize_block(compiler::SourceType type, float* values);

}  // namespace nbl::test
