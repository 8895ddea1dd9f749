#include "rt/vk/functions.h"

#include <cstring>

namespace nbl {
namespace {

// Every entry point in the order of its pointer in Functions: the group that it is found with, in
// capitals where it may be missing, its name, a zero. Without a table of pointers beside the names,
// which would be as large as they are.
constexpr char kEntries[] =
#define NBL_VK_LOADER(name) "lvk" #name "\0"
#define NBL_VK_INSTANCE(name) "ivk" #name "\0"
#define NBL_VK_DEVICE(name) "dvk" #name "\0"
#define NBL_VK_OPTIONAL(name) "Dvk" #name "\0"
#define NBL_VK_INSTANCE_OPTIONAL(name) "Ivk" #name "\0"
#include "rt/vk/functions.def"
#undef NBL_VK_LOADER
#undef NBL_VK_INSTANCE
#undef NBL_VK_DEVICE
#undef NBL_VK_OPTIONAL
    ;
constexpr char kCapital = 'a' ^ 'A';

constexpr size_t entry_count() {
  size_t zeros = 0;
  for (const char c : kEntries)
    zeros += c == 0 ? 1 : 0;
  return zeros - 1;  // the last one ends the array
}
// Every Vulkan entry point has the size and the calling convention of PFN_vkVoidFunction.
static_assert(sizeof(Functions) == (1 + entry_count()) * sizeof(PFN_vkVoidFunction));

template <typename Find>
Status load(char group, Find find, Functions* functions, Error* error) {
  char* to = reinterpret_cast<char*>(functions) + sizeof functions->GetInstanceProcAddr;
  for (const char* entry = kEntries; *entry != 0; entry += strlen(entry) + 1) {
    if ((*entry | kCapital) == group) {
      const PFN_vkVoidFunction function = find(entry + 1);
      if (function == nullptr && *entry == group) {
        return fail(error, Code::no_vulkan, 0, entry + 1);
      }
      memcpy(to, &function, sizeof function);
    }
    to += sizeof(PFN_vkVoidFunction);
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
      'l', [get](const char* name) { return get(nullptr, name); }, functions, error);
}

Status load_instance(VkInstance instance, Functions* functions, Error* error) {
  const auto find = [instance, functions](const char* name) {
    return functions->GetInstanceProcAddr(instance, name);
  };
  return load('i', find, functions, error);
}

Status load_device(VkDevice device, Functions* functions, Error* error) {
  const auto find = [device, functions](const char* name) {
    return functions->GetDeviceProcAddr(device, name);
  };
  return load('d', find, functions, error);
}

}  // namespace nbl
