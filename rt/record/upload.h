// Brings the weights to where they stay and defines the contents of everything else.
#pragma once

#include "rt/record.h"

namespace nbl {

// Allocates (or imports) every block of the plan.
// Errors  as allocate_block(); import_refused.
Status make_blocks(const Model& model, const Plan& plan, const Device& device, Recording* out,
                   Error* error);

// Copies the weight segments: straight into host-visible blocks, else (images always) through the
// staging window in two halves, one being filled while the other is copied. Nothing where they are
// imported.
Status upload_weights(const Model& model, const Plan& plan, const Device& device,
                      uint32_t timeout_ms, Recording* out, Error* error);

// Zeroes state and activations, so that no step ever reads what was there before.
Status clear_memory(const Plan& plan, const Device& device, uint32_t timeout_ms, Recording* out,
                    Error* error);

}  // namespace nbl
