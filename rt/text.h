/* nibble: text to tokens and back, and conversations. Part of rt/nibble.h, which includes it. */
#ifndef NBL_TEXT_H
#define NBL_TEXT_H

#include "rt/error.h"

#ifdef __cplusplus
extern "C" {
#endif

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

#endif /* NBL_TEXT_H */
