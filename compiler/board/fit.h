// Whether a model fits a board, how fast it is expected to be there, and what would make it fit.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "boards/boards.h"
#include "compiler/board/memory_on.h"
#include "rt/model/model.h"
#include "rt/plan.h"

namespace nbl::compiler {

struct FitRequest {
  uint32_t context = 0;  // positions; the model's where 0
  uint32_t prefill_chunk =
      0;  // tokens; where 0 the largest up to the model's that the board allows
  LogitsMode logits = LogitsMode::none;
};

// Times are estimates: of bytes by the board's memory and decode_share, of operations by its
// prefill_gflops, whichever takes longer, and dispatch_us for each dispatch.
struct Fit {
  std::vector<std::string> problems;  // a sentence each; empty = the model fits
  std::vector<std::string> remedies;  // what would help, a sentence each, with what it comes to
  bool planned = false;               // the rest is known
  uint64_t role_bytes[kBlockRoleCount] = {};
  uint64_t device_bytes = 0;
  uint64_t host_bytes = 0;        // the arena, with a pool of the default size for the driver
  uint32_t windowed_weights = 0;  // cut for the largest binding
  uint32_t context = 0;
  uint32_t prefill_chunk = 0;
  uint32_t max_burst = 0;    // decode steps a submit may hold
  double decode_ms[2] = {};  // of a step: at the start, with a full context
  double prefill_ms = 0;     // of a chunk, with a full context
  double longest_ms = 0;     // of one dispatch
  std::string longest;       // its op
};

// Plans the model for the board and compares what comes out with the board's memory and watchdog.
// A chunk or a burst whose submit would outlast the watchdog is halved until it does not; half of
// the watchdog's time is kept for estimates that are wrong by two.
Fit check_fit(const Model& model, const Board& board, const FitRequest& request = {});

EngineSizes sizes_of(const Fit& fit);

std::string fit_text(const Fit& fit, const Board& board);
nlohmann::json fit_json(const Fit& fit, const Board& board);

}  // namespace nbl::compiler
