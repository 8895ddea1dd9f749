// Models of a few KB, one for each way that a plan takes.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/aligned_bytes.h"

namespace nbl::test {

struct FakeModel {
  std::string name;
  AlignedBytes file;
};

// Made once a program: by the compiler (tests/fake/made_models.cpp), or on a machine that has none
// read from where another has written them (read_models.cpp).
const std::vector<FakeModel>& fake_models();

// Its head of 5000 rows is more than a CPU gets through in the time of a dispatch.
const AlignedBytes& long_head_model();

inline const FakeModel& fake_model(std::string_view name) {
  for (const FakeModel& model : fake_models()) {
    if (name == model.name) return model;
  }
  throw std::runtime_error("no such model");
}

}  // namespace nbl::test
