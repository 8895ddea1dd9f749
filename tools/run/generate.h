// The prompt's evaluation and the tokens that follow it.
#pragma once

#include <chrono>
#include <csignal>
#include <cstdint>
#include <span>

#include "rt/nibble.hpp"
#include "tools/run/logits_file.h"
#include "tools/run/options.h"
#include "tools/run/output.h"

namespace nbl::tools {

inline constexpr int kInterruptedExit = 130;  // as shells report SIGINT

// Set by SIGINT: generation ends after the tokens under way.
extern volatile std::sig_atomic_t interrupted;

struct Statistics {
  double load_seconds = 0;
  double prompt_seconds = 0;
  double decode_seconds = 0;
  uint32_t prompt_count = 0;
  uint32_t generated = 0;  // a stop token counts
  bool stopped = false;
  bool context_full = false;
};

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start);

void evaluate_prompt(nibble::Engine& engine, const Options& options,
                     std::span<const uint32_t> prompt, LogitsFile* logits);

// In bursts that grow until a call takes a tenth of a second; their size does not change the
// tokens.
void generate(nibble::Engine& engine, const Options& options, Output& output,
              Statistics& statistics);

// Token by token, each one evaluated only when another is to follow it.
void generate_with_logits(nibble::Engine& engine, const Options& options, LogitsFile& logits,
                          Output& output, Statistics& statistics);

}  // namespace nbl::tools
