#include "rt/vk/functions.h"

#include <cstddef>
#include <cstring>

namespace nbl {
namespace {

struct Entry {
  const char* name;  // with its vk prefix
  uint32_t offset;   // in Functions
  bool optional;
};

// Every Vulkan entry point has the size and the calling convention of PFN_vkVoidFunction.
#define NBL_ENTRY(name, optional) \
  {"vk" #name, static_cast<uint32_t>(offsetof(Functions, name)), optional},

constexpr Entry kLoader[] = {
#define NBL_VK_LOADER(name) NBL_ENTRY(name, false)
#define NBL_VK_INSTANCE(name)
#define NBL_VK_DEVICE(name)
#define NBL_VK_OPTIONAL(name)
#define NBL_VK_INSTANCE_OPTIONAL(name)
#include "rt/vk/functions.def"
#undef NBL_VK_LOADER
#undef NBL_VK_INSTANCE
#undef NBL_VK_DEVICE
#undef NBL_VK_OPTIONAL
};

constexpr Entry kInstance[] = {
#define NBL_VK_LOADER(name)
#define NBL_VK_INSTANCE(name) NBL_ENTRY(name, false)
#define NBL_VK_DEVICE(name)
#define NBL_VK_OPTIONAL(name)
#define NBL_VK_INSTANCE_OPTIONAL(name) NBL_ENTRY(name, true)
#include "rt/vk/functions.def"
#undef NBL_VK_LOADER
#undef NBL_VK_INSTANCE
#undef NBL_VK_DEVICE
#undef NBL_VK_OPTIONAL
};

constexpr Entry kDevice[] = {
#define NBL_VK_LOADER(name)
#define NBL_VK_INSTANCE(name)
#define NBL_VK_DEVICE(name) NBL_ENTRY(name, false)
#define NBL_VK_OPTIONAL(name) NBL_ENTRY(name, true)
#define NBL_VK_INSTANCE_OPTIONAL(name)
#include "rt/vk/functions.def"
#undef NBL_VK_LOADER
#undef NBL_VK_INSTANCE
#undef NBL_VK_DEVICE
#undef NBL_VK_OPTIONAL
};

#undef NBL_ENTRY

static_assert(sizeof(Functions) % sizeof(PFN_vkVoidFunction) == 0);

template <size_t count, typename Find>
Status load(const Entry (&entries)[count], Find find, Functions* functions, Error* error) {
  for (uint32_t i = 0; i < count; ++i) {
    const PFN_vkVoidFunction function = find(entries[i].name);
    if (function == nullptr && !entries[i].optional) {
      return fail(error, Code::no_vulkan, i, entries[i].name);
    }
    memcpy(reinterpret_cast<char*>(functions) + entries[i].offset, &function, sizeof function);
  }
  return {};
}

}  // namespace

Status load_loader(PFN_vkGetInstanceProcAddr get, Functions* functions, Error* error) {
  if (get == nullptr) {
    return fail(error, Code::missing_argument, 0, "get_instance_proc_addr");
  }
  *functions = {};
  functions->GetInstanceProcAddr = get;
  return load(
      kLoader, [get](const char* name) { return get(nullptr, name); }, functions, error);
}

Status load_instance(VkInstance instance, Functions* functions, Error* error) {
  const auto find = [instance, functions](const char* name) {
    return functions->GetInstanceProcAddr(instance, name);
  };
  return load(kInstance, find, functions, error);
}

Status load_device(VkDevice device, Functions* functions, Error* error) {
  const auto find = [device, functions](const char* name) {
    return functions->GetDeviceProcAddr(device, name);
  };
  return load(kDevice, find, functions, error);
}

}  // namespace nbl
