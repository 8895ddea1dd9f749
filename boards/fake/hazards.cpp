#include "boards/fake/hazards.h"

namespace nbl::fake {
namespace {

// One bit a stage, and one a stage and direction.
constexpr uint32_t bit(Stage stage) {
  return 1u << static_cast<uint32_t>(stage);
}
constexpr uint32_t access_bit(Stage stage, bool write) {
  return 1u << (2 * static_cast<uint32_t>(stage) + (write ? 1 : 0));
}
constexpr uint32_t kAllStages = bit(Stage::compute) | bit(Stage::transfer) | bit(Stage::host);

uint32_t stages_of(VkPipelineStageFlags flags) {
  uint32_t stages = 0;
  if (flags & (VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_ALL_COMMANDS_BIT)) {
    stages |= bit(Stage::compute);
  }
  if (flags & (VK_PIPELINE_STAGE_TRANSFER_BIT | VK_PIPELINE_STAGE_ALL_COMMANDS_BIT)) {
    stages |= bit(Stage::transfer);
  }
  if (flags & VK_PIPELINE_STAGE_HOST_BIT) stages |= bit(Stage::host);
  return stages;
}

uint32_t accesses_of(VkAccessFlags flags, uint32_t stages) {
  constexpr struct {
    VkAccessFlags flags;
    Stage stage;
    bool write;
  } kRows[] = {
      {VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_MEMORY_READ_BIT, Stage::compute, false},
      {VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_MEMORY_WRITE_BIT, Stage::compute, true},
      {VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_MEMORY_READ_BIT, Stage::transfer, false},
      {VK_ACCESS_TRANSFER_WRITE_BIT | VK_ACCESS_MEMORY_WRITE_BIT, Stage::transfer, true},
      {VK_ACCESS_HOST_READ_BIT | VK_ACCESS_MEMORY_READ_BIT, Stage::host, false},
      {VK_ACCESS_HOST_WRITE_BIT | VK_ACCESS_MEMORY_WRITE_BIT, Stage::host, true},
  };
  uint32_t accesses = 0;
  for (const auto& row : kRows) {
    if ((flags & row.flags) != 0 && (stages & bit(row.stage)) != 0) {
      accesses |= access_bit(row.stage, row.write);
    }
  }
  return accesses;
}

bool overlap(const Touch& a, const Touch& b) {
  if (a.memory != b.memory || a.begin >= b.end || b.begin >= a.end) return false;
  if (a.stride == 0 || a.stride != b.stride) return true;
  // Two patterns of one stride meet where their columns do, on the circle of a stride.
  const uint64_t apart = (b.begin % a.stride + a.stride - a.begin % a.stride) % a.stride;
  return apart < a.width || a.stride - apart < b.width;
}

bool covers(const Touch& a, const Touch& b) {
  if (a.memory != b.memory || a.begin > b.begin || a.end < b.end) return false;
  return a.stride == 0 || (a.stride == b.stride && a.begin == b.begin && a.width >= b.width);
}

std::string range_of(const Touch& a, const Touch& b) {
  const uint64_t begin = a.begin > b.begin ? a.begin : b.begin;
  const uint64_t end = a.end < b.end ? a.end : b.end;
  return "bytes " + std::to_string(begin) + " to " + std::to_string(end);
}

}  // namespace

void HazardChecker::command(const std::string& name, std::span<const Touch> touches,
                            const std::function<void(const std::string&)>& say) {
  for (const Touch& now : touches) {
    for (Past& past : past_) {
      if (past.told || (!now.write && !past.touch.write) || !overlap(now, past.touch)) continue;
      const bool kept_apart = past.touch.write
                                  ? (past.visible & access_bit(now.stage, now.write)) != 0
                                  : (past.ordered & bit(now.stage)) != 0;
      if (kept_apart) continue;
      past.told = true;
      say("hazard: " + name + (now.write ? " writes " : " reads ") + range_of(now, past.touch) +
          " that " + past.name + (past.touch.write ? " writes" : " reads") +
          ", and no barrier keeps them apart");
    }
  }
  // What a write covers need not be remembered: whatever comes after the write comes after it. Nor
  // need a read that one of the same stage repeats.
  for (const Touch& now : touches) {
    std::erase_if(past_, [&](const Past& past) {
      return covers(now, past.touch) &&
             (now.write || (!past.touch.write && past.touch.stage == now.stage));
    });
  }
  for (const Touch& now : touches)
    past_.push_back({now, name});
}

void HazardChecker::barrier(VkPipelineStageFlags from, VkPipelineStageFlags to, VkAccessFlags made,
                            VkAccessFlags seen) {
  const uint32_t first = stages_of(from);
  const uint32_t second = stages_of(to);
  const uint32_t made_bits = accesses_of(made, first);
  const uint32_t seen_bits = accesses_of(seen, second);
  for (Past& past : past_) {
    const bool mine = (first & bit(past.touch.stage)) != 0;
    if (!mine && (first & past.ordered) == 0) continue;
    past.ordered |= second;
    if (mine && (made_bits & access_bit(past.touch.stage, true)) != 0) past.available = true;
    if (past.available) past.visible |= seen_bits;
  }
}

// A fence orders, and makes writes available to the device; only a barrier makes them visible
// (Vulkan 1.3, vkQueueSubmit and section 7.9).
void HazardChecker::host_waited(const std::function<bool(const void* memory)>& sees,
                                const std::function<void(const std::string&)>& say) {
  for (Past& past : past_) {
    past.ordered = kAllStages;
    past.available = true;
    if (past.told || !past.touch.write || !sees(past.touch.memory)) continue;
    if ((past.visible & access_bit(Stage::host, false)) != 0) continue;
    past.told = true;
    say("hazard: the host may read bytes " + std::to_string(past.touch.begin) + " to " +
        std::to_string(past.touch.end) + " that " + past.name +
        " writes, and no barrier makes them visible to it");
  }
}

void HazardChecker::memory_is_gone(const void* memory) {
  std::erase_if(past_, [memory](const Past& past) { return past.touch.memory == memory; });
}

}  // namespace nbl::fake
