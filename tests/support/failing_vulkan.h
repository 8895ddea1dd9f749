// The machine's Vulkan with faults: between the runtime and the real functions, it numbers every
// call that returns a VkResult, makes one of them fail without calling through, and keeps a ledger
// of the objects that are alive. On request it keeps the text of every call, or speaks of
// timestamps as another device would.
//
// Its state is the process's, as Vulkan's functions carry none of their own: one test at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "rt/nibble.h"
#include "rt/vk/functions.h"

namespace nbl::test {

// Stands for what the machine's device says.
struct FakeTimestamps {
  uint32_t valid_bits = 64;
  float period_ns = 1;
  // The value of each query, numbered from 0 in the order they are read in; null = as read.
  std::function<uint64_t(uint64_t)> tick = {};
};

class FailingVulkan {
 public:
  // The entry to hand to an engine. It forgets every fault and object of before.
  static nbl_get_instance_proc_addr over(nbl_get_instance_proc_addr real);

  // Starts counting at 1; the `call`-th call from here on returns `result`. 0 = none.
  static void fail(uint64_t call, VkResult result);
  static uint64_t calls();
  // The call that failed, with its vk prefix; empty = none so far.
  static const std::string& failed();

  // This function is not found until told otherwise. "" = all are.
  static void hide(const std::string& name);

  static void fake_timestamps(FakeTimestamps fake);

  // Keeps every call from here on, one text each: vkCmdDispatch(...). See CallWriter.
  static void keep_stream();
  static const std::vector<std::string>& stream();

  // The objects alive, one a line with their numbers; empty = none.
  static std::string alive();
};

}  // namespace nbl::test
