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
 * vulkan_call, driver_pool_full or engine_dead: then only nbl_close() is left, after which the
 * engine can be opened again in the same arena. Nothing is allocated from any heap, and nothing at
 * all after nbl_open().
 *
 * One thread per engine. Engines share nothing: several may live side by side.
 */
#ifndef NBL_NIBBLE_H
#define NBL_NIBBLE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 0 is success. Low 8 bits: a code from rt/base/status.def; the rest: which op, tensor or call. */
typedef uint32_t nbl_status;

typedef struct nbl_error {
  nbl_status status;
  uint64_t value;
  uint64_t limit;
  char name[64];
} nbl_error;

/* Writes one clear sentence, zero-terminated and cut to text_bytes; returns its length. */
size_t nbl_error_text(const nbl_error* error, char* text, size_t text_bytes);

/* The name of a status's code: "context_full". Static storage. */
const char* nbl_status_name(nbl_status status);

typedef struct nbl_engine nbl_engine;

/* A function pointer as vkGetInstanceProcAddr returns it; cast the loader's to this type. */
typedef void (*nbl_void_fn)(void);
typedef nbl_void_fn (*nbl_get_instance_proc_addr)(void* instance, const char* name);

/* Called with one line of text at a time, during nbl_open() only. */
typedef void (*nbl_log_fn)(void* user, const char* line);

/* Pipeline cache: load returns how many bytes it wrote to `data` (at most `size`; 0 = none), store
 * gets the bytes to keep. Both are called during nbl_open() only. */
typedef size_t (*nbl_cache_load_fn)(void* user, void* data, size_t size);
typedef void (*nbl_cache_store_fn)(void* user, const void* data, size_t size);

enum {
  NBL_LOGITS_NONE = 0, /* nothing is read back but token ids */
  NBL_LOGITS_LAST = 1, /* the logits of the last token of each evaluation can be read */
  NBL_LOGITS_ALL = 2   /* of every token */
};

enum {
  NBL_FLAG_FLOOR_KERNELS = 1u << 0, /* only kernels inside Vulkan 1.1's minimums */
  NBL_FLAG_TIMESTAMPS = 1u << 1,    /* GPU time of each dispatch: rt/timings.h */
  NBL_FLAG_VERIFY_HASHES = 1u << 2, /* check every weight segment's SHA-256 in nbl_open() */
  NBL_FLAG_NO_IMPORT = 1u << 3,     /* never import the model's memory, always copy */
  NBL_FLAG_REFUSE_DRIVER_ALLOCATIONS = 1u << 4, /* refuse driver host memory after nbl_open() */
  NBL_FLAG_STAGE_WEIGHTS = 1u << 5,   /* copy weights through the staging window even where the
                                         device memory can be written directly */
  NBL_FLAG_FLOAT32 = 1u << 7,         /* no matrix kernels, whose operands are rounded to f16 */
  NBL_FLAG_GPU_KERNELS = 1u << 6,     /* choose kernels as for a GPU on CPU implementations too:
                                         for tests */
  NBL_FLAG_TEXTURE_WEIGHTS = 1u << 8, /* read 4-bit weights from images wherever one can hold them;
                                         without it, where that is known to be fast */
  NBL_FLAG_BUFFER_WEIGHTS = 1u << 9,  /* never; wins over the one above, as NBL_FLAG_FLOOR_KERNELS
                                         does */
  NBL_FLAG_CHAIN = 1u << 10,   /* run the layers of a decode step in one dispatch wherever the model
                                  allows; without it, where work-groups run side by side for sure */
  NBL_FLAG_NO_CHAIN = 1u << 11 /* never; wins over the one above, as NBL_FLAG_FLOOR_KERNELS does */
};

/* What happens where the context has no room for the next token. */
enum {
  NBL_ON_FULL_ERROR = 0, /* the call fails with context_full */
  NBL_ON_FULL_STOP = 1,  /* nbl_generate() succeeds with *count = 0; nbl_evaluate() fails */
  /* The first sink_tokens positions stay, and the oldest quarter of the others is dropped, as often
   * as there is need. What follows moves up, its keys turned back as if it had always stood there:
   * keys of f16 and int8 caches are rounded once more by it, three times at most before they are
   * dropped. A prompt may be longer than the context. */
  NBL_ON_FULL_SLIDE = 2
};
#define NBL_NO_SINKS 0xffffffffu

/* Zero means "the default" in every field but the first three. */
typedef struct nbl_config {
  nbl_get_instance_proc_addr get_instance_proc_addr;
  const void* model; /* borrowed until nbl_close(); 64-byte aligned, page-aligned to be imported */
  size_t model_bytes;
  void* arena; /* 64-byte aligned; borrowed as the model is, or during nbl_memory_needed() */
  size_t arena_bytes;

  int32_t device; /* 1 + index in vkEnumeratePhysicalDevices order; 0 = first that fits,
                     GPUs before CPU implementations */
  uint32_t flags;
  uint32_t context;             /* positions; default and limit: the model's context length */
  uint32_t prefill_chunk;       /* tokens a prefill step takes; default: the model's */
  uint32_t max_burst;           /* decode steps a submit may hold; default 32 */
  uint32_t logits;              /* NBL_LOGITS_* */
  uint32_t driver_pool_bytes;   /* host memory set aside for the driver; default 8 MiB */
  uint32_t staging_bytes;       /* window for copying weights; default 4 MiB */
  uint32_t timeout_ms;          /* a submit that takes longer is an error; default 60000 */
  uint64_t device_memory_limit; /* bytes; 0 = none */

  nbl_log_fn log;
  nbl_cache_load_fn cache_load;
  nbl_cache_store_fn cache_store;
  void* user; /* handed to the three above */

  uint32_t on_full;     /* NBL_ON_FULL_* */
  uint32_t sink_tokens; /* NBL_ON_FULL_SLIDE: positions that stay; default 4, NBL_NO_SINKS: none */
} nbl_config;

/* What an engine takes, exactly. */
typedef struct nbl_memory {
  uint64_t host_bytes;        /* the arena, everything included */
  uint64_t driver_pool_bytes; /* the part of it set aside for the driver */
  uint64_t weight_bytes;      /* device memory */
  uint64_t kv_bytes;
  uint64_t activation_bytes;
  uint64_t io_bytes;
  uint64_t device_bytes;   /* all of the four above as allocated, rounding included */
  uint64_t staging_bytes;  /* given back at the end of nbl_open(), not part of device_bytes */
  uint64_t imported_bytes; /* weights read where the model lies: no device memory */
  uint64_t image_bytes;    /* the part of weight_bytes that is images */
} nbl_memory;

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

/* How the next token is chosen. Applied by the following evaluations until changed.
 *
 * In this order: logit biases, repeat penalty, presence and frequency penalties, temperature, top
 * k, top p, min p, the draw. Each works on what those before it left; probabilities are those at
 * the temperature. With temperature 0 the most likely token after biases and penalties is taken and
 * the rest does not matter. nbl_logits() gives the model's logits, without biases and penalties.
 *
 * Penalties look at the last penalty_window tokens in the context, of the prompt and of what came
 * after it alike. Errors: bad_sampling (a number that is not one or out of its range), bad_argument
 * (penalty_window). */
enum { NBL_MAX_PENALTY_WINDOW = 1024, NBL_DEFAULT_PENALTY_WINDOW = 64, NBL_MAX_LOGIT_BIASES = 256 };
typedef struct nbl_sampling {
  float temperature; /* 0 = the most likely token; at most 1000 */
  uint32_t top_k;    /* only among the k most likely; 0 = off */
  float top_p;       /* only among the smallest set with this probability; 0 or 1 = off */
  uint64_t seed;     /* same model, device, seed and tokens: same choice, whatever the burst size */
  float min_p; /* only tokens min_p times as likely as the likeliest, or more; 0 to 1, 0 = off */
  float repeat_penalty;    /* logits above 0 are divided by it, others multiplied (Keskar et al.,
                              2019); 0.01 to 100; 0 or 1 = off */
  float presence_penalty;  /* subtracted from the logits; -100 to 100; 0 = off */
  float frequency_penalty; /* likewise, once for each time that the token is in the window */
  uint32_t penalty_window; /* tokens; 0 = NBL_DEFAULT_PENALTY_WINDOW */
} nbl_sampling;
nbl_status nbl_set_sampling(nbl_engine* engine, const nbl_sampling* sampling, nbl_error* error);

/* What is added to the logits of single tokens, for the following evaluations until the next call;
 * count 0 ends it. -infinity bans a token (of a vocabulary banned whole the first one comes). At
 * most NBL_MAX_LOGIT_BIASES, each -infinity or -1e6 to 1e6, copied. Errors: bad_argument (too
 * many), token_out_of_range, bad_sampling (another number, or a token listed twice). */
typedef struct nbl_logit_bias {
  uint32_t token;
  float bias;
} nbl_logit_bias;
nbl_status nbl_set_logit_bias(nbl_engine* engine, const nbl_logit_bias* biases, uint32_t count,
                              nbl_error* error);

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

/* A model may come with a prefix (nibblec prefix): a text that it has read before, whose rows in
 * the caches are part of the file. nbl_open() copies them, and the engine starts at position
 * nbl_prefix_length() as if the prefix's tokens had been evaluated: what is evaluated next
 * continues them. 0 and NULL: there is none. The tokens are the model's own. nbl_rewind() takes the
 * prefix as any other tokens: back to nbl_prefix_length() costs nothing, and positions below it can
 * be gone back to as well. nbl_restart() is the way back from anywhere, also where the prefix was
 * overwritten or a slide has dropped some of it: everything is as after nbl_open(), sampling
 * parameters aside. Its rows are copied again where they have to be. */
uint32_t nbl_prefix_length(const nbl_engine* engine);
const uint32_t* nbl_prefix_tokens(const nbl_engine* engine);
nbl_status nbl_restart(nbl_engine* engine, nbl_error* error);

/* The sequence as bytes, to go on from later: caches at the positions in use, the token sampled
 * last, sampling parameters. Continuing gives the tokens that it would have given. It can be loaded
 * into any engine of the same model file, on any device, whose context has room for its positions;
 * docs/format.md has the bytes. nbl_state_bytes() is the size now. After loading there are no
 * logits to be read. Bytes behind the state are ignored. Errors: output_too_small; bad_state,
 * state_truncated, state_damaged, state_of_other_cache, state_of_other_model, state_too_long, which
 * all leave the engine as it was. */
uint64_t nbl_state_bytes(const nbl_engine* engine);
nbl_status nbl_save_state(nbl_engine* engine, void* state, size_t capacity, size_t* bytes,
                          nbl_error* error);
nbl_status nbl_load_state(nbl_engine* engine, const void* state, size_t bytes, nbl_error* error);

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

/* Text to token ids. Writes at most `capacity` ids; *count is the number written. `scratch` is
 * working memory of at least nbl_tokenize_scratch_bytes(text_bytes), 8-byte aligned. Errors:
 * no_tokenizer, output_too_small. */
enum {
  NBL_TOKENIZE_BOS = 1u << 0, /* the model's BOS in front, where it has one and wants it */
  NBL_TOKENIZE_SPECIAL =
      1u << 1, /* control tokens written in the text, such as <|eot_id|>, count */
};
size_t nbl_tokenize_scratch_bytes(size_t text_bytes);
nbl_status nbl_tokenize(const nbl_engine* engine, const char* text, size_t text_bytes,
                        uint32_t flags, void* scratch, size_t scratch_bytes, uint32_t* tokens,
                        size_t capacity, size_t* count, nbl_error* error);

/* Token ids to text, one at a time. Bytes of an incomplete UTF-8 character are held back until it
 * is complete; nbl_detokenize_flush() gives what is left. A zeroed decoder starts a text. `text`
 * needs nbl_max_piece_bytes() + 4 bytes. */
typedef struct nbl_decoder {
  uint8_t held[4];
  uint8_t held_count;
  uint8_t begun;
} nbl_decoder;
size_t nbl_max_piece_bytes(const nbl_engine* engine);
nbl_status nbl_detokenize(const nbl_engine* engine, nbl_decoder* decoder, uint32_t token,
                          char* text, size_t text_bytes, size_t* length, nbl_error* error);
nbl_status nbl_detokenize_flush(nbl_decoder* decoder, char* text, size_t text_bytes, size_t* length,
                                nbl_error* error);

/* A conversation with a model that has a chat table: nbl_chat_turn() writes the tokens of one turn,
 * with all that the model's chat template puts around it, for nbl_evaluate().
 *
 *   nbl_chat chat = {0};                                      // again where a conversation begins
 *   nbl_chat_turn(engine, &chat, NBL_CHAT_USER, text, text_bytes, NBL_CHAT_OPEN, ...);
 *   nbl_evaluate(engine, tokens, count, &error);
 *   nbl_generate(...);  // until a stop token: the answer; then the next turn
 *
 * The conversation lies in the context: each turn's tokens are those that come next, what closes
 * the answer before included, and nothing is evaluated twice. The caller keeps the nbl_chat, and a
 * copy of it beside each position that it may rewind to. Where an answer did not end with a stop
 * token (a limit, an interruption), the following call takes NBL_CHAT_CUT. A conversation without a
 * system turn gets the template's own, if it has one. Turns that are known already (a history that
 * is read back, examples) are written one after the other, without NBL_CHAT_OPEN but for the last,
 * and may be evaluated together.
 *
 * Control tokens spelled in `text` are text. What the template cuts off (white space, often) is cut
 * off. */
typedef struct nbl_chat {
  uint8_t last;
  uint8_t in_text;
} nbl_chat;
enum { NBL_CHAT_SYSTEM = 0, NBL_CHAT_USER = 1, NBL_CHAT_ASSISTANT = 2 };
enum {
  NBL_CHAT_OPEN = 1u << 0, /* the assistant answers next */
  NBL_CHAT_CUT = 1u << 1   /* the answer before this turn has no stop token at its end */
};

/* Working memory for a turn; 0 where the model has no chat table. */
size_t nbl_chat_scratch_bytes(const nbl_engine* engine, size_t text_bytes);
/* Writes at most `capacity` ids; *count is the number written. Errors: no_chat, no_tokenizer,
 * wrong_turn (a system turn that is not the first; an assistant's where it is to answer),
 * output_too_small (`tokens` may have been written to), bad_argument. */
nbl_status nbl_chat_turn(const nbl_engine* engine, nbl_chat* chat, uint32_t role, const char* text,
                         size_t text_bytes, uint32_t flags, void* scratch, size_t scratch_bytes,
                         uint32_t* tokens, size_t capacity, size_t* count, nbl_error* error);

#ifdef __cplusplus
}
#endif

#include "rt/stop.h"
#include "rt/timings.h"

#endif /* NBL_NIBBLE_H */
