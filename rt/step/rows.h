// Moves rows of the KV caches between steps. A row is one position of all caches: plan.row_bytes,
// cache after cache in the order of the model's tensors.
#pragma once

#include "rt/step.h"

namespace nbl {

// Copies the rows of positions [position, position + rows.size() / row_bytes), through the window.
// Errors  the device's.
Status save_rows(const Stepper& stepper, uint32_t position, std::span<std::byte> rows,
                 Error* error);
Status load_rows(const Stepper& stepper, uint32_t position, std::span<const std::byte> rows,
                 Error* error);

// Starts after the model's prefix, or at position 0 where it has none. Its rows are copied where
// they are not in the caches any more.
// Errors  the device's.
Status restart(const Stepper& stepper, Sequence* sequence, Error* error);

// Drops plan.shift positions of a full context: those behind the sinks. What stands behind them
// moves forward, its keys turned back by as many positions.
// Errors  the device's.
Status slide(const Stepper& stepper, Sequence* sequence, Error* error);

}  // namespace nbl
