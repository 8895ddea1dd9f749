// Where the values of a weight come from. Nothing is read before the emitter asks for a row, so the
// graph of a checkpoint takes a few kilobytes.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "compiler/import/checkpoint.h"
#include "compiler/quantize/row_source.h"

namespace nbl::compiler {

enum class Arrangement : uint8_t {
  stacked,      // the rows of every source one after the other
  interleaved,  // rows of two sources in turn, padded as interleave() says
};

// The rows of a weight, by the first of these that is there: rows that arrive quantized, tensors of
// the checkpoint, parts that a pass put together, values the compiler computed.
//
// Borrows  the checkpoint's tensors, while a graph holds the constant.
struct Constant {
  std::vector<const SourceTensor*> sources = {};  // all with the same columns
  Arrangement arrangement = Arrangement::stacked;
  std::vector<float> values = {};  // row-major
  std::shared_ptr<const Q4Rows> quantized = {};
  std::vector<std::shared_ptr<const Constant>> parts = {};  // none of which has parts
  // How much an error in each column of a matrix matters; null: all alike.
  std::shared_ptr<const std::vector<float>> importance = {};

  // Whether rows() can read it and no pass put it together.
  bool is_plain_matrix() const {
    return arrangement == Arrangement::stacked && parts.empty() && (quantized || !sources.empty());
  }
};

// One constant of several that have no parts; two where the rows come in turn.
std::shared_ptr<const Constant> arrange(Arrangement arrangement,
                                        std::vector<std::shared_ptr<const Constant>> parts);

// The rows of a constant that is more than values.
RowSource constant_rows(const Constant& constant);

// All values of a constant as float32, row-major.
std::vector<float> constant_values(const Constant& constant);

// True where both give the same nibbles once they are in the file, their scales aside.
bool same_nibbles(const Constant& a, const Constant& b);

// True where both give the same rows, whatever their importance: the same sources, sources of equal
// bytes, or equal values.
bool same_rows(const Constant& a, const Constant& b);

}  // namespace nbl::compiler
