/* Could break: a symbol of the C++ runtime creeps in, or rt/nibble.h is no longer C. Linked by the
 * C driver, statically, without any C++ library. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "rt/nibble.h"

/* Every function of the API is referenced, so that all of the library is linked. */
typedef void (*any_function)(void);
static const any_function all[] = {
    (any_function)nbl_error_text,
    (any_function)nbl_status_name,
    (any_function)nbl_memory_needed,
    (any_function)nbl_open,
    (any_function)nbl_close,
    (any_function)nbl_set_sampling,
    (any_function)nbl_evaluate,
    (any_function)nbl_next_token,
    (any_function)nbl_generate,
    (any_function)nbl_position,
    (any_function)nbl_rewind,
    (any_function)nbl_logits,
    (any_function)nbl_get_info,
    (any_function)nbl_is_stop_token,
    (any_function)nbl_tokenize_scratch_bytes,
    (any_function)nbl_tokenize,
    (any_function)nbl_max_piece_bytes,
    (any_function)nbl_detokenize,
    (any_function)nbl_detokenize_flush,
    (any_function)nbl_timings,
    (any_function)nbl_set_logit_bias,
    (any_function)nbl_stop_begin,
    (any_function)nbl_stop_put,
    (any_function)nbl_stop_flush,
};

static int failures = 0;

static void expect(int condition, const char* what) {
  if (condition) return;
  printf("failed: %s\n", what);
  ++failures;
}

/* A text of four tokens, of which the stop text takes a part of the last one. */
static void watch_for_stop_texts(void) {
  static const char* const texts[] = {"xx", "e, t"};
  static const char* const tokens[] = {"on", "e", ", ", "two"};
  nbl_stop stop;
  nbl_error error;
  char shown[16 + NBL_MAX_STOP_BYTES];
  char text[64] = "";
  size_t length = 0;
  memset(&error, 0, sizeof error);
  expect(nbl_stop_begin(&stop, texts, 2, &error) == 0, "nbl_stop_begin");
  for (int i = 0; i < 4; ++i) {
    expect(nbl_stop_put(&stop, 0, tokens[i], strlen(tokens[i]), shown, sizeof shown, &length,
                        &error) == 0,
           "nbl_stop_put");
    strncat(text, shown, length);
  }
  expect(strcmp(text, "on") == 0, "the text ends in front of the stop text");
  expect(stop.found == 2 && stop.keep_tokens == 1, "and says what to keep");
  expect(nbl_stop_flush(&stop, shown, sizeof shown, &length, &error) == 0 && length == 0,
         "nothing is left behind a stop text");
  expect(nbl_stop_begin(&stop, texts, 17, &error) == error.status && error.status != 0,
         "too many stop texts are refused");
}

int main(void) {
  for (size_t i = 0; i < sizeof all / sizeof all[0]; ++i)
    expect(all[i] != 0, "linked");

  watch_for_stop_texts();

  nbl_config config;
  memset(&config, 0, sizeof config);
  nbl_error error;
  memset(&error, 0, sizeof error);
  nbl_engine* engine = 0;
  char text[256];

  const nbl_status status = nbl_open(&config, &engine, &error);
  expect(status != 0, "nbl_open without anything fails");
  expect(status == error.status, "the error holds the status");
  expect(engine == 0, "a failed nbl_open leaves the engine pointer alone");
  expect(strcmp(nbl_status_name(status), "missing_argument") == 0, "the status is named");
  const size_t length = nbl_error_text(&error, text, sizeof text);
  expect(length > 0 && length == strlen(text), "there is a sentence");
  printf("%s: %s\n", nbl_status_name(status), text);

  nbl_memory memory;
  expect(nbl_memory_needed(&config, &memory, 0) != 0, "nbl_memory_needed too, without an error");
  nbl_close(0);
  return failures != 0;
}
