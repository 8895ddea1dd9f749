/* A firmware image around a language model: answers what it reads from stdin, to stdout.
 *
 * All memory is static and sized by model_config.h, which `nibblec compile --emit-config` wrote for
 * this model and board. Vulkan comes from boards/common, the model from model_linked.c or
 * model_mapped.c. */
#include <stdio.h>
#include <string.h>

#include "boards/common/vulkan_entry.h"
#include "image.h"
#include "model_config.h"

enum { kPromptBytes = 1024, kAnswerTokens = 256, kScratchBytes = 64 * 1024, kPieceBytes = 1024 };

static _Alignas(64) unsigned char arena[NIBBLE_ARENA_BYTES];
static _Alignas(8) unsigned char scratch[kScratchBytes];
static char prompt[kPromptBytes];
static uint32_t tokens[NIBBLE_CONTEXT];

static int complain(const nbl_error* error) {
  char text[256];
  nbl_error_text(error, text, sizeof text);
  fprintf(stderr, "firmware: %s\n", text);
  return 1;
}

/* The prompt as the model wants it: a turn of a conversation, or the text as it is. */
static nbl_status read_tokens(const nbl_engine* engine, size_t prompt_bytes, size_t* count,
                              nbl_error* error) {
  if (nbl_chat_scratch_bytes(engine, 0) != 0) {
    nbl_chat chat = {0};
    return nbl_chat_turn(engine, &chat, NBL_CHAT_USER, prompt, prompt_bytes, NBL_CHAT_OPEN, scratch,
                         sizeof scratch, tokens, NIBBLE_CONTEXT, count, error);
  }
  return nbl_tokenize(engine, prompt, prompt_bytes, NBL_TOKENIZE_BOS, scratch, sizeof scratch,
                      tokens, NIBBLE_CONTEXT, count, error);
}

/* Prints tokens as they come, a burst at a time, until the model stops. */
static nbl_status answer(nbl_engine* engine, nbl_error* error) {
  nbl_decoder decoder = {0};
  char piece[kPieceBytes];
  for (int written = 0; written < kAnswerTokens;) {
    uint32_t burst[NIBBLE_MAX_BURST];
    uint32_t count = 0;
    nbl_status status = nbl_generate(engine, NIBBLE_MAX_BURST, burst, &count, error);
    if (status != 0) return status;
    for (uint32_t i = 0; i < count; ++i, ++written) {
      if (nbl_is_stop_token(engine, burst[i])) return 0;
      size_t length = 0;
      status = nbl_detokenize(engine, &decoder, burst[i], piece, sizeof piece, &length, error);
      if (status != 0) return status;
      fwrite(piece, 1, length, stdout);
    }
    fflush(stdout);
    if (count == 0) break;
  }
  return 0;
}

int main(int argc, char** argv) {
  char why[NBL_VULKAN_WHY_BYTES];
  nbl_config config = {0};
  config.get_instance_proc_addr = nbl_vulkan_entry(why, sizeof why);
  if (config.get_instance_proc_addr == NULL) {
    fprintf(stderr, "firmware: %s\n", why);
    return 1;
  }
  config.model = image_model(argc > 1 ? argv[1] : NULL, &config.model_bytes);
  if (config.model == NULL) {
    fprintf(stderr, "firmware: there is no model\n");
    return 1;
  }
  nibble_configure(&config);
  config.arena = arena;
  config.arena_bytes = sizeof arena;
  config.on_full = NBL_ON_FULL_STOP;

  nbl_error error = {0};
  nbl_engine* engine = NULL;
  size_t count = 0;
  nbl_status status = nbl_open(&config, &engine, &error);
  if (status == 0) {
    size_t prompt_bytes = fread(prompt, 1, sizeof prompt, stdin);
    while (prompt_bytes > 0 && prompt[prompt_bytes - 1] == '\n')
      --prompt_bytes;
    status = read_tokens(engine, prompt_bytes, &count, &error);
  }
  if (status == 0) status = nbl_evaluate(engine, tokens, (uint32_t)count, &error);
  if (status == 0) status = answer(engine, &error);
  if (status == 0) putchar('\n');
  nbl_close(engine);
  return status == 0 ? 0 : complain(&error);
}
