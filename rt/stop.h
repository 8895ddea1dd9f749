/* nibble: stop texts. Part of rt/nibble.h, which includes it.
 *
 * Generated text goes through nbl_stop_put(), one token at a time; what may be the
 * beginning of a stop text is held back, and the output ends in front of the first one that is
 * complete, wherever it begins: within a token or several tokens before. Of stop texts that are
 * complete at the same byte the longest counts. Nothing of a prompt is looked at.
 *
 *   nbl_stop stop;
 *   nbl_stop_begin(&stop, texts, text_count, &error);
 *   start = nbl_position(engine);
 *   for each generated token:
 *     nbl_detokenize(engine, &decoder, token, piece, piece_bytes, &length, &error);
 *     nbl_stop_put(&stop, &decoder, piece, length, shown, shown_bytes, &shown_length, &error);
 *     ... show it ...
 *     if (stop.found != 0) { nbl_rewind(engine, start + stop.keep_tokens, &error); break; }
 *   if (stop.found == 0) nbl_stop_flush(&stop, shown, shown_bytes, &shown_length, &error);
 *
 * keep_tokens are the tokens all of whose text was shown. Where a stop text begins within a token,
 * the spare_bytes at the end of what was shown are that token's: a caller that wants them in the
 * context tokenizes and evaluates them. */
#ifndef NBL_STOP_H
#define NBL_STOP_H

#include "rt/text.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { NBL_MAX_STOP_TEXTS = 16, NBL_MAX_STOP_BYTES = 128 };
typedef struct nbl_stop {
  uint32_t found;       /* 0, or 1 + the index of the stop text that came */
  uint32_t keep_tokens; /* of those that were put */
  uint32_t shown_bytes; /* so far, of a text of less than 4 GiB */
  uint32_t spare_bytes; /* of these, past the text of keep_tokens */
  /* The rest is the functions' own. */
  const char* texts[NBL_MAX_STOP_TEXTS];
  uint8_t lengths[NBL_MAX_STOP_TEXTS];
  uint8_t matched[NBL_MAX_STOP_TEXTS];
  uint32_t state[5];
  uint32_t marks[NBL_MAX_STOP_BYTES + 4][2];
} nbl_stop;

/* Starts a text. Borrows the stop texts, zero-terminated and of 1 to NBL_MAX_STOP_BYTES bytes,
 * while `stop` is in use. Errors: missing_argument, bad_argument (count), bad_stop_text. */
nbl_status nbl_stop_begin(nbl_stop* stop, const char* const* texts, uint32_t count,
                          nbl_error* error);

/* Takes what nbl_detokenize() made of one token, and writes what can be shown. `decoder` is the one
 * used there; NULL where each token's text is whole. `out` needs text_bytes + NBL_MAX_STOP_BYTES
 * bytes and is not `text`. After a stop text nothing more is shown. Errors: missing_argument,
 * output_too_small. */
nbl_status nbl_stop_put(nbl_stop* stop, const nbl_decoder* decoder, const char* text,
                        size_t text_bytes, char* out, size_t out_bytes, size_t* length,
                        nbl_error* error);

/* Ends a text: writes what is held back, fewer than NBL_MAX_STOP_BYTES bytes. Errors as above. */
nbl_status nbl_stop_flush(nbl_stop* stop, char* out, size_t out_bytes, size_t* length,
                          nbl_error* error);

#ifdef __cplusplus
}
#endif

#endif /* NBL_STOP_H */
