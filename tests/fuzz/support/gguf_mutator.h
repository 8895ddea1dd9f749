// Changes a GGUF file key by key and tensor by tensor; counts and lengths are those of the result.
#pragma once

#include <string>

#include "tests/fuzz/support/random.h"

namespace nbl::fuzz {

// What is no GGUF file is changed as bytes.
void mutate_gguf(std::string* file, size_t most, Dice* dice);

}  // namespace nbl::fuzz
