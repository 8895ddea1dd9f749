#include "rt/step.h"

#include <bit>
#include <cstring>

#include "rt/base/checked.h"
#include "rt/step/rows.h"
#include "rt/vk/result.h"
#include "spirv/chain.push.h"
#include "spirv/step_state.h"

namespace nbl {
namespace {

uint32_t low(uint64_t value) {
  return static_cast<uint32_t>(value);
}
uint32_t high(uint64_t value) {
  return static_cast<uint32_t>(value >> 32);
}

std::byte* io(const Stepper& s, const Region& place) {
  return s.recording->blocks[place.block].mapped + place.offset;
}

void write_step(const Stepper& s, const Sequence& sequence, std::span<const uint32_t> tokens) {
  uint32_t words[STEP_BIAS] = {};
  const Sampling& sampling = sequence.sampling;
  words[STEP_INPUT_POS] = sequence.position;
  words[STEP_TOKEN_COUNT] = static_cast<uint32_t>(tokens.size());
  words[STEP_TEMPERATURE] = std::bit_cast<uint32_t>(sampling.temperature);
  words[STEP_TOP_K] = sampling.top_k;
  words[STEP_TOP_P] = std::bit_cast<uint32_t>(sampling.top_p);
  words[STEP_SEED_LO] = low(sampling.seed);
  // Positions come again after a slide, random numbers do not.
  words[STEP_SEED_HI] = high(sampling.seed) + low(sequence.dropped);
  // Of a model with more of them the device does not see the last ones: the host does.
  const std::span<const uint32_t> stops = s.model->stop_tokens();
  for (uint32_t i = 0; i < STEP_STOP_COUNT; ++i)
    words[STEP_STOPS + i] = i < stops.size() ? stops[i] : STEP_NO_STOP;
  words[STEP_MIN_P] = std::bit_cast<uint32_t>(sampling.min_p);
  words[STEP_REPEAT_PENALTY] = std::bit_cast<uint32_t>(sampling.repeat_penalty);
  words[STEP_PRESENCE_PENALTY] = std::bit_cast<uint32_t>(sampling.presence_penalty);
  words[STEP_FREQUENCY_PENALTY] = std::bit_cast<uint32_t>(sampling.frequency_penalty);
  words[STEP_WINDOW] = sampling.penalty_window;
  words[STEP_BIAS_COUNT] = sequence.bias_count;
  // The biases between the two stay as they are.
  std::byte* target = io(s, s.plan->io_step);
  memcpy(target, words, sizeof words);
  memcpy(target + sizeof(uint32_t) * STEP_TOKENS, tokens.data(), tokens.size_bytes());
}

// The tokens that penalties look at, in front of the step's own.
void write_recent(const Stepper& s, const Sequence& sequence) {
  const uint32_t count = min_of(sequence.sampling.penalty_window, sequence.position);
  std::byte* const target = io(s, s.plan->io_step) + sizeof(uint32_t) * STEP_RECENT;
  for (uint32_t p = sequence.position - count; p < sequence.position; ++p) {
    memcpy(target + sizeof(uint32_t) * (p % STEP_MOST_WINDOW), &s.recording->tokens[p],
           sizeof(uint32_t));
  }
}

uint32_t result(const Stepper& s, uint32_t index) {
  uint32_t token = 0;
  memcpy(&token, io(s, s.plan->io_results) + index * sizeof token, sizeof token);
  return token;
}

// The token that step `index` of the last submit sampled behind `position`.
Status sampled(const Stepper& s, uint32_t index, uint32_t position, uint32_t* token, Error* error) {
  const uint32_t got = result(s, index);
  if ((got & STEP_NOT_FINITE) != 0) {
    return fail(error, Code::not_finite, 0, {}, position + (got & ~STEP_NOT_FINITE));
  }
  *token = got;
  return {};
}

// Where logits were not finite, what was evaluated is forgotten: rows of caches past the position
// count for nothing. What a slide has dropped does not come back.
Status forget(Status status, const Sequence& before, Sequence* sequence) {
  if (status.code() != Code::not_finite) return status;
  const bool slid = sequence->dropped != before.dropped;
  if (!slid) sequence->position = before.position;
  sequence->next = before.next;
  sequence->has_next = before.has_next && !slid;
  sequence->logits_rows = 0;
  return status;
}

// Submits the phase `steps` times in a row, with `tokens` as the first step's input.
Status run(const Stepper& s, const PhaseCommands& phase, std::span<const uint32_t> tokens,
           uint32_t steps, Sequence* sequence, Error* error) {
  const Recording& r = *s.recording;
  const DeviceBlock& block = r.blocks[s.plan->io_step.block];
  write_step(s, *sequence, tokens);
  write_recent(s, *sequence);
  NBL_TRY(flush_block(*s.device, block, error));
  sequence->prefix_intact = min_of(sequence->prefix_intact, sequence->position);
  r.submit[0] = r.begin;
  for (uint32_t i = 0; i < steps; ++i)
    r.submit[1 + i] = phase.run;
  r.submit[1 + steps] = phase.end;
  NBL_TRY(submit_and_wait(*s.device, r.submit.first(steps + 2), r.fence, s.timeout_ms, "a step",
                          error));
  const bool decode = &phase == &r.decode;
  (decode ? sequence->decode_positions : sequence->prefill_positions) =
      sequence->position + static_cast<uint32_t>(tokens.size()) + steps - 1;
  NBL_TRY(invalidate_block(*s.device, block, error));
  const uint32_t stalled = result(s, s.plan->options.max_burst + CHAIN_STALLED);
  if (stalled == 0) return {};
  if (stalled == CHAIN_OTHER_LAYOUT) return fail(error, Code::matrix_layout, 0, {});
  return fail(error, Code::gpu_stalled, 0, {}, 0, s.plan->caps.cores);
}

Status full(const Stepper& s, uint64_t position, Error* error) {
  const char* on_full = s.on_full == OnFull::stop ? "stop" : "error";
  return fail(error, Code::context_full, 0, on_full, position, s.plan->options.context);
}

Status check_tokens(const Stepper& s, std::span<const uint32_t> tokens, uint32_t position,
                    Error* error) {
  if (tokens.empty()) return fail(error, Code::no_tokens, 0, {});
  for (const uint32_t token : tokens) {
    if (token >= s.plan->vocab_size) {
      return fail(error, Code::token_out_of_range, 0, {}, token, s.plan->vocab_size);
    }
  }
  if (s.on_full != OnFull::slide && tokens.size() > s.plan->options.context - position) {
    return full(s, position + uint64_t{tokens.size()}, error);
  }
  return {};
}

Status evaluate_chunks(const Stepper& s, std::span<const uint32_t> tokens, Sequence* sequence,
                       Error* error) {
  const bool all_rows = s.plan->options.logits == LogitsMode::all;
  while (!tokens.empty()) {
    if (sequence->position == s.plan->options.context) NBL_TRY(slide(s, sequence, error));
    const uint32_t room = s.plan->options.context - sequence->position;
    const uint32_t count = static_cast<uint32_t>(
        min_of<size_t>(tokens.size(), min_of(s.plan->options.prefill_chunk, room)));
    const PhaseCommands& phase = count == 1 ? s.recording->decode : s.recording->prefill;
    NBL_TRY(run(s, phase, tokens.first(count), 1, sequence, error));
    memcpy(&s.recording->tokens[sequence->position], tokens.data(), count * sizeof tokens[0]);
    NBL_TRY(sampled(s, 0, sequence->position, &sequence->next, error));
    sequence->position += count;
    sequence->has_next = true;
    sequence->logits_rows = all_rows ? count : 1;
    tokens = tokens.subspan(count);
  }
  return {};
}

Status generate_bursts(const Stepper& s, std::span<uint32_t> out, uint32_t* count,
                       Sequence* sequence, Error* error) {
  const uint32_t context = s.plan->options.context;
  const bool slides = s.on_full == OnFull::slide;
  uint32_t done = 0;
  while (done < out.size()) {
    if (slides && sequence->position == context) NBL_TRY(slide(s, sequence, error));
    const uint32_t room = context - sequence->position;
    const uint32_t steps = static_cast<uint32_t>(
        min_of<size_t>(min_of(s.plan->options.max_burst, room), out.size() - done));
    if (steps == 0) break;
    const uint32_t first = sequence->next;
    NBL_TRY(run(s, s.recording->decode, {&first, 1}, steps, sequence, error));
    // Step i evaluated `fed` and sampled result(i). A stop token ends the text where it is fed: the
    // steps after it did nothing, or for a stop token that the device does not know of, something
    // past the position that is overwritten by whatever comes next.
    uint32_t fed = first;
    uint32_t used = 0;
    bool stopped = false;
    while (used < steps && !stopped) {
      out[done + used] = fed;
      s.recording->tokens[sequence->position + used] = fed;
      stopped = is_stop_token(*s.model, fed);
      NBL_TRY(sampled(s, used, sequence->position + used, &sequence->next, error));
      fed = sequence->next;
      ++used;
    }
    done += used;
    sequence->position += used;
    sequence->logits_rows = used == steps ? 1 : 0;
    if (stopped) break;
  }
  *count = done;
  return {};
}

}  // namespace

void write_bias(const Stepper& s, uint32_t index, const LogitBias& bias) {
  static_assert(sizeof bias == 8 && STEP_RECENT == STEP_BIAS + 2 * STEP_MOST_BIAS &&
                STEP_TOKENS == STEP_RECENT + STEP_MOST_WINDOW);
  NBL_ASSERT(index < STEP_MOST_BIAS);
  std::byte* const target = io(s, s.plan->io_step) + sizeof(uint32_t) * STEP_BIAS;
  memcpy(target + sizeof bias * index, &bias, sizeof bias);
}

bool is_stop_token(const Model& model, uint32_t token) {
  for (const uint32_t stop : model.stop_tokens()) {
    if (stop == token) return true;
  }
  return false;
}

Status evaluate(const Stepper& s, std::span<const uint32_t> tokens, Sequence* sequence,
                Error* error) {
  NBL_TRY(check_tokens(s, tokens, sequence->position, error));
  const Sequence before = *sequence;
  return forget(evaluate_chunks(s, tokens, sequence, error), before, sequence);
}

Status generate(const Stepper& s, std::span<uint32_t> out, uint32_t* count, Sequence* sequence,
                Error* error) {
  if (out.empty()) return fail(error, Code::no_tokens, 0, {});
  if (!sequence->has_next) return fail(error, Code::nothing_evaluated, 0, {});
  if (sequence->position >= s.plan->options.context && s.on_full == OnFull::error) {
    return full(s, uint64_t{sequence->position} + 1, error);
  }
  const Sequence before = *sequence;
  return forget(generate_bursts(s, out, count, sequence, error), before, sequence);
}

Status read_logits(const Stepper& s, const Sequence& sequence, std::span<float> out, uint32_t* rows,
                   Error* error) {
  if (s.plan->options.logits == LogitsMode::none) return fail(error, Code::no_logits, 0, {});
  if (sequence.logits_rows == 0) return fail(error, Code::nothing_evaluated, 0, {});
  const uint64_t vocab = s.plan->vocab_size;
  const uint64_t needed = vocab * sequence.logits_rows;
  if (out.size() < needed) {
    return fail(error, Code::output_too_small, 0, "the logits array", needed, out.size());
  }
  const uint64_t stride = row_stride(s.plan->vocab_size) * sizeof(float);
  const std::byte* source = io(s, s.plan->io_logits);
  for (uint32_t row = 0; row < sequence.logits_rows; ++row) {
    memcpy(out.data() + row * vocab, source + row * stride, in_memory(vocab * sizeof(float)));
  }
  *rows = sequence.logits_rows;
  return {};
}

}  // namespace nbl
