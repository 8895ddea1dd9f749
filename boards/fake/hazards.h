// Whether commands that touch the same bytes are kept apart by barriers: a model of what Vulkan's
// memory dependencies promise and nothing more (Vulkan 1.3, chapter 7). It knows commands, ranges
// and barriers as they reach a queue, and nothing of plans or kernels.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "rt/vk/functions.h"

namespace nbl::fake {

enum class Stage : uint8_t { compute, transfer, host };

// `width` bytes of a memory at begin + i * stride, up to `end`; stride 0: [begin, end).
struct Touch {
  const void* memory;
  uint64_t begin;
  uint64_t end;
  uint64_t width;
  uint64_t stride;
  Stage stage;
  bool write;
};

class HazardChecker {
 public:
  // A command in its order. Each conflict with an earlier one, with no barrier for it between the
  // two, is handed to `say`.
  void command(const std::string& name, std::span<const Touch> touches,
               const std::function<void(const std::string&)>& say);

  void barrier(VkPipelineStageFlags from, VkPipelineStageFlags to, VkAccessFlags made,
               VkAccessFlags seen);

  // The host has waited for all commands. It may look at what they wrote into memory that `sees`
  // answers true for.
  void host_waited(const std::function<bool(const void* memory)>& sees,
                   const std::function<void(const std::string&)>& say);

  void memory_is_gone(const void* memory);
  void clear() { past_.clear(); }

 private:
  struct Past {
    Touch touch;
    std::string name;
    uint32_t ordered = 0;    // stages whose later commands run after it
    bool available = false;  // of a write
    uint32_t visible = 0;    // of a write: accesses that see it
    bool told = false;
  };
  std::vector<Past> past_;
};

}  // namespace nbl::fake
