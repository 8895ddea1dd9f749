#include "rt/record/pipelines.h"

#include <cstring>

#include "rt/kernels/variants.h"
#include "rt/vk/matrix.h"
#include "rt/vk/result.h"

namespace nbl {
namespace {

constexpr uint32_t kPushBytes = kMaxPushWords * 4;

uint32_t images_of(const Dispatch& dispatch) {
  return kVariants[dispatch.call.variant].images;
}

VkDescriptorType descriptor_type(uint32_t images, uint32_t binding) {
  return (images >> binding & 1u) != 0 ? VK_DESCRIPTOR_TYPE_SAMPLED_IMAGE
                                       : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
}

bool same(const Pipeline& p, const KernelCall& call) {
  return p.variant == call.variant && p.spec_count == call.spec_count &&
         memcmp(p.spec, call.spec, sizeof p.spec[0] * call.spec_count) == 0;
}

// The header of VkPipelineCacheHeaderVersionOne: a blob of another device or driver is left out, as
// some drivers do not check it well.
struct CacheHeader {
  uint32_t header_bytes;
  uint32_t version;
  uint32_t vendor_id;
  uint32_t device_id;
  uint8_t uuid[VK_UUID_SIZE];
};
static_assert(sizeof(CacheHeader) == 32);

bool belongs(const Device& device, std::span<const std::byte> blob) {
  CacheHeader header{};
  if (blob.size() < sizeof header) return false;
  memcpy(&header, blob.data(), sizeof header);
  return header.header_bytes == sizeof header &&
         header.version == VK_PIPELINE_CACHE_HEADER_VERSION_ONE &&
         header.vendor_id == device.caps.vendor_id && header.device_id == device.caps.device_id &&
         memcmp(header.uuid, device.cache_uuid, VK_UUID_SIZE) == 0;
}

Status open_cache(const Device& device, const CacheHooks& hooks, std::span<std::byte> blob,
                  Recording* out, Error* error) {
  size_t bytes = 0;
  if (hooks.load != nullptr && !blob.empty()) {
    bytes = hooks.load(hooks.user, blob.data(), blob.size());
    if (bytes > blob.size() || !belongs(device, blob.first(bytes))) bytes = 0;
  }
  VkPipelineCacheCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO;
  info.initialDataSize = bytes;
  info.pInitialData = bytes == 0 ? nullptr : blob.data();
  NBL_VK(device, error, CreatePipelineCache, device.device, &info, &device.host, &out->cache);
  return {};
}

// A cache that does not fit the blob is not stored: half of one is of no use.
void store_cache(const Device& device, const CacheHooks& hooks, std::span<std::byte> blob,
                 const Recording& recording) {
  if (hooks.store == nullptr || blob.empty()) return;
  size_t bytes = 0;
  if (device.fn.GetPipelineCacheData(device.device, recording.cache, &bytes, nullptr) !=
          VK_SUCCESS ||
      bytes == 0 || bytes > blob.size()) {
    return;
  }
  if (device.fn.GetPipelineCacheData(device.device, recording.cache, &bytes, blob.data()) ==
      VK_SUCCESS) {
    hooks.store(hooks.user, blob.data(), bytes);
  }
}

Status make_pipeline(const Device& device, const KernelCall& call, VkPipelineLayout layout,
                     Recording* out, Error* error) {
  const Variant& variant = kVariants[call.variant];
  VkShaderModuleCreateInfo module_info{};
  module_info.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
  module_info.codeSize = variant.word_bytes;
  module_info.pCode = kVariantWords[call.variant];
  VkShaderModule module = VK_NULL_HANDLE;
  NBL_VK(device, error, CreateShaderModule, device.device, &module_info, &device.host, &module);

  VkSpecializationMapEntry entries[kMaxSpecConstants] = {};
  for (uint32_t i = 0; i < call.spec_count; ++i)
    entries[i] = {i, i * 4, 4};
  const VkSpecializationInfo spec{call.spec_count, entries, call.spec_count * sizeof(uint32_t),
                                  call.spec};
  VkComputePipelineCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
  info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  info.stage.module = module;
  info.stage.pName = "main";
  info.stage.pSpecializationInfo = &spec;
  VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup;
  if ((variant.needs & kCooperativeMatrix) != 0) {
    pin_subgroup_size(device.caps, &subgroup, &info.stage);
  }
  info.layout = layout;
  Pipeline& pipeline = out->pipelines[out->pipeline_count];
  pipeline = {call.variant, call.spec_count, {}, VK_NULL_HANDLE};
  memcpy(pipeline.spec, call.spec, sizeof pipeline.spec);
  const VkResult result = device.fn.CreateComputePipelines(device.device, out->cache, 1, &info,
                                                           &device.host, &pipeline.pipeline);
  device.fn.DestroyShaderModule(device.device, module, &device.host);
  if (result != VK_SUCCESS || pipeline.pipeline == VK_NULL_HANDLE) {
    pipeline.pipeline = VK_NULL_HANDLE;
    if (result == VK_SUCCESS) return fail(error, Code::vulkan_call, 0, "vkCreateComputePipelines");
    return check(device, result, "vkCreateComputePipelines", error);
  }
  ++out->pipeline_count;
  return {};
}

Status make_pipelines_of(const Phase& phase, const Device& device, Recording* out, Error* error) {
  for (const Dispatch& dispatch : phase.dispatches) {
    if (find_pipeline(*out, dispatch.call) != VK_NULL_HANDLE) continue;
    const VkPipelineLayout layout = find_layout(*out, dispatch)->pipeline;
    NBL_TRY(make_pipeline(device, dispatch.call, layout, out, error));
  }
  return {};
}

Status make_layout(const Device& device, BindingLayout* out, Error* error) {
  VkDescriptorSetLayoutBinding bindings[kMaxBindings] = {};
  for (uint32_t i = 0; i < out->bindings; ++i) {
    bindings[i] = {i, descriptor_type(out->images, i), 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr};
  }
  VkDescriptorSetLayoutCreateInfo set{};
  set.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO;
  set.bindingCount = out->bindings;
  set.pBindings = bindings;
  NBL_VK(device, error, CreateDescriptorSetLayout, device.device, &set, &device.host, &out->set);
  const VkPushConstantRange push{VK_SHADER_STAGE_COMPUTE_BIT, 0, kPushBytes};
  VkPipelineLayoutCreateInfo layout{};
  layout.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
  layout.setLayoutCount = 1;
  layout.pSetLayouts = &out->set;
  layout.pushConstantRangeCount = 1;
  layout.pPushConstantRanges = &push;
  NBL_VK(device, error, CreatePipelineLayout, device.device, &layout, &device.host, &out->pipeline);
  return {};
}

void write_set(const Device& device, const Dispatch& dispatch, const Recording& recording,
               VkDescriptorSet set) {
  const uint32_t images = images_of(dispatch);
  VkDescriptorBufferInfo buffers[kMaxBindings];
  VkDescriptorImageInfo textures[kMaxBindings];
  for (uint32_t i = 0; i < dispatch.binding_count; ++i) {
    const Binding& b = dispatch.bindings[i];
    const DeviceBlock& block = recording.blocks[b.block];
    buffers[i] = {block.buffer, b.offset, b.bytes};
    textures[i] = {VK_NULL_HANDLE, block.view, VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL};
  }
  // A write covers neighbouring bindings of one type.
  for (uint32_t first = 0, end = 0; first < dispatch.binding_count; first = end) {
    const VkDescriptorType type = descriptor_type(images, first);
    while (end < dispatch.binding_count && descriptor_type(images, end) == type)
      ++end;
    VkWriteDescriptorSet write{};
    write.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
    write.dstSet = set;
    write.dstBinding = first;
    write.descriptorCount = end - first;
    write.descriptorType = type;
    write.pBufferInfo = &buffers[first];
    write.pImageInfo = &textures[first];
    device.fn.UpdateDescriptorSets(device.device, 1, &write, 0, nullptr);
  }
}

Status make_sets_of(const Phase& phase, const Device& device, uint32_t first, Recording* out,
                    Error* error) {
  for (uint32_t i = 0; i < phase.dispatches.size(); ++i) {
    const Dispatch& dispatch = phase.dispatches[i];
    VkDescriptorSetAllocateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO;
    info.descriptorPool = out->descriptor_pool;
    info.descriptorSetCount = 1;
    info.pSetLayouts = &find_layout(*out, dispatch)->set;
    NBL_VK(device, error, AllocateDescriptorSets, device.device, &info, &out->sets[first + i]);
    write_set(device, dispatch, *out, out->sets[first + i]);
  }
  return {};
}

}  // namespace

const BindingLayout* find_layout(const Recording& recording, const Dispatch& dispatch) {
  for (uint32_t i = 0; i < recording.layout_count; ++i) {
    const BindingLayout& layout = recording.layouts[i];
    if (layout.bindings == dispatch.binding_count && layout.images == images_of(dispatch)) {
      return &layout;
    }
  }
  return nullptr;
}

VkPipeline find_pipeline(const Recording& recording, const KernelCall& call) {
  for (uint32_t i = 0; i < recording.pipeline_count; ++i) {
    if (same(recording.pipelines[i], call)) return recording.pipelines[i].pipeline;
  }
  return VK_NULL_HANDLE;
}

Status make_layouts(const Plan& plan, const Device& device, Recording* out, Error* error) {
  for (const Phase* phase : {&plan.decode, &plan.prefill, &plan.window, &plan.slide}) {
    for (const Dispatch& dispatch : phase->dispatches) {
      if (find_layout(*out, dispatch) != nullptr) continue;
      NBL_ASSERT(out->layout_count < kMaxLayouts);
      BindingLayout& layout = out->layouts[out->layout_count++];
      layout = {dispatch.binding_count, static_cast<uint8_t>(images_of(dispatch)), VK_NULL_HANDLE,
                VK_NULL_HANDLE};
      NBL_TRY(make_layout(device, &layout, error));
    }
  }
  return {};
}

Status make_pipelines(const Plan& plan, const Device& device, const CacheHooks& hooks,
                      std::span<std::byte> cache_blob, Recording* out, Error* error) {
  NBL_TRY(open_cache(device, hooks, cache_blob, out, error));
  for (const Phase* phase : {&plan.decode, &plan.prefill, &plan.window, &plan.slide})
    NBL_TRY(make_pipelines_of(*phase, device, out, error));
  store_cache(device, hooks, cache_blob, *out);
  return {};
}

Status make_sets(const Plan& plan, const Device& device, Recording* out, Error* error) {
  uint32_t buffers = 0;
  uint32_t images = 0;
  for (const Phase* phase : {&plan.decode, &plan.prefill, &plan.window, &plan.slide}) {
    for (const Dispatch& dispatch : phase->dispatches) {
      const uint32_t textures = static_cast<uint32_t>(__builtin_popcount(images_of(dispatch)));
      images += textures;
      buffers += dispatch.binding_count - textures;
    }
  }
  const VkDescriptorPoolSize sizes[] = {{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, buffers},
                                        {VK_DESCRIPTOR_TYPE_SAMPLED_IMAGE, images}};
  VkDescriptorPoolCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO;
  info.maxSets = static_cast<uint32_t>(out->sets.size());
  info.poolSizeCount = images == 0 ? 1 : 2;
  info.pPoolSizes = sizes;
  NBL_VK(device, error, CreateDescriptorPool, device.device, &info, &device.host,
         &out->descriptor_pool);
  uint32_t first = 0;
  for (const Phase* phase : {&plan.decode, &plan.prefill, &plan.window, &plan.slide}) {
    NBL_TRY(make_sets_of(*phase, device, first, out, error));
    first += static_cast<uint32_t>(phase->dispatches.size());
  }
  return {};
}

}  // namespace nbl
