// The two functions that libFuzzer takes from a fuzzer, for one that changes whole files.
#pragma once

#include <cstring>
#include <string>

#include "tests/fuzz/support/random.h"

namespace nbl::fuzz {

// What mutate(&file, most, &dice) makes of the input; libFuzzer's own mutation where that is too
// large.
template <typename Mutate>
size_t mutated(uint8_t* data, size_t size, size_t max_size, unsigned seed, const Mutate& mutate) {
  Dice dice(seed);
  std::string file(reinterpret_cast<const char*>(data), size);
  mutate(&file, max_size, &dice);
  if (file.empty() || file.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, file.data(), file.size());
  return file.size();
}

}  // namespace nbl::fuzz

#define NBL_FUZZ_MUTATOR(mutate)                                                         \
  extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, \
                                            unsigned seed) {                             \
    using namespace nbl::fuzz;                                                           \
    return mutated(data, size, max_size, seed, mutate);                                  \
  }
