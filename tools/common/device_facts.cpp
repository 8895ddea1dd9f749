#include "tools/common/device_facts.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "boards/boards.h"
#include "tools/common/device_bench.h"

namespace nbl::tools {
namespace {

using nlohmann::json;

std::string words_of(const json& names) {
  std::string text;
  for (const json& name : names)
    text += (text.empty() ? "" : " ") + name.get<std::string>();
  return text.empty() ? "none" : text;
}

// "128 MiB" where it is a whole number of them.
std::string size_text(uint64_t bytes) {
  if (bytes >= 1u << 20) return fmt::format("{} MiB", bytes >> 20);
  if (bytes >= 1u << 10) return fmt::format("{} KiB", bytes >> 10);
  return fmt::format("{} bytes", bytes);
}

}  // namespace

DeviceFacts facts_of(nbl_get_instance_proc_addr entry, int32_t device_index) {
  const DeviceBench bench(entry, device_index, "describing the device");
  return {bench.caps(), bench.driver()};
}

std::string board_of(const DeviceFacts& facts, const DeviceRates& rates) {
  json board = json::parse(board_text(facts.caps));
  board["provenance"] = {"limits: as the driver reports them: " + facts.driver,
                         "speed: an estimate by the kind of device",
                         "budget: three quarters of the largest heap, to be filled in"};
  if (rates.copy.gigabytes_per_second > 0) {
    board["speed"]["dram_gb_per_s"] = rates.copy.gigabytes_per_second;
    board["provenance"][1] =
        "speed: dram_gb_per_s is what kernels copy, read and written, measured; the rest is an "
        "estimate by the kind of device";
  }
  return board.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string describe_device(const DeviceFacts& facts) {
  const Caps& caps = facts.caps;
  const json board = json::parse(board_text(caps));  // for the names of features and memory flags
  const json& types = board["memory"]["types"];
  std::string text = fmt::format(
      "device: Vulkan {}, vendor {:#06x}, device {:#06x}, driver version {:#x}\n"
      "features: {}\n",
      board["vulkan"]["api"].get<std::string>(), caps.vendor_id, caps.device_id,
      caps.driver_version, words_of(board["vulkan"]["features"]));
  text += fmt::format(
      "limits: binding {}, allocation {}, {} storage buffers, shared {}, {} invocations, subgroups "
      "of {}\n",
      size_text(caps.max_storage_range_bytes), size_text(caps.max_allocation_bytes),
      caps.max_storage_buffers, size_text(caps.max_shared_bytes), caps.max_invocations,
      caps.subgroup_size);
  for (uint32_t heap = 0; heap < caps.memory_heap_count; ++heap) {
    text += fmt::format("memory heap {}: {}\n", heap, size_text(caps.memory_heap_bytes[heap]));
    for (uint32_t type = 0; type < caps.memory_type_count; ++type) {
      if (caps.memory_types[type].heap != heap) continue;
      text += fmt::format("  type {}: {}\n", type, words_of(types[type]["flags"]));
    }
  }
  return text;
}

}  // namespace nbl::tools
