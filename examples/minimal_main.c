/* Runs examples/minimal.c on a desktop: what the board's start-up code does in an image.
 *
 *   minimal MODEL.nbl [TOKEN...]      token ids in, token ids out
 *
 * NIBBLE_TIMEOUT_MS in the environment is how long the GPU may take for a submit, where a minute is
 * not enough: in an emulator, which compiles shaders within the first one.
 */
#include <stdio.h>
#include <stdlib.h>

#include "boards/common/vulkan_entry.h"
#include "rt/nibble.h"

enum { kMaxPrompt = 256, kTokens = 32, kArenaAlign = 4096, kProbeBytes = 16 << 20 };

int continue_text(nbl_get_instance_proc_addr vulkan, const void* model, size_t model_bytes,
                  void* arena, size_t arena_bytes, uint32_t timeout_ms, const uint32_t* prompt,
                  uint32_t prompt_count, uint32_t tokens[kTokens], nbl_error* error);

/* The whole file in memory that starts on a page. */
static void* read_file(const char* path, size_t* size_bytes) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) return NULL;
  fseek(file, 0, SEEK_END);
  const long length = ftell(file);
  rewind(file);
  void* bytes = NULL;
  if (length > 0) {
    *size_bytes = (size_t)length;
    const size_t rounded = (*size_bytes + kArenaAlign - 1) / kArenaAlign * kArenaAlign;
    bytes = aligned_alloc(kArenaAlign, rounded);
    if (bytes != NULL && fread(bytes, 1, *size_bytes, file) != *size_bytes) {
      free(bytes);
      bytes = NULL;
    }
  }
  fclose(file);
  return bytes;
}

static int report(const nbl_error* error) {
  char text[256];
  nbl_error_text(error, text, sizeof text);
  fprintf(stderr, "minimal: %s\n", text);
  return 1;
}

/* 0 where the environment has none; returns 0 where what it has is no time. */
static int read_timeout(uint32_t* timeout_ms) {
  const char* text = getenv("NIBBLE_TIMEOUT_MS");
  char* end = NULL;
  const long long ms = text != NULL ? strtoll(text, &end, 10) : 0;
  *timeout_ms = (uint32_t)ms;
  if (text == NULL || (end != text && *end == '\0' && ms > 0 && ms <= UINT32_MAX)) return 1;
  fprintf(stderr, "minimal: NIBBLE_TIMEOUT_MS is '%s'; it must be 1 to %u\n", text, UINT32_MAX);
  return 0;
}

static void* make_arena(nbl_config* config, size_t* arena_bytes, nbl_error* error) {
  config->arena_bytes = kProbeBytes;
  config->arena = aligned_alloc(kArenaAlign, kProbeBytes);
  if (config->arena == NULL) return NULL;
  nbl_memory need;
  const nbl_status status = nbl_memory_needed(config, &need, error);
  free(config->arena);
  if (status != 0) return NULL;
  *arena_bytes = (size_t)need.host_bytes;
  return aligned_alloc(kArenaAlign, (*arena_bytes + kArenaAlign - 1) / kArenaAlign * kArenaAlign);
}

int main(int argc, char** argv) {
  if (argc < 2 || argc > kMaxPrompt + 2) {
    fprintf(stderr, "usage: minimal MODEL.nbl [TOKEN...]\n");
    return 2;
  }
  uint32_t prompt[kMaxPrompt] = {1};
  uint32_t prompt_count = argc == 2 ? 1 : 0;
  for (int i = 2; i < argc; ++i)
    prompt[prompt_count++] = (uint32_t)strtoul(argv[i], NULL, 10);

  uint32_t timeout_ms = 0;
  if (!read_timeout(&timeout_ms)) return 2;

  nbl_error error = {0};
  nbl_config config = {0};
  char why[NBL_VULKAN_WHY_BYTES] = "cannot read the model";
  config.model = read_file(argv[1], &config.model_bytes);
  if (config.model != NULL) config.get_instance_proc_addr = nbl_vulkan_entry(why, sizeof why);
  if (config.get_instance_proc_addr == NULL) {
    fprintf(stderr, "minimal: %s\n", why);
    return 1;
  }
  size_t arena_bytes = 0;
  void* arena = make_arena(&config, &arena_bytes, &error);
  if (arena == NULL) return report(&error);
  uint32_t tokens[kTokens];
  const int count =
      continue_text(config.get_instance_proc_addr, config.model, config.model_bytes, arena,
                    arena_bytes, timeout_ms, prompt, prompt_count, tokens, &error);
  if (count < 0) return report(&error);
  for (int i = 0; i < count; ++i)
    printf("%s%u", i > 0 ? " " : "", tokens[i]);
  printf("\n");
  free(arena);
  free((void*)config.model);
  return 0;
}
