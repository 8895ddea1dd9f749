#include "rt/step/rows.h"

#include <cstring>

#include "rt/base/checked.h"
#include "spirv/cache_rows.push.h"
#include "spirv/step_state.h"

namespace nbl {
namespace {

std::byte* mapped(const Stepper& s, const Region& place) {
  return s.recording->blocks[place.block].mapped + place.offset;
}

// Runs a phase for `count` positions from `position` on.
Status run(const Stepper& s, const PhaseCommands& phase, uint32_t position, uint32_t count,
           bool load, Error* error) {
  uint32_t words[STEP_BIAS] = {};
  words[STEP_INPUT_POS] = position;
  words[STEP_TOKEN_COUNT] = count;
  words[STEP_ROWS_LOAD] = load ? 1 : 0;
  memcpy(mapped(s, s.plan->io_step), words, sizeof words);
  const DeviceBlock& block = s.recording->blocks[s.plan->io_step.block];
  NBL_TRY(flush_block(*s.device, block, error));
  const VkCommandBuffer buffers[] = {s.recording->begin, phase.run};
  return submit_and_wait(*s.device, buffers, s.recording->fence, s.timeout_ms,
                         "moving rows of the caches", error);
}

// As many rows at a time as the window holds. One of `out` and `in` is null.
Status move_rows(const Stepper& s, uint32_t position, std::byte* out, const std::byte* in,
                 uint64_t bytes, Error* error) {
  std::byte* const window = mapped(s, s.plan->io_window);
  for (uint64_t done = 0; done < bytes;) {
    const size_t some = in_memory(min_of(bytes - done, s.plan->io_window.bytes));
    const uint32_t count = static_cast<uint32_t>(some / s.plan->row_bytes);
    if (in != nullptr) memcpy(window, in + done, some);
    NBL_TRY(run(s, s.recording->window, position, count, in != nullptr, error));
    NBL_TRY(invalidate_block(*s.device, s.recording->blocks[s.plan->io_window.block], error));
    if (out != nullptr) memcpy(out + done, window, some);
    position += count;
    done += some;
  }
  return {};
}

}  // namespace

Status save_rows(const Stepper& s, uint32_t position, std::span<std::byte> rows, Error* error) {
  return move_rows(s, position, rows.data(), nullptr, rows.size(), error);
}

Status load_rows(const Stepper& s, uint32_t position, std::span<const std::byte> rows,
                 Error* error) {
  return move_rows(s, position, nullptr, rows.data(), rows.size(), error);
}

Status restart(const Stepper& s, Sequence* sequence, Error* error) {
  const uint32_t length = static_cast<uint32_t>(s.model->prefix().size());
  if (sequence->prefix_intact < length) NBL_TRY(load_rows(s, 0, s.model->prefix_rows(), error));
  for (uint32_t i = 0; i < length; ++i)
    s.recording->tokens[i] = s.model->prefix()[i];
  sequence->position = length;
  sequence->prefix_intact = length;
  sequence->dropped = 0;
  sequence->has_next = false;
  sequence->logits_rows = 0;
  return {};
}

Status slide(const Stepper& s, Sequence* sequence, Error* error) {
  const uint32_t shift = s.plan->shift;
  const uint32_t end = sequence->position - shift;
  // A step's rows come from behind all that it writes, and are what the one before has left alone.
  const bool has_rows = !s.plan->slide.dispatches.empty();
  for (uint32_t at = s.plan->options.sinks; has_rows && at < end; at += s.plan->slide.tokens) {
    const uint32_t count = min_of(s.plan->slide.tokens, end - at);
    NBL_TRY(run(s, s.recording->slide, at, count, false, error));
  }
  uint32_t* const moved = &s.recording->tokens[s.plan->options.sinks];
  memmove(moved, moved + shift, (end - s.plan->options.sinks) * sizeof *moved);
  sequence->position = end;
  sequence->dropped += shift;
  sequence->prefix_intact = min_of(sequence->prefix_intact, s.plan->options.sinks);
  return {};
}

}  // namespace nbl
