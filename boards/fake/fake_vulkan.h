// A Vulkan driver without a GPU. It answers every function of rt/vk/functions.def as a device with
// the given Caps would, keeps memory in host memory, executes copies, and hands dispatches to a
// stand-in. What it is for is telling: each misuse of Vulkan, each hazard and each object that is
// left over is a sentence in complaints().
//
//   fake::FakeVulkan vulkan(find_board("rpi5")->caps);
//   config.get_instance_proc_addr = vulkan.entry();
//   ...
//   EXPECT_EQ(vulkan.complaints(), std::vector<std::string>{});
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "rt/kernels/caps.h"
#include "rt/nibble.h"
#include "rt/vk/functions.h"

namespace nbl::fake {

struct Driver;

// A dispatch as its kernel sees it.
struct Dispatch {
  const uint32_t* words;  // as given to vkCreateShaderModule
  std::span<const uint32_t> spec;
  std::span<const uint32_t> push;
  std::array<uint32_t, 3> grid;
  std::vector<std::span<std::byte>> bindings;  // device memory; images whole, rows without gaps
  uint32_t reads;                              // masks of bindings, from the shader's words
  uint32_t writes;
};

// Bytes that a dispatch touches, for what is finer than its bindings: `width` bytes at offset +
// i * stride, for every i up to the binding's end. stride 0: all from the offset on.
struct Pattern {
  uint64_t offset = 0;
  uint64_t width = 0;
  uint64_t stride = 0;
};

// At most kMost of them live at a time: Vulkan's entry point has no room for a user pointer, so
// each has one of its own. Everything else is in the objects that handles point to.
class FakeVulkan {
 public:
  static constexpr size_t kMost = 4;

  explicit FakeVulkan(const Caps& caps);
  ~FakeVulkan();
  FakeVulkan(const FakeVulkan&) = delete;
  FakeVulkan& operator=(const FakeVulkan&) = delete;

  nbl_get_instance_proc_addr entry() const;

  // Forgets complaints, counts, faults and objects, alive ones as well: none may be used any more.
  void forget();

  // Misuse and hazards in the order they were found, each once.
  const std::vector<std::string>& complaints() const;
  // Objects alive, one kind a line with their number; empty = none.
  std::string alive() const;
  // The calls so far that return a VkResult, by name with the vk prefix; call k is calls()[k - 1].
  const std::vector<const char*>& calls() const;
  // Every command that was executed, one line each, since keep_transcript().
  const std::vector<std::string>& transcript() const;
  void keep_transcript();
  uint64_t device_bytes() const;       // device memory alive
  uint64_t peak_device_bytes() const;  // and at most so far
  uint64_t host_allocations() const;   // asked of the callbacks so far
  uint64_t without_callbacks() const;  // objects made without callbacks
  uint32_t barriers() const;           // vkCmdPipelineBarrier so far
  uint32_t flushes() const;            // flushes and invalidations of memory so far
  uint32_t submits() const;
  uint64_t cache_bytes() const;  // that pipeline caches were made of so far

  // Faults. Numbers begin at 1 and count from the last forget(); 0 = none.
  void fail_call(uint64_t call, VkResult result);
  const char* failed() const;  // the call that failed; "" = none so far
  void fail_host_allocation(uint64_t allocation);
  void drop_barrier(uint32_t barrier);
  void drop_flush(uint32_t flush);
  void hide(const std::string& function);
  // What is left of each heap: others use the device as well. Heaps keep the size they tell.
  void leave_bytes(uint64_t bytes);

  // Off saves time where it has been shown that there are none.
  void look_for_hazards(bool yes);
  // Runs in the place of every dispatch; null: dispatches change nothing.
  void stand_in(std::function<void(const Dispatch&)> kernel);
  // What a kernel touches of a binding, where that is less than the range that is bound. Without it
  // dispatches touch their bindings whole.
  void refine(std::function<Pattern(const Dispatch&, uint32_t binding)> pattern);

 private:
  std::unique_ptr<Driver> driver_;
  size_t slot_;
};

}  // namespace nbl::fake
