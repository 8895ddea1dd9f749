// A conversation on standard input and output.
#pragma once

#include "tools/common/engine_session.h"
#include "tools/run/generate.h"
#include "tools/run/options.h"

namespace nbl::tools {

// Each line of standard input is a turn, the answer goes to standard output. Ends with the input,
// /exit, or SIGINT while a line is awaited; SIGINT ends an answer. /reset forgets the conversation.
// A full context ends a session that is not on a terminal. Adds up what was done in *statistics and
// returns the program's exit status.
//
// Errors  Failure: no chat table, the context is full, or the runtime's sentence.
int run_chat(const Options& options, EngineSession& session, Statistics* statistics);

}  // namespace nbl::tools
