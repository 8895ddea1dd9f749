// Rows of activations as linear_dq8ca_q4gsw sees them.
#pragma once

#include <cstddef>
#include <vector>

namespace nbl::compiler {

// Replaces every row of `columns` values by scale * (q - zero): its int8 form, made by the rule of
// docs/kernels.md.
void round_rows_to_int8(std::vector<float>* x, size_t columns);

}  // namespace nbl::compiler
