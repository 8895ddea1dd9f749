// The tokens that nibble-run starts with.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/common/engine_session.h"
#include "tools/run/options.h"

namespace nbl::tools {

// From --tokens, --prompt or --file; a text that begins a sequence has BOS in front, where the
// model wants it. Throws Failure where there is nothing to start with.
std::vector<uint32_t> make_prompt(const Options& options, EngineSession& session, bool begins);

}  // namespace nbl::tools
