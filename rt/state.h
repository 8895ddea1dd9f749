/* nibble: prefixes, and sequences as bytes. Part of rt/nibble.h, which includes it. */
#ifndef NBL_STATE_H
#define NBL_STATE_H

#include "rt/error.h"

#ifdef __cplusplus
extern "C" {
#endif

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

#ifdef __cplusplus
}
#endif

#endif /* NBL_STATE_H */
