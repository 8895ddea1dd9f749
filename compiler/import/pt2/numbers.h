// Arrays of numbers on the host: parameters and buffers where they lie in the archive, and what the
// evaluator computed from them. All arithmetic is in float64.
#pragma once

#include <memory>
#include <vector>

#include "compiler/import/pt2/array_limits.h"
#include "compiler/import/pt2/exported_program.h"
#include "compiler/import/pt2/layout.h"

namespace nbl::compiler::pt2 {

// Kinds of numbers that PyTorch computes differently.
enum class NumberKind : uint8_t { boolean, integer, real };
NumberKind number_kind(ScalarType type);

// Borrows  a constant's bytes, where they come from the archive.
struct NumberStorage {
  std::vector<double> values;
  const ConstantTensor* constant = nullptr;  // not null: instead of `values`
  HeldElements held = {};                    // the values

  double at(int64_t place) const;
};

struct Numbers {
  Layout layout;
  NumberKind kind = NumberKind::real;
  std::shared_ptr<const NumberStorage> storage;

  const Dims& dims() const { return layout.dims; }
  double at(int64_t place) const { return storage->at(place); }
  // All elements in logical order.
  std::vector<double> values() const;
  // The value of an array with one element. Errors: NodeError.
  double only() const;

  Numbers with(Layout other) const { return {std::move(other), kind, storage}; }
  Numbers compacted() const;
};

Numbers make_numbers(Dims dims, std::vector<double> values, NumberKind kind = NumberKind::real);
Numbers make_number(double value, NumberKind kind);
Numbers constant_numbers(const ConstantTensor& constant);

}  // namespace nbl::compiler::pt2
