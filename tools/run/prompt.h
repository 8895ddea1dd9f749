// The tokens that nibble-run starts with.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/common/engine_session.h"
#include "tools/run/options.h"

namespace nbl::tools {

// From --tokens, --prompt or --file. Throws Failure where there is nothing to start with.
std::vector<uint32_t> make_prompt(const Options& options, EngineSession& session);

}  // namespace nbl::tools
