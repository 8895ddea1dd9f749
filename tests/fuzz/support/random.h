// Choices of a mutator: the seed that libFuzzer hands it decides all of them.
#pragma once

#include <cstdint>
#include <random>
#include <string>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace nbl::fuzz {

class Dice {
 public:
  explicit Dice(unsigned seed) : engine_(seed) {}
  // 0 .. count - 1; count is at least 1.
  size_t below(size_t count) { return engine_() % count; }
  bool one_in(size_t count) { return below(count) == 0; }
  template <typename Container>
  auto& of(Container& container) {
    return container[below(std::size(container))];
  }

  // A number that is at an edge, near what there is, or anything.
  uint64_t number(uint64_t now) {
    static constexpr uint64_t kEdges[] = {
        0,    1,    2,     31,    32,         33,       127,        128,        255,        256,
        4095, 4096, 65535, 65536, 0x7fffffff, 1u << 31, 0xffffffff, 1ull << 32, 1ull << 62, ~0ull};
    switch (below(7)) {
      case 0:
        return kEdges[below(std::size(kEdges))];
      case 1:
        return now + 1;
      case 2:
        return now - 1;
      case 3:
        return now * 2;
      case 4:
        return now / 2;
      case 5:
        return now ^ (uint64_t{1} << below(64));
      default:
        return engine_() >> below(64);
    }
  }

 private:
  std::mt19937_64 engine_;
};

// libFuzzer's own mutations.
inline void mutate_bytes(std::string* bytes, size_t most) {
  const size_t size = bytes->size();
  bytes->resize(std::max(size + 64, most));
  bytes->resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(bytes->data()), size, bytes->size()));
}

}  // namespace nbl::fuzz
