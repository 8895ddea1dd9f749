// What nibble-run does with a sequence beside running it: saved states, prefixes, full contexts.
#pragma once

#include <vector>

#include "tools/common/engine_session.h"
#include "tools/common/output_file.h"
#include "tools/run/options.h"

namespace nbl::tools {

void add_context_options(CLI::App& app, Options& options);
void configure_context(const Options& options, nbl_config* config);

// Loads the state of --load-state, or says where a model's prefix lets the engine start. Returns
// the tokens to evaluate: none where a loaded state knows what comes next. Errors  Failure.
std::vector<uint32_t> begin_sequence(const Options& options, EngineSession& session);

// Errors  Failure.
void save_state(EngineSession& session, OutputFile* file);

}  // namespace nbl::tools
