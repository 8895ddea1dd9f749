// What a fuzzer calls a finding besides what the sanitizers see.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace nbl::fuzz {

inline void require(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "fuzz: not so: %s\n", what);
  std::abort();
}

}  // namespace nbl::fuzz
