// A figure that a test has found out and docs/testing.md shows (scripts/proof gathers them).
#pragma once

#include <cstdio>
#include <string>

namespace nbl::test {

// One line of the test's output. A text such as "2,310 of 2,310 failed calls survived".
inline void figure(const std::string& text) {
  std::printf("[  FIGURE  ] %s\n", text.c_str());
}

// 2310 as "2,310".
inline std::string with_commas(unsigned long long number) {
  std::string digits = std::to_string(number);
  for (size_t at = digits.size(); at > 3;)
    digits.insert(at -= 3, ",");
  return digits;
}

}  // namespace nbl::test
