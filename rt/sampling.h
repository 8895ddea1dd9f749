/* nibble: how the next token is chosen. Part of rt/nibble.h, which includes it. */
#ifndef NBL_SAMPLING_H
#define NBL_SAMPLING_H

#include "rt/error.h"

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif

#endif /* NBL_SAMPLING_H */
