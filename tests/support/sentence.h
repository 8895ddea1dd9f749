// What the runtime says of an error.
#pragma once

#include <string>

#include "rt/nibble.h"

namespace nbl::test {

inline std::string sentence(const nbl_error& error) {
  char text[512];
  return {text, nbl_error_text(&error, text, sizeof text)};
}

}  // namespace nbl::test
