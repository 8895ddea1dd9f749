// Where the values of a weight come from. Nothing is read before the emitter asks for a row, so a
// graph of any model takes a few kilobytes.
#pragma once

#include <cstdint>
#include <vector>

#include "compiler/import/checkpoint.h"
#include "compiler/quantize/row_source.h"

namespace nbl::compiler {

enum class Arrangement : uint8_t {
  stacked,      // the rows of every source one after the other
  interleaved,  // rows of two sources in turn, padded as interleave() says
};

// The rows of a weight: those of tensors of the checkpoint, or values the compiler computed.
//
// Borrows  the checkpoint's tensors, while a graph holds the constant.
struct Constant {
  std::vector<const SourceTensor*> sources = {};  // all with the same columns; empty: `values`
  Arrangement arrangement = Arrangement::stacked;
  std::vector<float> values = {};  // row-major
};

// The rows of a constant with sources.
RowSource constant_rows(const Constant& constant);

// All values of a constant as float32, row-major.
std::vector<float> constant_values(const Constant& constant);

// True where both give the same rows: the same sources, sources of equal bytes, or equal values.
bool same_rows(const Constant& a, const Constant& b);

}  // namespace nbl::compiler
