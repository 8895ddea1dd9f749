// The error of everything behind the importers.
#pragma once

#include <stdexcept>

namespace nbl::compiler {

// Something cannot be compiled. The text is one sentence for people.
class CompileError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace nbl::compiler
