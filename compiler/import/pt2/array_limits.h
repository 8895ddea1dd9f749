// How large the arrays may become that a graph is evaluated with, so that a program of a few lines
// cannot take all memory of the machine.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nbl::compiler::pt2 {

// While it lives, the limits of this thread: those for a program with so many bytes of constants.
// One array may have as many elements as a mask over 5,792 positions and eight for each of the
// bytes; all that are kept at a time, twice as many.
class ArrayLimits {
 public:
  explicit ArrayLimits(uint64_t constant_bytes);
  ~ArrayLimits();
  ArrayLimits(const ArrayLimits&) = delete;
  ArrayLimits& operator=(const ArrayLimits&) = delete;

 private:
  int64_t before_;
};

// Elements of one array.
int64_t most_elements();

// Elements that are kept in memory, from hold() to the object's end.
class HeldElements {
 public:
  HeldElements() = default;
  ~HeldElements();
  HeldElements(const HeldElements&) = delete;
  HeldElements& operator=(const HeldElements&) = delete;

  // Errors  NodeError: more are kept than may be.
  void hold(size_t count);

 private:
  int64_t count_ = 0;
};

}  // namespace nbl::compiler::pt2
