#include "rt/vk/timestamps.h"

#include "rt/base/checked.h"
#include "rt/vk/result.h"

namespace nbl {
namespace {

// Queries of the pool whose first one is `first`.
uint32_t pool_size(const Timestamps& t, uint32_t first) {
  return min_of(t.per_pool, t.count - first);
}

}  // namespace

Status make_timestamps(const Device& device, std::span<VkQueryPool> pools, uint32_t per_pool,
                       uint32_t count, Timestamps* out, Error* error) {
  *out = {pools, per_pool, count};
  VkQueryPoolCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO;
  info.queryType = VK_QUERY_TYPE_TIMESTAMP;
  for (uint32_t first = 0; first < count; first += per_pool) {
    info.queryCount = pool_size(*out, first);
    NBL_VK(device, error, CreateQueryPool, device.device, &info, &device.host,
           &pools[first / per_pool]);
  }
  return {};
}

void destroy_timestamps(const Device& device, Timestamps* timestamps) {
  for (const VkQueryPool pool : timestamps->pools) {
    if (pool != VK_NULL_HANDLE) device.fn.DestroyQueryPool(device.device, pool, &device.host);
  }
  *timestamps = {};
}

void reset_timestamps(const Device& device, VkCommandBuffer commands, const Timestamps& t) {
  for (uint32_t first = 0; first < t.count; first += t.per_pool) {
    device.fn.CmdResetQueryPool(commands, t.pools[first / t.per_pool], 0, pool_size(t, first));
  }
}

void write_timestamp(const Device& device, VkCommandBuffer commands, const Timestamps& t,
                     VkPipelineStageFlagBits stage, uint32_t index) {
  if (t.count == 0) return;
  device.fn.CmdWriteTimestamp(commands, stage, t.pools[index / t.per_pool], index % t.per_pool);
}

Status read_timestamps(const Device& device, const Timestamps& t, std::span<uint64_t> ticks,
                       Error* error) {
  for (uint32_t first = 0; first < t.count; first += t.per_pool) {
    const std::span<uint64_t> part = ticks.subspan(first, pool_size(t, first));
    const VkResult result = device.fn.GetQueryPoolResults(
        device.device, t.pools[first / t.per_pool], 0, static_cast<uint32_t>(part.size()),
        part.size_bytes(), part.data(), sizeof part[0], VK_QUERY_RESULT_64_BIT);
    if (result == VK_NOT_READY) {
      return fail(error, Code::no_timestamps, 0, "the driver does not have them ready");
    }
    NBL_TRY(check(device, result, "vkGetQueryPoolResults", error));
  }
  return {};
}

}  // namespace nbl
