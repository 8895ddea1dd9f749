// Rotary position embedding as config.json describes it, in its old spelling (rope_theta and
// rope_scaling) and its new one (rope_parameters).
#pragma once

#include "compiler/import/checkpoint.h"
#include "compiler/import/json_field.h"

namespace nbl::compiler::hf {

struct RopeDefaults {
  double theta = 10000;
  double local_theta = 0;  // of layers with a window; 0 = as the others
};

// Sets everything about rotary embedding in *hyper, whose head_dim and context are known.
//
// Errors  ImportError: a scaling other than linear, llama3 and longrope, or a value out of range.
void read_rope(const JsonField& config, const RopeDefaults& defaults, Hyper* hyper);

}  // namespace nbl::compiler::hf
