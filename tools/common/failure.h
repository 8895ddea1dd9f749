// How the tools say what went wrong: one sentence, thrown, printed by main().
#pragma once

#include <stdexcept>

#include "rt/nibble.h"

namespace nbl::tools {

// What a tool reports and exits with.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws the runtime's own sentence where `status` is not success.
void check(nbl_status status, const nbl_error& error);

}  // namespace nbl::tools
