#include "tests/support/gpu.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "rt/kernels/variants.h"
#include "spirv/texture.h"
#include "tests/support/gpu_image.h"
#include "tests/support/own_buffers.h"

namespace nbl::test {
namespace {

constexpr size_t kGuardWords = 64;  // 256 bytes: the next binding stays aligned

}  // namespace

struct Gpu::State {
  State() { create_commands(); }
  ~State() {
    images_.clear();
    own_buffers_.clear(device_.vk, device_.device);
    free_buffer();
    if (fence_) device_.vk.DestroyFence(device_.device, fence_, nullptr);
    if (commands_) device_.vk.DestroyCommandPool(device_.device, commands_, nullptr);
    if (descriptors_) device_.vk.DestroyDescriptorPool(device_.device, descriptors_, nullptr);
  }

  void create_commands() {
    auto pool = chained<VkCommandPoolCreateInfo>(VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO);
    pool.queueFamilyIndex = device_.family;
    check(device_.vk.CreateCommandPool(device_.device, &pool, nullptr, &commands_),
          "vkCreateCommandPool");
    auto allocate =
        chained<VkCommandBufferAllocateInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO);
    allocate.commandPool = commands_;
    allocate.commandBufferCount = 1;
    check(device_.vk.AllocateCommandBuffers(device_.device, &allocate, &command_),
          "vkAllocateCommandBuffers");
    const auto fence = chained<VkFenceCreateInfo>(VK_STRUCTURE_TYPE_FENCE_CREATE_INFO);
    check(device_.vk.CreateFence(device_.device, &fence, nullptr, &fence_), "vkCreateFence");
    const VkDescriptorPoolSize sizes[] = {{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, kMaxBindings},
                                          {VK_DESCRIPTOR_TYPE_SAMPLED_IMAGE, kMaxBindings}};
    auto sets = chained<VkDescriptorPoolCreateInfo>(VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO);
    sets.maxSets = 1;
    sets.poolSizeCount = 2;
    sets.pPoolSizes = sizes;
    check(device_.vk.CreateDescriptorPool(device_.device, &sets, nullptr, &descriptors_),
          "vkCreateDescriptorPool");
  }

  void free_buffer() {
    if (buffer_) device_.vk.DestroyBuffer(device_.device, buffer_, nullptr);
    if (memory_) device_.vk.FreeMemory(device_.device, memory_, nullptr);
    buffer_ = nullptr;
    memory_ = nullptr;
  }

  // One host-visible buffer holds all bindings of a run; it only grows.
  void reserve(size_t words) {
    if (words <= capacity_words_) return;
    free_buffer();
    capacity_words_ = words;
    auto info = chained<VkBufferCreateInfo>(VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO);
    info.size = words * 4;
    info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT;
    check(device_.vk.CreateBuffer(device_.device, &info, nullptr, &buffer_), "vkCreateBuffer");
    VkMemoryRequirements needs;
    device_.vk.GetBufferMemoryRequirements(device_.device, buffer_, &needs);
    auto allocate = chained<VkMemoryAllocateInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO);
    allocate.allocationSize = needs.size;
    allocate.memoryTypeIndex = memory_type(needs.memoryTypeBits);
    check(device_.vk.AllocateMemory(device_.device, &allocate, nullptr, &memory_),
          "vkAllocateMemory");
    check(device_.vk.BindBufferMemory(device_.device, buffer_, memory_, 0), "vkBindBufferMemory");
    void* mapped = nullptr;
    check(device_.vk.MapMemory(device_.device, memory_, 0, VK_WHOLE_SIZE, 0, &mapped),
          "vkMapMemory");
    words_ = static_cast<uint32_t*>(mapped);
  }

  uint32_t memory_type(uint32_t allowed) const {
    uint32_t best = device_.caps.memory_type_count;
    for (uint32_t i = 0; i < device_.caps.memory_type_count; ++i) {
      const uint32_t flags = device_.caps.memory_types[i].flags;
      if ((allowed & (1u << i)) == 0) continue;
      if ((flags & (kHostVisible | kHostCoherent)) != (kHostVisible | kHostCoherent)) continue;
      if (best == device_.caps.memory_type_count || (flags & kHostCached)) best = i;
    }
    if (best == device_.caps.memory_type_count) throw std::runtime_error("no coherent memory");
    return best;
  }

  // Where each binding starts, in words; the total with all guards is the last element.
  static std::vector<size_t> place(std::span<const Binding> bindings) {
    std::vector<size_t> offsets;
    size_t at = kGuardWords;
    for (const Binding& binding : bindings) {
      offsets.push_back(at);
      at += (binding.words.size() + 2 * kGuardWords - 1) / kGuardWords * kGuardWords;
    }
    offsets.push_back(at);
    return offsets;
  }

  void upload(std::span<const Binding> bindings, const std::vector<size_t>& offsets) {
    size_t end = 0;
    for (size_t i = 0; i < bindings.size(); ++i) {
      std::fill(words_ + end, words_ + offsets[i], kPoison);
      std::copy(bindings[i].words.begin(), bindings[i].words.end(), words_ + offsets[i]);
      end = offsets[i] + bindings[i].words.size();
    }
    std::fill(words_ + end, words_ + offsets.back(), kPoison);
  }

  std::string download(std::span<const Binding> bindings, const std::vector<size_t>& offsets) {
    size_t end = 0;
    const auto guard_intact = [&](size_t stop) {
      return std::all_of(words_ + end, words_ + stop, [](uint32_t w) { return w == kPoison; });
    };
    for (size_t i = 0; i < bindings.size(); ++i) {
      const auto& words = bindings[i].words;
      if (!guard_intact(offsets[i])) return "wrote before binding " + std::to_string(i);
      const uint32_t* from = words_ + offsets[i];
      if (!bindings[i].written && !std::equal(words.begin(), words.end(), from)) {
        return "wrote to the input at binding " + std::to_string(i);
      }
      if (bindings[i].written) std::copy(from, from + words.size(), words.begin());
      end = offsets[i] + words.size();
    }
    return guard_intact(offsets.back()) ? "" : "wrote past the last binding";
  }

  VkDescriptorSet describe_bindings(const Pipeline& pipeline, std::span<const Binding> bindings,
                                    const std::vector<size_t>& offsets) {
    own_buffers_.clear(device_.vk, device_.device);
    check(device_.vk.ResetDescriptorPool(device_.device, descriptors_, 0), "vkResetDescriptorPool");
    auto allocate =
        chained<VkDescriptorSetAllocateInfo>(VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO);
    allocate.descriptorPool = descriptors_;
    allocate.descriptorSetCount = 1;
    allocate.pSetLayouts = &pipeline.set_layout;
    VkDescriptorSet set = nullptr;
    check(device_.vk.AllocateDescriptorSets(device_.device, &allocate, &set),
          "vkAllocateDescriptorSets");
    std::vector<VkDescriptorBufferInfo> infos(bindings.size());
    std::vector<VkDescriptorImageInfo> views(bindings.size());
    std::vector<VkWriteDescriptorSet> writes(bindings.size());
    for (uint32_t i = 0; i < bindings.size(); ++i) {
      const size_t bytes = std::max<size_t>(1, bindings[i].words.size()) * 4;
      infos[i] = {buffer_, offsets[i] * 4, bytes};
      if (device_.gpu_assisted && !bindings[i].image) {
        infos[i] = own_buffers_.make(device_.vk, device_.device, memory_, infos[i].offset, bytes);
      }
      writes[i] = chained<VkWriteDescriptorSet>(VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET);
      writes[i].dstSet = set;
      writes[i].dstBinding = i;
      writes[i].descriptorCount = 1;
      writes[i].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
      writes[i].pBufferInfo = &infos[i];
      if (!bindings[i].image) continue;
      views[i] = {nullptr, images_.at(i)->view(), VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL};
      writes[i].descriptorType = VK_DESCRIPTOR_TYPE_SAMPLED_IMAGE;
      writes[i].pImageInfo = &views[i];
    }
    device_.vk.UpdateDescriptorSets(device_.device, static_cast<uint32_t>(writes.size()),
                                    writes.data(), 0, nullptr);
    return set;
  }

  void barrier(VkPipelineStageFlags to_stage, VkAccessFlags to_access) {
    auto memory = chained<VkMemoryBarrier>(VK_STRUCTURE_TYPE_MEMORY_BARRIER);
    memory.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT;
    memory.dstAccessMask = to_access;
    device_.vk.CmdPipelineBarrier(command_, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, to_stage, 0, 1,
                                  &memory, 0, nullptr, 0, nullptr);
  }

  // The words of a whole image with the binding's window at `first_texel` and poison around it.
  static std::vector<uint32_t> image_words(const Binding& binding, uint32_t first_texel) {
    constexpr size_t kRowWords = size_t{4} << TEXTURE_WIDTH_LOG2;
    const size_t end = size_t{first_texel} * 4 + binding.words.size();
    std::vector<uint32_t> words((end + kRowWords - 1) / kRowWords * kRowWords, kPoison);
    std::copy(binding.words.begin(), binding.words.end(), words.begin() + first_texel * 4);
    return words;
  }

  // Makes the images of a run. What is copied to them takes the place of their bindings' words.
  void make_images(const KernelCall& call, std::vector<Binding>* bindings) {
    constexpr size_t kRowWords = size_t{4} << TEXTURE_WIDTH_LOG2;
    images_.clear();
    image_words_.clear();
    images_.resize(bindings->size());
    image_words_.resize(bindings->size());
    for (size_t i = 0; i < bindings->size(); ++i) {
      Binding& binding = (*bindings)[i];
      if (!binding.image) continue;
      image_words_[i] = image_words(binding, call.push[call.push_words - 1]);
      binding.words = image_words_[i];
      const size_t rows = image_words_[i].size() / kRowWords;
      images_[i] = std::make_unique<GpuImage>(device_, static_cast<uint32_t>(rows));
    }
  }

  // In a submit of its own: it is no part of a run's time.
  void fill_images(const std::vector<size_t>& offsets) {
    const auto made = [](const auto& image) { return image != nullptr; };
    if (std::none_of(images_.begin(), images_.end(), made)) return;
    begin();
    for (size_t i = 0; i < images_.size(); ++i) {
      if (images_[i] != nullptr) images_[i]->record_fill(command_, buffer_, offsets[i] * 4);
    }
    submit();
  }

  void begin() {
    check(device_.vk.ResetCommandPool(device_.device, commands_, 0), "vkResetCommandPool");
    const auto info =
        chained<VkCommandBufferBeginInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO);
    check(device_.vk.BeginCommandBuffer(command_, &info), "vkBeginCommandBuffer");
  }

  // Ends what was recorded, runs it and takes the time.
  void submit() {
    check(device_.vk.EndCommandBuffer(command_), "vkEndCommandBuffer");
    auto info = chained<VkSubmitInfo>(VK_STRUCTURE_TYPE_SUBMIT_INFO);
    info.commandBufferCount = 1;
    info.pCommandBuffers = &command_;
    const auto start = std::chrono::steady_clock::now();
    check(device_.vk.QueueSubmit(device_.queue, 1, &info, fence_), "vkQueueSubmit");
    check(device_.vk.WaitForFences(device_.device, 1, &fence_, VK_TRUE, UINT64_MAX),
          "vkWaitForFences");
    last_run_ns =
        std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
    check(device_.vk.ResetFences(device_.device, 1, &fence_), "vkResetFences");
  }

  void execute(const KernelCall& call, const Pipeline& pipeline, VkDescriptorSet set,
               uint32_t repeat) {
    begin();
    device_.vk.CmdBindPipeline(command_, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.pipeline);
    device_.vk.CmdBindDescriptorSets(command_, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.layout, 0,
                                     1, &set, 0, nullptr);
    if (call.push_words != 0) {
      device_.vk.CmdPushConstants(command_, pipeline.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                                  4u * call.push_words, call.push);
    }
    for (uint32_t i = 0; i < repeat; ++i) {
      if (i != 0) {
        barrier(VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
      }
      device_.vk.CmdDispatch(command_, call.grid[0], call.grid[1], call.grid[2]);
    }
    barrier(VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
    submit();
  }

  Device device_;
  double last_run_ns = 0;
  VkCommandPool commands_ = nullptr;
  VkCommandBuffer command_ = nullptr;
  VkFence fence_ = nullptr;
  VkDescriptorPool descriptors_ = nullptr;
  VkBuffer buffer_ = nullptr;
  VkDeviceMemory memory_ = nullptr;
  size_t capacity_words_ = 0;
  uint32_t* words_ = nullptr;
  OwnBuffers own_buffers_;  // of the last run
  // Of the last run, by binding; null and empty for buffers.
  std::vector<std::unique_ptr<GpuImage>> images_;
  std::vector<std::vector<uint32_t>> image_words_;
};

namespace {
std::string g_missing;
}

Gpu::Gpu() : state_(std::make_unique<State>()) {}
Gpu::~Gpu() = default;

Gpu* Gpu::instance() {
  static const std::unique_ptr<Gpu> gpu = []() -> std::unique_ptr<Gpu> {
    try {
      return std::unique_ptr<Gpu>(new Gpu);
    } catch (const std::exception& e) {
      g_missing = e.what();
      return nullptr;
    }
  }();
  return gpu.get();
}

const std::string& Gpu::missing() {
  return g_missing;
}
const Caps& Gpu::caps() const {
  return state_->device_.caps;
}
bool Gpu::has_integer_dot() const {
  return state_->device_.integer_dot;
}
bool Gpu::has_assisted_checks() const {
  return state_->device_.gpu_assisted;
}
double Gpu::last_run_ns() const {
  return state_->last_run_ns;
}

Caps Gpu::floor_of_caps() const {
  Caps caps = floor_caps();
  caps.subgroup_size = state_->device_.caps.subgroup_size;
  caps.max_storage_range_bytes = state_->device_.caps.max_storage_range_bytes;
  caps.lanes = state_->device_.caps.lanes;
  return caps;
}

void Gpu::stand_in(uint16_t variant, std::span<const uint32_t> words) {
  state_->device_.stand_ins.erase(variant);
  if (!words.empty()) state_->device_.stand_ins[variant] = words;
}

std::string Gpu::run(const KernelCall& call, std::span<const Binding> given, uint32_t repeat) {
  try {
    const Variant& variant = kVariants[call.variant];
    std::vector<Binding> bindings(given.begin(), given.end());
    if (bindings.size() != variant.bindings) return "the kernel has another number of bindings";
    for (size_t i = 0; i < bindings.size(); ++i) {
      if (bindings[i].image != ((variant.images >> i & 1u) != 0)) {
        return "binding " + std::to_string(i) + " is of another kind";
      }
    }
    if (call.push_words * 4u != variant.push_bytes) return "the push constants have another size";
    state_->make_images(call, &bindings);
    const std::vector<size_t> offsets = State::place(bindings);
    state_->reserve(offsets.back());
    state_->upload(bindings, offsets);
    const Pipeline& pipeline = state_->device_.pipeline_for(call);
    const VkDescriptorSet set = state_->describe_bindings(pipeline, bindings, offsets);
    state_->fill_images(offsets);
    state_->execute(call, pipeline, set, repeat);
    if (!state_->device_.messages.empty())
      return std::exchange(state_->device_.messages, {}).front();
    return state_->download(bindings, offsets);
  } catch (const std::exception& e) {
    return e.what();
  }
}

}  // namespace nbl::test
