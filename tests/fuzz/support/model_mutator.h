// Changes a model file where it means something, and makes sizes, offsets and checksums fit again.
#pragma once

#include <cstdint>
#include <string>

#include "tests/fuzz/support/random.h"

namespace nbl::fuzz {

// Of any bytes: those that are no model are changed as bytes.
void mutate_model(std::string* file, size_t most, Dice* dice);

// Writes the checksums that the bytes have, and the size that the file has.
void fix_checksums(std::string* file);

}  // namespace nbl::fuzz
