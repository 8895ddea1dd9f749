#include "boards/fake/execute.h"

#include <algorithm>
#include <cstring>

namespace nbl::fake {
namespace {

constexpr uint64_t kTexelBytes = 16;

void wrote(Memory* memory) {
  if (!memory->coherent) memory->device_wrote = true;
}

void copy(const Command& command) {
  for (const VkBufferCopy& region : command.copies) {
    std::memmove(command.target->data() + region.dstOffset,
                 command.source->data() + region.srcOffset, static_cast<size_t>(region.size));
  }
  wrote(command.target->memory);
}

// Rows of the image follow one another without gaps.
void copy_to_image(Driver& driver, const Command& command) {
  if (command.image->layout != command.image_layout) {
    driver.complain("vkCmdCopyBufferToImage", "the image has another layout by then");
  }
  for (const VkBufferImageCopy& region : command.image_copies) {
    const size_t row_bytes = size_t{region.imageExtent.width} * kTexelBytes;
    const std::byte* from = command.source->data() + region.bufferOffset;
    for (uint32_t y = 0; y < region.imageExtent.height; ++y) {
      const uint64_t texel =
          (static_cast<uint64_t>(region.imageOffset.y) + y) * command.image->extent.width +
          static_cast<uint64_t>(region.imageOffset.x);
      std::memcpy(command.image->data() + texel * kTexelBytes, from, row_bytes);
      from += row_bytes;
    }
  }
}

void fill(const Command& command) {
  std::byte* const data = command.target->data() + command.offset;
  for (uint64_t at = 0; at < command.bytes; at += sizeof command.word)
    std::memcpy(data + at, &command.word, sizeof command.word);
  wrote(command.target->memory);
}

void change_layouts(Driver& driver, const Command& command) {
  for (const ImageChange& change : command.changes) {
    if (change.from != VK_IMAGE_LAYOUT_UNDEFINED && change.image->layout != change.from) {
      driver.complain("vkCmdPipelineBarrier", "the image has another layout by then");
    }
    change.image->layout = change.to;
  }
}

void dispatch(Driver& driver, const Command& command) {
  const Shader& shader = *command.pipeline->shader;
  for (size_t i = 0; i < command.set->descriptors.size(); ++i) {
    const Descriptor& descriptor = command.set->descriptors[i];
    if (descriptor.view != nullptr && descriptor.view->image->layout != descriptor.layout) {
      driver.complain("vkCmdDispatch", "an image has another layout by then than its descriptor");
    }
    if (descriptor.buffer != nullptr && (shader.writes >> i & 1u) != 0) {
      if (descriptor.buffer->memory->imported) {
        driver.complain("vkCmdDispatch", "a kernel may write imported memory");
      }
      wrote(descriptor.buffer->memory);
    }
  }
  if (driver.kernel) driver.kernel(view_of(command));
}

void write_timestamp(Driver& driver, const Command& command) {
  QueryPool::State& state = command.queries->states[command.first];
  if (state != QueryPool::State::reset) {
    driver.complain("vkCmdWriteTimestamp", "the query was not reset before");
  }
  state = QueryPool::State::written;
  const uint32_t bits = driver.caps.timestamp_bits;
  const uint64_t mask = bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  command.queries->ticks[command.first] = ++driver.ticks & mask;
}

std::string name_of_command(const Command& command) {
  switch (command.kind) {
    case CommandKind::dispatch: {
      std::string text =
          "dispatch " + std::to_string(command.grid[0]) + " x " + std::to_string(command.grid[1]) +
          " x " + std::to_string(command.grid[2]) + " of the shader of " +
          std::to_string(command.pipeline->shader->facts.bindings) + " bindings, constants";
      for (const uint32_t value : command.pipeline->spec)
        text += " " + std::to_string(value);
      return text;
    }
    case CommandKind::copy:
      return "a copy of " + std::to_string(command.copies[0].size) + " bytes to byte " +
             std::to_string(command.copies[0].dstOffset);
    case CommandKind::copy_to_image:
      return "a copy to an image";
    case CommandKind::fill:
      return "a fill of " + std::to_string(command.bytes) + " bytes";
    case CommandKind::update:
      return "an update of " + std::to_string(command.bytes) + " bytes";
    case CommandKind::barrier:
      return "a barrier";
    case CommandKind::reset_queries:
      return "a reset of queries";
    case CommandKind::timestamp:
      return "a timestamp";
  }
  return "";
}

void run(Driver& driver, const Command& command) {
  switch (command.kind) {
    case CommandKind::dispatch:
      return dispatch(driver, command);
    case CommandKind::copy:
      return copy(command);
    case CommandKind::copy_to_image:
      return copy_to_image(driver, command);
    case CommandKind::fill:
      return fill(command);
    case CommandKind::update:
      std::memcpy(command.target->data() + command.offset, command.data.data(),
                  command.data.size());
      return wrote(command.target->memory);
    case CommandKind::barrier:
      return change_layouts(driver, command);
    case CommandKind::reset_queries:
      for (uint32_t i = 0; i < command.count; ++i)
        command.queries->states[command.first + i] = QueryPool::State::reset;
      return;
    case CommandKind::timestamp:
      return write_timestamp(driver, command);
  }
}

Touch whole(const Memory* memory, uint64_t begin, uint64_t bytes, Stage stage, bool write) {
  return {memory, begin, begin + bytes, bytes, 0, stage, write};
}

void add_transfer(const Resource& resource, uint64_t offset, uint64_t bytes, bool write,
                  std::vector<Touch>* touches) {
  touches->push_back(
      whole(resource.memory, resource.offset + offset, bytes, Stage::transfer, write));
}

void add_region(const Command& command, const VkBufferImageCopy& r, std::vector<Touch>* touches) {
  const uint64_t row = uint64_t{r.imageExtent.width} * kTexelBytes;
  const uint64_t stride = uint64_t{command.image->extent.width} * kTexelBytes;
  add_transfer(*command.source, r.bufferOffset, row * r.imageExtent.height, false, touches);
  const uint64_t begin = command.image->offset + static_cast<uint64_t>(r.imageOffset.y) * stride +
                         static_cast<uint64_t>(r.imageOffset.x) * kTexelBytes;
  const uint64_t end = begin + (r.imageExtent.height - 1) * stride + row;
  const bool rows_join = row == stride || r.imageExtent.height == 1;
  touches->push_back(
      {command.image->memory, begin, end, row, rows_join ? 0 : stride, Stage::transfer, true});
}

void add_bindings(const Driver& driver, const Command& command, std::vector<Touch>* touches) {
  const Shader& shader = *command.pipeline->shader;
  const Dispatch view = driver.pattern ? view_of(command) : Dispatch{};
  for (uint32_t i = 0; i < command.set->descriptors.size(); ++i) {
    const Descriptor& d = command.set->descriptors[i];
    const Resource* const resource =
        d.view != nullptr ? static_cast<const Resource*>(d.view->image) : d.buffer;
    if (resource == nullptr) continue;
    const uint64_t begin = resource->offset + d.offset;
    const uint64_t bytes = d.view != nullptr ? resource->bytes : d.bytes;
    Touch touch = whole(resource->memory, begin, bytes, Stage::compute, false);
    if (driver.pattern) {
      const Pattern pattern = driver.pattern(view, i);
      touch.begin += std::min(pattern.offset, bytes);
      touch.stride = pattern.stride;
      touch.width = pattern.stride == 0 ? touch.end - touch.begin : pattern.width;
    }
    if ((shader.reads >> i & 1u) != 0) touches->push_back(touch);
    touch.write = true;
    if ((shader.writes >> i & 1u) != 0) touches->push_back(touch);
  }
}

}  // namespace

Dispatch view_of(const Command& command) {
  Dispatch view;
  view.words = command.pipeline->words;
  view.spec = command.pipeline->spec;
  view.push = command.push;
  view.grid = command.grid;
  view.reads = command.pipeline->shader->reads;
  view.writes = command.pipeline->shader->writes;
  if (command.indirect) {
    std::memcpy(view.grid.data(), command.source->data() + command.offset, sizeof view.grid);
  }
  for (const Descriptor& d : command.set->descriptors) {
    const Resource* const resource =
        d.view != nullptr ? static_cast<const Resource*>(d.view->image) : d.buffer;
    if (resource == nullptr) {
      view.bindings.emplace_back();
      continue;
    }
    const uint64_t bytes = d.view != nullptr ? resource->bytes : d.bytes;
    view.bindings.emplace_back(resource->data() + d.offset, static_cast<size_t>(bytes));
  }
  return view;
}

std::vector<Touch> touches_of(const Driver& driver, const Command& command) {
  std::vector<Touch> touches;
  switch (command.kind) {
    case CommandKind::dispatch:
      add_bindings(driver, command, &touches);
      break;
    case CommandKind::copy:
      for (const VkBufferCopy& region : command.copies) {
        add_transfer(*command.source, region.srcOffset, region.size, false, &touches);
        add_transfer(*command.target, region.dstOffset, region.size, true, &touches);
      }
      break;
    case CommandKind::copy_to_image:
      for (const VkBufferImageCopy& region : command.image_copies)
        add_region(command, region, &touches);
      break;
    case CommandKind::fill:
    case CommandKind::update:
      add_transfer(*command.target, command.offset, command.bytes, true, &touches);
      break;
    default:
      break;
  }
  return touches;
}

void execute(Driver& driver, const Command& command) {
  if (driver.keeps_transcript) driver.transcript.push_back(name_of_command(command));
  if (driver.look_for_hazards) {
    const std::vector<Touch> touches = touches_of(driver, command);
    if (!touches.empty()) {
      driver.hazards.command(name_of_command(command), touches,
                             [&driver](const std::string& text) { driver.complain(text); });
    }
    if (command.kind == CommandKind::barrier) {
      driver.hazards.barrier(command.from, command.to, command.made, command.seen);
    }
  }
  run(driver, command);
}

}  // namespace nbl::fake
