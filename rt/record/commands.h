// The command buffers of an engine, each recorded once.
#pragma once

#include "rt/record.h"

namespace nbl {

// Allocates the command buffers, the fence and, with options.timestamps, the query pools.
Status make_commands(const Plan& plan, const Device& device, const RecordOptions& options,
                     Recording* out, Error* error);

// Records all of them. A submit is: begin, run (once, or as often as the burst has steps), end.
Status record_commands(const Plan& plan, const Device& device, Recording* out, Error* error);

}  // namespace nbl
