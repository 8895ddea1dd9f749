#include "rt/record/pipelines.h"

#include <cstring>

#include "rt/kernels/variants.h"
#include "rt/vk/result.h"

namespace nbl {
namespace {

constexpr uint32_t kPushBytes = kMaxPushWords * 4;

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

Status make_pipeline(const Device& device, const KernelCall& call, uint32_t bindings,
                     Recording* out, Error* error) {
  const Variant& variant = kVariants[call.variant];
  VkShaderModuleCreateInfo module_info{};
  module_info.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
  module_info.codeSize = variant.word_bytes;
  module_info.pCode = variant.words;
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
  info.layout = out->layouts[bindings];
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
    NBL_TRY(make_pipeline(device, dispatch.call, dispatch.binding_count, out, error));
  }
  return {};
}

void write_set(const Device& device, const Dispatch& dispatch, const Recording& recording,
               VkDescriptorSet set) {
  VkDescriptorBufferInfo buffers[kMaxBindings];
  for (uint32_t i = 0; i < dispatch.binding_count; ++i) {
    const Binding& b = dispatch.bindings[i];
    buffers[i] = {recording.blocks[b.block].buffer, b.offset, b.bytes};
  }
  VkWriteDescriptorSet write{};
  write.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
  write.dstSet = set;
  write.descriptorCount = dispatch.binding_count;
  write.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
  write.pBufferInfo = buffers;
  device.fn.UpdateDescriptorSets(device.device, 1, &write, 0, nullptr);
}

Status make_sets_of(const Phase& phase, const Device& device, uint32_t first, Recording* out,
                    Error* error) {
  for (uint32_t i = 0; i < phase.dispatches.size(); ++i) {
    const Dispatch& dispatch = phase.dispatches[i];
    VkDescriptorSetAllocateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO;
    info.descriptorPool = out->descriptor_pool;
    info.descriptorSetCount = 1;
    info.pSetLayouts = &out->set_layouts[dispatch.binding_count];
    NBL_VK(device, error, AllocateDescriptorSets, device.device, &info, &out->sets[first + i]);
    write_set(device, dispatch, *out, out->sets[first + i]);
  }
  return {};
}

}  // namespace

VkPipeline find_pipeline(const Recording& recording, const KernelCall& call) {
  for (uint32_t i = 0; i < recording.pipeline_count; ++i) {
    if (same(recording.pipelines[i], call)) return recording.pipelines[i].pipeline;
  }
  return VK_NULL_HANDLE;
}

Status make_layouts(const Plan& plan, const Device& device, Recording* out, Error* error) {
  bool used[kMaxBindings + 1] = {};
  for (const Dispatch& d : plan.decode.dispatches)
    used[d.binding_count] = true;
  for (const Dispatch& d : plan.prefill.dispatches)
    used[d.binding_count] = true;
  VkDescriptorSetLayoutBinding bindings[kMaxBindings] = {};
  for (uint32_t i = 0; i < kMaxBindings; ++i) {
    bindings[i] = {i, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr};
  }
  const VkPushConstantRange push{VK_SHADER_STAGE_COMPUTE_BIT, 0, kPushBytes};
  for (uint32_t count = 1; count <= kMaxBindings; ++count) {
    if (!used[count]) continue;
    VkDescriptorSetLayoutCreateInfo set{};
    set.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO;
    set.bindingCount = count;
    set.pBindings = bindings;
    NBL_VK(device, error, CreateDescriptorSetLayout, device.device, &set, &device.host,
           &out->set_layouts[count]);
    VkPipelineLayoutCreateInfo layout{};
    layout.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
    layout.setLayoutCount = 1;
    layout.pSetLayouts = &out->set_layouts[count];
    layout.pushConstantRangeCount = 1;
    layout.pPushConstantRanges = &push;
    NBL_VK(device, error, CreatePipelineLayout, device.device, &layout, &device.host,
           &out->layouts[count]);
  }
  return {};
}

Status make_pipelines(const Plan& plan, const Device& device, const CacheHooks& hooks,
                      std::span<std::byte> cache_blob, Recording* out, Error* error) {
  NBL_TRY(open_cache(device, hooks, cache_blob, out, error));
  NBL_TRY(make_pipelines_of(plan.decode, device, out, error));
  NBL_TRY(make_pipelines_of(plan.prefill, device, out, error));
  store_cache(device, hooks, cache_blob, *out);
  return {};
}

Status make_sets(const Plan& plan, const Device& device, Recording* out, Error* error) {
  uint32_t descriptors = 0;
  for (const Dispatch& d : plan.decode.dispatches)
    descriptors += d.binding_count;
  for (const Dispatch& d : plan.prefill.dispatches)
    descriptors += d.binding_count;
  const VkDescriptorPoolSize size{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, descriptors};
  VkDescriptorPoolCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO;
  info.maxSets = static_cast<uint32_t>(out->sets.size());
  info.poolSizeCount = 1;
  info.pPoolSizes = &size;
  NBL_VK(device, error, CreateDescriptorPool, device.device, &info, &device.host,
         &out->descriptor_pool);
  NBL_TRY(make_sets_of(plan.decode, device, 0, out, error));
  const uint32_t decoded = static_cast<uint32_t>(plan.decode.dispatches.size());
  return make_sets_of(plan.prefill, device, decoded, out, error);
}

}  // namespace nbl
