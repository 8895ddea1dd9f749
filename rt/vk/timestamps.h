// Timestamp queries, in as many pools as their number takes.
#pragma once

#include <span>

#include "rt/vk/device.h"

namespace nbl {

// Query i is query i % per_pool of pool i / per_pool.
//
// Borrows  pools: the caller's memory, one for each started per_pool of count.
struct Timestamps {
  std::span<VkQueryPool> pools;
  uint32_t per_pool = 0;
  uint32_t count = 0;  // 0 = there are none; then nothing below makes a Vulkan call
};

// Makes the pools.
//
// Errors   vulkan_call, driver_pool_full; destroy_timestamps() is due in any case.
Status make_timestamps(const Device& device, std::span<VkQueryPool> pools, uint32_t per_pool,
                       uint32_t count, Timestamps* out, Error* error);

void destroy_timestamps(const Device& device, Timestamps* timestamps);

// Records that all of them are reset; a query is written once after that.
void reset_timestamps(const Device& device, VkCommandBuffer commands, const Timestamps& timestamps);

// Records that query `index` takes the time when everything before it has passed `stage`.
void write_timestamp(const Device& device, VkCommandBuffer commands, const Timestamps& timestamps,
                     VkPipelineStageFlagBits stage, uint32_t index);

// Reads all of them after the submit that wrote them has ended. Does not wait: a query that was
// never written would hang it.
//
// Shapes   ticks: count.
// Errors   no_timestamps where the driver has them not; vulkan_call, device_lost. Some of the ticks
//          may be written then.
Status read_timestamps(const Device& device, const Timestamps& timestamps,
                       std::span<uint64_t> ticks, Error* error);

}  // namespace nbl
