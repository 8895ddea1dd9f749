// A sequence as bytes that outlive the engine: what to continue from, and the rows of the caches at
// the positions in use.
#pragma once

#include "rt/step.h"

namespace nbl {

inline constexpr char kStateMagic[8] = {'N', 'B', 'L', 'S', 'T', 'A', 'T', 'E'};
inline constexpr uint32_t kStateVersion = 1;

// Little-endian. The tokens follow, a word a position, then the rows (rt/step/rows.h).
struct StateHeader {
  char magic[8];
  uint32_t version;
  uint32_t header_bytes;  // 128
  uint64_t bytes;         // header and rows
  uint8_t model[32];      // SHA-256 of the model's graph, which has those of its weights
  uint32_t cache;         // DType of the caches
  uint32_t row_bytes;     // of all caches at one position
  uint32_t position;      // rows that follow
  uint32_t next;          // the token sampled last
  uint64_t dropped;       // positions that slides have dropped
  uint64_t seed;
  uint32_t temperature;  // float bits
  uint32_t top_k;
  uint32_t top_p;     // float bits
  uint32_t has_next;  // 1 = `next` is one
  uint32_t min_p;     // float bits, as the next three
  uint32_t repeat_penalty;
  uint32_t presence_penalty;
  uint32_t frequency_penalty;
  uint32_t penalty_window;
  uint32_t crc32;  // of the bytes before it, then of those behind it
};
static_assert(sizeof(StateHeader) == 128);

uint64_t state_bytes(const Stepper& stepper, const Sequence& sequence);

// Writes state_bytes() bytes.
// Errors  output_too_small; the device's, after which `out` holds anything.
Status save_state(const Stepper& stepper, const Sequence& sequence, std::span<std::byte> out,
                  Error* error);

// Makes *sequence the saved one. Bytes past the state's own are left alone.
// Errors  bad_state, state_truncated, state_damaged, state_of_other_cache, state_of_other_model,
//         state_too_long (nothing changed); the device's.
Status load_state(const Stepper& stepper, std::span<const std::byte> state, Sequence* sequence,
                  Error* error);

}  // namespace nbl
