// step: (Recording, tokens) -> tokens or logits. The last of the four stages, and the only one that
// runs after the seal: it writes the step buffer, submits what was recorded, and waits.
#pragma once

#include <span>

#include "rt/record.h"

namespace nbl {

struct Sampling {
  float temperature = 0;  // 0 = greedy
  uint32_t top_k = 0;     // 0 = off
  float top_p = 1;        // 1 = off
  uint64_t seed = 0;
  float min_p = 0;           // 0 = off
  float repeat_penalty = 1;  // 1 = off
  float presence_penalty = 0;
  float frequency_penalty = 0;
  uint32_t penalty_window = 0;  // 0 = no penalties
};

// What is added to the logit of a token.
struct LogitBias {
  uint32_t token;
  float bias;
};

// What a sequence is made of on the host side; the rest of it is in device memory.
struct Sequence {
  uint32_t position = 0;  // tokens in the context
  uint32_t next = 0;      // the token sampled last, not yet in the context
  bool has_next = false;
  uint32_t logits_rows = 0;  // that the last step left to be read
  // Positions in use after the last decode and the last prefill step, which their timestamps
  // describe; 0 = none has run. A rewind leaves them.
  uint32_t decode_positions = 0;
  uint32_t prefill_positions = 0;
  Sampling sampling;
  uint64_t dropped = 0;        // positions that slides have dropped since position 0
  uint32_t prefix_intact = 0;  // positions from 0 on that still hold the model's prefix
  uint32_t bias_count = 0;     // of those that write_bias() wrote
};

// What happens where the context has no room for a token that is to be evaluated.
enum class OnFull : uint8_t { error, stop, slide };

// Everything a step needs, borrowed from the engine.
struct Stepper {
  const Model* model;
  const Plan* plan;
  const Device* device;
  const Recording* recording;
  uint32_t timeout_ms;
  OnFull on_full;
};

// Errors  bad_sampling, bad_argument; NaN is refused too.
Status check_sampling(const Sampling& sampling, Error* error);

// Runs the tokens from sequence->position on, in chunks, and samples the token after them. With
// OnFull::slide there is always room.
// Errors  no_tokens, token_out_of_range, context_full (nothing ran); not_finite (the sequence is as
// it
//         was before, slides aside); gpu_timeout, device_lost, vulkan_call (the engine is then of
//         no more use).
Status evaluate(const Stepper& stepper, std::span<const uint32_t> tokens, Sequence* sequence,
                Error* error);

// Evaluates sequence->next and what follows from it, up to `out.size()` tokens, writing each before
// it is evaluated; ends early after a stop token or where the context is full (OnFull::slide:
// never). Where there is no room for even one: with OnFull::stop *count = 0, else an error.
// Errors  nothing_evaluated, context_full, not_finite, and the device's.
Status generate(const Stepper& stepper, std::span<uint32_t> out, uint32_t* count,
                Sequence* sequence, Error* error);

// Copies the logits of the last step's rows, without the padding of their rows.
// Errors  no_logits, output_too_small, nothing_evaluated.
Status read_logits(const Stepper& stepper, const Sequence& sequence, std::span<float> out,
                   uint32_t* rows, Error* error);

// Puts a bias where steps find it whose sequence has more than `index` of them. index is less than
// STEP_MOST_BIAS, the token in the vocabulary and in no other place that counts.
void write_bias(const Stepper& stepper, uint32_t index, const LogitBias& bias);

bool is_stop_token(const Model& model, uint32_t token);

}  // namespace nbl
