// A priority queue over borrowed memory: what the encoders may merge next.
#pragma once

#include <cstdint>

namespace nbl {

// A binary heap; pop() gives the element that is `before` all others.
//
// Borrows  room for as many elements as are ever held at once; the caller bounds them.
template <typename Element>
class Candidates {
 public:
  explicit Candidates(Element* room) : heap_(room) {}

  bool empty() const { return count_ == 0; }

  void push(const Element& element) {
    uint32_t hole = count_++;
    while (hole > 0) {
      const uint32_t parent = (hole - 1) / 2;
      if (!element.before(heap_[parent])) break;
      heap_[hole] = heap_[parent];
      hole = parent;
    }
    heap_[hole] = element;
  }

  Element pop() {
    const Element best = heap_[0];
    const uint32_t size = --count_;
    const Element moved = heap_[size];
    uint32_t hole = 0;
    for (;;) {
      uint32_t child = 2 * hole + 1;
      if (child >= size) break;
      if (child + 1 < size && heap_[child + 1].before(heap_[child])) ++child;
      if (!heap_[child].before(moved)) break;
      heap_[hole] = heap_[child];
      hole = child;
    }
    heap_[hole] = moved;
    return best;
  }

 private:
  Element* heap_;
  uint32_t count_ = 0;
};

}  // namespace nbl
