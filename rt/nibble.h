/* nibble: 4-bit language models on embedded GPUs through Vulkan. The public C API.
 *
 *   nbl_config config = {0};
 *   config.get_instance_proc_addr = ...;         // from the Vulkan loader or the driver
 *   config.model = bytes; config.model_bytes = size;
 *   nbl_memory need;
 *   if (nbl_memory_needed(&config, &need, &error)) ...
 *   config.arena = block; config.arena_bytes = need.host_bytes;
 *   nbl_engine* engine;
 *   if (nbl_open(&config, &engine, &error)) ...
 *   nbl_evaluate(engine, prompt, prompt_count, &error);
 *   nbl_generate(engine, 32, tokens, &count, &error);
 *   nbl_close(engine);
 *
 * Every function returns 0 for success or a status; the nbl_error beside it (may be NULL) then
 * holds the facts, and nbl_error_text() makes a sentence of them. A failed call leaves its outputs
 * untouched and the engine as it was, unless the status is device_lost, gpu_timeout, gpu_stalled,
 * matrix_layout, vulkan_call, driver_pool_full or engine_dead: then only nbl_close() is left, after
 * which the engine can be opened again in the same arena. Nothing is allocated from any heap, and
 * nothing at all after nbl_open().
 *
 * One thread per engine. Engines share nothing: several may live side by side.
 *
 * rt/error.h     statuses and errors
 * rt/config.h    options of an engine, and the memory that it takes
 * rt/sampling.h  how the next token is chosen
 * rt/text.h      text to tokens and back, conversations; rt/stop.h: texts that end an answer
 * rt/state.h     a text read before, and a sequence as bytes
 * rt/timings.h   GPU time of each dispatch
 */
#ifndef NBL_NIBBLE_H
#define NBL_NIBBLE_H

#include <stddef.h>
#include <stdint.h>

#include "rt/config.h"
#include "rt/error.h"
#include "rt/sampling.h"
#include "rt/state.h"
#include "rt/stop.h"
#include "rt/text.h"
#include "rt/timings.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sizes for this model on this machine's device with these options. Opens and closes a Vulkan
 * instance and a device in config->arena: one half serves the driver, the other the engine's own
 * planning. Mesa's lavapipe takes 2.7 MiB, so that 5.4 MiB are needed with it; 16 MiB have been
 * enough everywhere. Errors: driver_pool_full and arena_full where it is too small. */
nbl_status nbl_memory_needed(const nbl_config* config, nbl_memory* memory, nbl_error* error);

/* Brings an engine up in config->arena and seals it. Everything in config is copied; the model and
 * the arena stay borrowed. */
nbl_status nbl_open(const nbl_config* config, nbl_engine** engine, nbl_error* error);

/* Destroys everything the engine made; the arena and the model are the caller's again. NULL is
 * allowed. */
void nbl_close(nbl_engine* engine);

/* Runs `count` tokens (at least 1) at the engine's position, in chunks of prefill_chunk, and
 * samples the token that follows. Errors: token_out_of_range, context_full (nothing was evaluated);
 * not_finite: the logits at a position, which the error's value is, have an infinity or what is no
 * number. The device finds that out where it chooses a token, before any bias or penalty: of a
 * chunk's tokens it looks at the last, and with NBL_LOGITS_ALL at each. The engine then is as it
 * was before the call, but that there are no logits to be read, and that a slide is not undone:
 * where one happened in the call the position is behind what was evaluated since, and the next call
 * must be nbl_evaluate(). */
nbl_status nbl_evaluate(nbl_engine* engine, const uint32_t* tokens, uint32_t count,
                        nbl_error* error);

/* The token sampled by the last evaluation; it is not in the context until evaluated. */
nbl_status nbl_next_token(const nbl_engine* engine, uint32_t* token, nbl_error* error);

/* Continues: tokens[0] is the token sampled before; it and the following ones are evaluated on the
 * GPU without a round trip, at most max_burst of them in one submit. Writes *count = 1..limit
 * tokens: less than `limit` where a stop token came (it is the last one written) or the context
 * filled up. The position moves by *count. Errors: nothing_evaluated, context_full (no room for
 * even one), not_finite as above: the same call with the error's value minus nbl_position() as its
 * limit gives the tokens in front of that position; entries of `tokens` may have been written. */
nbl_status nbl_generate(nbl_engine* engine, uint32_t limit, uint32_t* tokens, uint32_t* count,
                        nbl_error* error);

/* Positions in use, at most the context: the next token is evaluated at this one. A slide
 * (NBL_ON_FULL_SLIDE) lowers it by what it drops, so that the tokens evaluated since position 0 are
 * nbl_position() + nbl_info.dropped_positions. nbl_rewind() forgets everything from `position` on,
 * as positions are numbered now (0 = start over, with nothing dropped); the next call must be
 * nbl_evaluate(). */
uint32_t nbl_position(const nbl_engine* engine);
nbl_status nbl_rewind(nbl_engine* engine, uint32_t position, nbl_error* error);

/* Logits of the last nbl_evaluate() (or of the last step of nbl_generate()), float32 [rows][vocab].
 * NBL_LOGITS_LAST: one row. NBL_LOGITS_ALL: the rows of the last chunk; evaluate at most
 * prefill_chunk tokens at a time to see all. *rows says how many were written. Errors: no_logits,
 * output_too_small, nothing_evaluated (also after a stop token that ended a burst early). */
nbl_status nbl_logits(nbl_engine* engine, float* logits, size_t logits_count, uint32_t* rows,
                      nbl_error* error);

typedef struct nbl_info {
  const char* model_name; /* in the model or engine, valid until nbl_close() */
  const char* architecture;
  const char* device_name;
  uint32_t vocab_size;
  uint32_t context;
  uint32_t prefill_chunk;
  uint32_t max_burst;
  uint32_t decode_dispatches; /* in one decode step */
  uint32_t decode_barriers;
  uint32_t prefill_dispatches; /* in one prefill step */
  uint32_t prefill_barriers;
  uint64_t decode_weight_bytes; /* weight bytes a decode step reads */
  int32_t bos, eos;             /* -1 = none */
  uint32_t has_tokenizer;
  uint32_t has_chat;                 /* a chat table */
  uint32_t driver_allocations_setup; /* driver host allocations during nbl_open() */
  uint32_t driver_allocations_after; /* and since */
  uint64_t driver_pool_peak;         /* bytes of the pool in use at most */
  nbl_memory memory;
  uint64_t dropped_positions; /* by slides, since position 0 */
} nbl_info;
void nbl_get_info(const nbl_engine* engine, nbl_info* info);

/* True (1) for the model's stop tokens. */
int nbl_is_stop_token(const nbl_engine* engine, uint32_t token);

#ifdef __cplusplus
}
#endif

#endif /* NBL_NIBBLE_H */
