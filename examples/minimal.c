#include "rt/nibble.h"

/* Continues `prompt` by up to 32 tokens. Returns how many, or a negative status code. `arena` is
 * all the memory it uses, `vulkan` the driver's vkGetInstanceProcAddr; nothing is allocated after
 * nbl_open(). A submit to the GPU may take `timeout_ms`; 0: a minute. */
int continue_text(nbl_get_instance_proc_addr vulkan, const void* model, size_t model_bytes,
                  void* arena, size_t arena_bytes, uint32_t timeout_ms, const uint32_t* prompt,
                  uint32_t prompt_count, uint32_t tokens[32], nbl_error* error) {
  nbl_config config = {0};
  config.get_instance_proc_addr = vulkan;
  config.model = model; /* in flash, mapped or linked into the image: it is read where it lies */
  config.model_bytes = model_bytes;
  config.arena = arena;
  config.arena_bytes = arena_bytes; /* nbl_memory_needed() tells the exact size */
  config.timeout_ms = timeout_ms;

  nbl_engine* engine = NULL;
  uint32_t count = 0;
  nbl_status status = nbl_open(&config, &engine, error);
  if (status == 0) status = nbl_evaluate(engine, prompt, prompt_count, error);
  if (status == 0) status = nbl_generate(engine, 32, tokens, &count, error);
  nbl_close(engine);
  return status == 0 ? (int)count : -(int)(status & 0xff);
}
