// nbl_sampling with defaults, so that an initialiser may leave fields out.
#pragma once

#include "rt/nibble.h"

namespace nbl::test {

struct SamplingOptions {
  float temperature = 0;
  uint32_t top_k = 0;
  float top_p = 0;
  uint64_t seed = 0;
  float min_p = 0;
  float repeat_penalty = 0;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  uint32_t penalty_window = 0;

  operator nbl_sampling() const {
    return {temperature,       top_k,         top_p, seed, min_p, repeat_penalty, presence_penalty,
            frequency_penalty, penalty_window};
  }
};

}  // namespace nbl::test
