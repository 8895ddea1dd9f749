// Command buffers and what is recorded into them.
#pragma once

#include <array>
#include <set>
#include <vector>

#include "boards/fake/objects.h"

namespace nbl::fake {

enum class CommandKind : uint8_t {
  dispatch,
  copy,
  copy_to_image,
  fill,
  update,
  barrier,
  reset_queries,
  timestamp,
};
struct ImageChange {
  Image* image;
  VkImageLayout from, to;
};
struct Command {
  CommandKind kind = CommandKind::dispatch;
  Pipeline* pipeline = nullptr;
  DescriptorSet* set = nullptr;
  std::vector<uint32_t> push;
  std::array<uint32_t, 3> grid{};
  bool indirect = false;  // the grid is read from source, at offset
  Buffer* source = nullptr;
  Buffer* target = nullptr;
  Image* image = nullptr;
  VkImageLayout image_layout = VK_IMAGE_LAYOUT_UNDEFINED;
  std::vector<VkBufferCopy> copies;
  std::vector<VkBufferImageCopy> image_copies;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint32_t word = 0;
  std::vector<std::byte> data;
  VkPipelineStageFlags from = 0, to = 0;
  VkAccessFlags made = 0, seen = 0;
  std::vector<ImageChange> changes;
  QueryPool* queries = nullptr;
  uint32_t first = 0, count = 0;
};
struct CommandBuffer : Object {
  static constexpr Kind kKind = Kind::command_buffer;
  enum class State : uint8_t { initial, recording, executable, invalid };
  State state = State::initial;
  VkCommandBufferUsageFlags usage = 0;
  CommandPool* pool = nullptr;
  std::vector<Command> commands;
  std::set<Object*> uses;
  bool out_of_memory = false;
  Pipeline* pipeline = nullptr;  // as bound while recording, like those below
  DescriptorSet* set = nullptr;
  std::vector<uint32_t> push;
};

}  // namespace nbl::fake
