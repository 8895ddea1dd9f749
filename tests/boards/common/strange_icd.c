/* A Vulkan driver that says about itself what the environment says: NIBBLE_ICD_VERSION is the
 * interface version it settles on, NIBBLE_ICD_RESULT the VkResult of settling. It has no function
 * behind its entry point. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef void (*any_function)(void);
any_function vk_icdGetInstanceProcAddr(void* instance, const char* name);
int32_t vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t* version);

any_function vk_icdGetInstanceProcAddr(void* instance, const char* name) {
  (void)instance;
  (void)name;
  return NULL;
}

static int number(const char* name) {
  const char* const text = getenv(name);
  return text == NULL ? 0 : atoi(text);
}

int32_t vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t* version) {
  *version = (uint32_t)number("NIBBLE_ICD_VERSION");
  return number("NIBBLE_ICD_RESULT");
}
