// From names to functions. Every call passes through here once, which is where calls are counted
// and made to fail.
#include <array>
#include <cstring>
#include <stdexcept>

#include "boards/fake/driver.h"
#include "boards/fake/functions.h"

namespace nbl::fake {
namespace {

// What vkGetInstanceProcAddr(NULL, ...) knows the driver by; all else knows it by its objects.
std::array<Driver*, FakeVulkan::kMost> drivers{};

// True where the call is to fail instead.
bool fails(Driver& driver, const char* name) {
  driver.calls.push_back(name);
  if (!driver.call_fault.strikes()) return false;
  driver.failed = name;
  return true;
}

template <auto function>
struct Name;
#define NBL_NAME(name)                               \
  template <>                                        \
  struct Name<&name> {                               \
    static constexpr const char* kText = "vk" #name; \
  };
#define NBL_VK_LOADER(name)
#define NBL_VK_INSTANCE(name) NBL_NAME(name)
#define NBL_VK_DEVICE(name) NBL_NAME(name)
#define NBL_VK_OPTIONAL(name) NBL_NAME(name)
#include "rt/vk/functions.def"
#undef NBL_VK_LOADER
#undef NBL_VK_INSTANCE
#undef NBL_VK_DEVICE
#undef NBL_VK_OPTIONAL
#undef NBL_NAME

template <auto function, typename Type = decltype(function)>
struct Gate;
template <auto function, typename Result, typename First, typename... Rest>
struct Gate<function, Result(VKAPI_PTR*)(First, Rest...)> {
  static VKAPI_ATTR Result VKAPI_CALL call(First first, Rest... rest) {
    if constexpr (std::is_same_v<Result, VkResult>) {
      Driver& driver = driver_of(first);
      if (fails(driver, Name<function>::kText)) return driver.result_of_fault;
    }
    return function(first, rest...);
  }
};

template <typename Function>
PFN_vkVoidFunction address(Function* function) {
  return reinterpret_cast<PFN_vkVoidFunction>(function);
}

struct Entry {
  const char* name;
  PFN_vkVoidFunction function;
};

const Entry* find_entry(const char* name) {
  static const Entry table[] = {
#define NBL_ENTRY(name) {"vk" #name, address(&Gate<&name>::call)},
#define NBL_VK_LOADER(name)
#define NBL_VK_INSTANCE(name) NBL_ENTRY(name)
#define NBL_VK_DEVICE(name) NBL_ENTRY(name)
#define NBL_VK_OPTIONAL(name) NBL_ENTRY(name)
#include "rt/vk/functions.def"
#undef NBL_VK_LOADER
#undef NBL_VK_INSTANCE
#undef NBL_VK_DEVICE
#undef NBL_VK_OPTIONAL
#undef NBL_ENTRY
  };
  for (const Entry& entry : table) {
    if (std::strcmp(entry.name, name) == 0) return &entry;
  }
  return nullptr;
}

PFN_vkVoidFunction find(const Driver& driver, const char* name) {
  const Entry* const entry = find_entry(name);
  return entry == nullptr || driver.hidden == name ? nullptr : entry->function;
}

template <size_t slot>
struct Loader {
  static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo* info,
                                                        const VkAllocationCallbacks* callbacks,
                                                        VkInstance* instance) {
    Driver& driver = *drivers[slot];
    if (fails(driver, "vkCreateInstance")) return driver.result_of_fault;
    if (info->sType != VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO) {
      driver.complain("vkCreateInstance", "the structure has another type");
    }
    auto* const made =
        driver.make<Instance>(nullptr, callbacks, 256, VK_SYSTEM_ALLOCATION_SCOPE_INSTANCE);
    if (made == nullptr) return VK_ERROR_OUT_OF_HOST_MEMORY;
    auto device = std::make_unique<PhysicalDevice>();
    device->kind = Kind::physical_device;
    device->driver = &driver;
    device->parent = made;
    driver.objects.push_back(std::move(device));
    *instance = handle_of<VkInstance>(made);
    return VK_SUCCESS;
  }

  static VKAPI_ATTR VkResult VKAPI_CALL version(uint32_t* version) {
    Driver& driver = *drivers[slot];
    if (fails(driver, "vkEnumerateInstanceVersion")) return driver.result_of_fault;
    *version = driver.caps.api_version;
    return VK_SUCCESS;
  }

  static VKAPI_ATTR VkResult VKAPI_CALL extensions(const char*, uint32_t* count,
                                                   VkExtensionProperties*) {
    Driver& driver = *drivers[slot];
    if (fails(driver, "vkEnumerateInstanceExtensionProperties")) return driver.result_of_fault;
    *count = 0;
    return VK_SUCCESS;
  }

  static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get(VkInstance instance, const char* name) {
    if (drivers[slot] == nullptr || drivers[slot]->hidden == name) return nullptr;
    const std::string_view wanted(name);
    if (wanted == "vkCreateInstance") return address(&create_instance);
    if (wanted == "vkEnumerateInstanceVersion") return address(&version);
    if (wanted == "vkEnumerateInstanceExtensionProperties") return address(&extensions);
    if (wanted == "vkGetInstanceProcAddr") return address(&get);
    if (instance == VK_NULL_HANDLE) return nullptr;
    return find(driver_of(instance), name);
  }
};

constexpr PFN_vkGetInstanceProcAddr kEntries[FakeVulkan::kMost] = {
    &Loader<0>::get, &Loader<1>::get, &Loader<2>::get, &Loader<3>::get};

}  // namespace

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL GetDeviceProcAddr(VkDevice device, const char* name) {
  Driver& driver = driver_of(device);
  const auto* const object = driver.use<Device>("vkGetDeviceProcAddr", device);
  if (object == nullptr) return nullptr;
  if (std::strcmp(name, "vkGetMemoryHostPointerPropertiesEXT") == 0) {
    bool enabled = false;
    for (const std::string& extension : object->extensions)
      enabled |= extension == VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME;
    if (!enabled) return nullptr;
  }
  return find(driver, name);
}

FakeVulkan::FakeVulkan(const Caps& caps) : driver_(std::make_unique<Driver>()) {
  slot_ = 0;
  while (slot_ < kMost && drivers[slot_] != nullptr)
    ++slot_;
  if (slot_ == kMost) throw std::runtime_error("as many fakes live as there are entry points");
  driver_->caps = caps;
  driver_->slot = slot_;
  drivers[slot_] = driver_.get();
}

FakeVulkan::~FakeVulkan() {
  drivers[slot_] = nullptr;
}

nbl_get_instance_proc_addr FakeVulkan::entry() const {
  return reinterpret_cast<nbl_get_instance_proc_addr>(kEntries[slot_]);
}

}  // namespace nbl::fake
