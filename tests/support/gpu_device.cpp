#include "tests/support/gpu_device.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "rt/kernels/variants.h"
#include "rt/vk/caps.h"
#include "rt/vk/matrix.h"

namespace nbl::test {
namespace {

void check(Status status, const Error& error) {
  if (status.ok()) return;
  char text[256];
  describe(error, text, sizeof text);
  throw std::runtime_error(text);
}

VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT,
                                          VkDebugUtilsMessageTypeFlagsEXT,
                                          const VkDebugUtilsMessengerCallbackDataEXT* data,
                                          void* user) {
  static_cast<std::vector<std::string>*>(user)->push_back(data->pMessage);
  return VK_FALSE;
}

}  // namespace

Device::Device() {
  create_instance();
  choose_device();
  create_device();
}

Device::~Device() {
  for (auto& [key, pipeline] : pipelines_) {
    vk.DestroyPipeline(device, pipeline.pipeline, nullptr);
    vk.DestroyPipelineLayout(device, pipeline.layout, nullptr);
    vk.DestroyDescriptorSetLayout(device, pipeline.set_layout, nullptr);
  }
  if (device) vk.DestroyDevice(device, nullptr);
  if (messenger_) {
    const auto destroy = reinterpret_cast<PFN_vkDestroyDebugUtilsMessengerEXT>(
        vk.GetInstanceProcAddr(instance_, "vkDestroyDebugUtilsMessengerEXT"));
    destroy(instance_, messenger_, nullptr);
  }
  if (instance_) vk.DestroyInstance(instance_, nullptr);
}

void Device::create_instance() {
  void* const library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error("there is no libvulkan.so.1");
  const char* const validation = std::getenv("NIBBLE_VALIDATION");
  validation_ = validation != nullptr;
  gpu_assisted = validation_ && std::string_view(validation) == "gpu";
  Error error;
  const auto get =
      reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(library, "vkGetInstanceProcAddr"));
  check(load_loader(get, &vk, &error), error);
  auto app = chained<VkApplicationInfo>(VK_STRUCTURE_TYPE_APPLICATION_INFO);
  app.apiVersion = VK_API_VERSION_1_3;
  auto info = chained<VkInstanceCreateInfo>(VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO);
  info.pApplicationInfo = &app;
  const char* layer = "VK_LAYER_KHRONOS_validation";
  const char* extension = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
  auto report = chained<VkDebugUtilsMessengerCreateInfoEXT>(
      VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT);
  report.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                           VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
  report.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
  report.pfnUserCallback = on_message;
  report.pUserData = &messages;
  const VkValidationFeatureEnableEXT checks =
      gpu_assisted ? VK_VALIDATION_FEATURE_ENABLE_GPU_ASSISTED_EXT
                   : VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
  auto features =
      chained<VkValidationFeaturesEXT>(VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT, &report);
  features.enabledValidationFeatureCount = 1;
  features.pEnabledValidationFeatures = &checks;
  if (validation_) {
    info.pNext = &features;
    info.enabledLayerCount = info.enabledExtensionCount = 1;
    info.ppEnabledLayerNames = &layer;
    info.ppEnabledExtensionNames = &extension;
  }
  check(vk.CreateInstance(&info, nullptr, &instance_), "vkCreateInstance");
  check(load_instance(instance_, &vk, &error), error);
  if (validation_) {
    const auto create = reinterpret_cast<PFN_vkCreateDebugUtilsMessengerEXT>(
        vk.GetInstanceProcAddr(instance_, "vkCreateDebugUtilsMessengerEXT"));
    check(create(instance_, &report, nullptr, &messenger_), "vkCreateDebugUtilsMessengerEXT");
  }
}

void Device::choose_device() {
  uint32_t count = 0;
  check(vk.EnumeratePhysicalDevices(instance_, &count, nullptr), "vkEnumeratePhysicalDevices");
  std::vector<VkPhysicalDevice> all(count);
  check(vk.EnumeratePhysicalDevices(instance_, &count, all.data()), "vkEnumeratePhysicalDevices");
  const char* text = std::getenv("NIBBLE_TEST_DEVICE");
  const size_t index = text != nullptr ? std::strtoul(text, nullptr, 10) : 0;
  if (index >= all.size()) throw std::runtime_error("there is no such Vulkan device");
  physical_ = all[index];
  std::vector<VkExtensionProperties> scratch(kExtensionScratch);
  Error error;
  check(fill_caps(vk, physical_, scratch, &caps, &error), error);
  check(compute_queue_family(vk, physical_, &family, &error), error);
  std::printf("device: %s, driver version %#x\n", caps.name, caps.driver_version);
  // Below these versions the features are extensions, which this harness does not enable.
  if (caps.api_version < VK_API_VERSION_1_3) caps.features &= ~uint32_t{kIntegerDot};
  if (caps.api_version < VK_API_VERSION_1_2) {
    caps.features &= ~uint32_t{kStorage8 | kFloat16 | kCooperativeMatrix};
  }
}

void Device::create_device() {
  auto dot = chained<VkPhysicalDeviceShaderIntegerDotProductFeatures>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES);
  // Where it is only emulated, too: the kernels must be right there as well.
  if (caps.api_version >= VK_API_VERSION_1_3) {
    auto features =
        chained<VkPhysicalDeviceFeatures2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, &dot);
    vk.GetPhysicalDeviceFeatures2(physical_, &features);
    integer_dot = dot.shaderIntegerDotProduct != VK_FALSE;
  }
  auto storage8 = chained<VkPhysicalDevice8BitStorageFeatures>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES);
  storage8.storageBuffer8BitAccess = VK_TRUE;
  auto float16 = chained<VkPhysicalDeviceShaderFloat16Int8Features>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES);
  float16.shaderFloat16 = VK_TRUE;
  auto storage16 = chained<VkPhysicalDevice16BitStorageFeatures>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES);
  storage16.storageBuffer16BitAccess = VK_TRUE;
  MatrixFeatures matrices;
  const char* extensions[kMostMatrixExtensions] = {};
  const float priority = 1;
  auto queues = chained<VkDeviceQueueCreateInfo>(VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO);
  queues.queueFamilyIndex = family;
  queues.queueCount = 1;
  queues.pQueuePriorities = &priority;
  auto info = chained<VkDeviceCreateInfo>(VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO);
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queues;
  const auto chain = [&](bool wanted, auto* link) {
    if (!wanted) return;
    link->pNext = const_cast<void*>(info.pNext);
    info.pNext = link;
  };
  const auto enable = [&](uint32_t feature, auto* link) {
    chain((caps.features & feature) != 0, link);
  };
  chain(integer_dot, &dot);
  enable(kStorage8, &storage8);
  add_matrices(caps, &matrices, extensions, &info);  // with float16
  if ((caps.features & kCooperativeMatrix) == 0) enable(kFloat16, &float16);
  enable(kStorage16, &storage16);
  info.ppEnabledExtensionNames = extensions;
  check(vk.CreateDevice(physical_, &info, nullptr, &device), "vkCreateDevice");
  Error error;
  check(load_device(device, &vk, &error), error);
  vk.GetDeviceQueue(device, family, 0, &queue);
}

const Pipeline& Device::pipeline_for(const KernelCall& call) {
  std::vector<uint32_t> key{call.variant};
  key.insert(key.end(), call.spec, call.spec + call.spec_count);
  const auto found = pipelines_.find(key);
  if (found != pipelines_.end()) return found->second;
  return pipelines_[key] = create_pipeline(call);
}

Pipeline Device::create_pipeline(const KernelCall& call) {
  const Variant& variant = kVariants[call.variant];
  Pipeline out{};
  std::vector<VkDescriptorSetLayoutBinding> bindings;
  for (uint32_t i = 0; i < variant.bindings; ++i) {
    const VkDescriptorType type = (variant.images >> i & 1u) != 0
                                      ? VK_DESCRIPTOR_TYPE_SAMPLED_IMAGE
                                      : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    bindings.push_back({i, type, 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr});
  }
  auto set =
      chained<VkDescriptorSetLayoutCreateInfo>(VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO);
  set.bindingCount = variant.bindings;
  set.pBindings = bindings.data();
  check(vk.CreateDescriptorSetLayout(device, &set, nullptr, &out.set_layout), "set layout");
  const VkPushConstantRange range{VK_SHADER_STAGE_COMPUTE_BIT, 0, variant.push_bytes};
  auto layout = chained<VkPipelineLayoutCreateInfo>(VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO);
  layout.setLayoutCount = 1;
  layout.pSetLayouts = &out.set_layout;
  layout.pushConstantRangeCount = variant.push_bytes == 0 ? 0 : 1;
  layout.pPushConstantRanges = &range;
  check(vk.CreatePipelineLayout(device, &layout, nullptr, &out.layout), "pipeline layout");
  auto module = chained<VkShaderModuleCreateInfo>(VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO);
  const auto found = stand_ins.find(call.variant);
  const bool other = found != stand_ins.end();
  module.codeSize = other ? found->second.size_bytes() : variant.word_bytes;
  module.pCode = other ? found->second.data() : kVariantWords[call.variant];
  VkShaderModule shader = nullptr;
  check(vk.CreateShaderModule(device, &module, nullptr, &shader), "vkCreateShaderModule");
  std::vector<VkSpecializationMapEntry> entries;
  for (uint32_t i = 0; i < call.spec_count; ++i)
    entries.push_back({i, 4 * i, 4});
  const VkSpecializationInfo spec{call.spec_count, entries.data(), 4u * call.spec_count, call.spec};
  auto info = chained<VkComputePipelineCreateInfo>(VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO);
  info.stage =
      chained<VkPipelineShaderStageCreateInfo>(VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO);
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  info.stage.module = shader;
  info.stage.pName = "main";
  info.stage.pSpecializationInfo = &spec;
  VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup;
  if ((variant.needs & kCooperativeMatrix) != 0 && !other) {
    pin_subgroup_size(caps, &subgroup, &info.stage);
  }
  info.layout = out.layout;
  const VkResult made =
      vk.CreateComputePipelines(device, nullptr, 1, &info, nullptr, &out.pipeline);
  vk.DestroyShaderModule(device, shader, nullptr);
  check(made, "vkCreateComputePipelines");
  return out;
}

}  // namespace nbl::test
