// Changes a JSON document where it means something.
#pragma once

#include <string>

#include "tests/fuzz/support/random.h"

namespace nbl::fuzz {

// What is no JSON is changed as bytes.
void mutate_json(std::string* text, size_t most, Dice* dice);

}  // namespace nbl::fuzz
