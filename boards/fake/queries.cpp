// Timestamps: the fake's clock ticks once a stamp.
#include <cstring>

#include "boards/fake/driver.h"
#include "boards/fake/functions.h"

namespace nbl::fake {
namespace {

QueryPool* queries_of(const char* call, VkCommandBuffer handle, VkQueryPool pool_handle,
                      uint32_t first, uint32_t count) {
  Driver& driver = driver_of(handle);
  auto* const commands = driver.use<CommandBuffer>(call, handle);
  auto* const pool = driver.use<QueryPool>(call, pool_handle);
  if (commands == nullptr || pool == nullptr) return nullptr;
  if (commands->state != CommandBuffer::State::recording || first > pool->states.size() ||
      count > pool->states.size() - first) {
    driver.complain(call, "outside the pool, or nothing is being recorded");
    return nullptr;
  }
  commands->uses.insert(pool);
  return pool;
}

void add(VkCommandBuffer handle, CommandKind kind, QueryPool* pool, uint32_t first,
         uint32_t count) {
  auto* const commands = static_cast<CommandBuffer*>(object_of(handle));
  Command& command = commands->commands.emplace_back();
  command.kind = kind;
  command.queries = pool;
  command.first = first;
  command.count = count;
}

}  // namespace

VKAPI_ATTR VkResult VKAPI_CALL CreateQueryPool(VkDevice device, const VkQueryPoolCreateInfo* info,
                                               const VkAllocationCallbacks* callbacks,
                                               VkQueryPool* out) {
  constexpr const char* kCall = "vkCreateQueryPool";
  Driver& driver = driver_of(device);
  auto* const parent = driver.use<Device>(kCall, device);
  if (parent == nullptr) return kMisused;
  if (info->queryType != VK_QUERY_TYPE_TIMESTAMP || info->queryCount == 0 ||
      driver.caps.timestamp_bits == 0) {
    driver.complain(kCall, "no timestamps, or the device has none");
  }
  auto* const pool = driver.make<QueryPool>(parent, callbacks, 64 + size_t{8} * info->queryCount);
  if (pool == nullptr) return VK_ERROR_OUT_OF_HOST_MEMORY;
  pool->states.resize(info->queryCount);
  pool->ticks.resize(info->queryCount);
  *out = handle_of<VkQueryPool>(pool);
  return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL DestroyQueryPool(VkDevice device, VkQueryPool handle,
                                            const VkAllocationCallbacks* callbacks) {
  driver_of(device).destroy<QueryPool>("vkDestroyQueryPool", handle, callbacks);
}

VKAPI_ATTR void VKAPI_CALL CmdResetQueryPool(VkCommandBuffer handle, VkQueryPool pool,
                                             uint32_t first, uint32_t count) {
  auto* const queries = queries_of("vkCmdResetQueryPool", handle, pool, first, count);
  if (queries != nullptr) add(handle, CommandKind::reset_queries, queries, first, count);
}

VKAPI_ATTR void VKAPI_CALL CmdWriteTimestamp(VkCommandBuffer handle, VkPipelineStageFlagBits,
                                             VkQueryPool pool, uint32_t query) {
  auto* const queries = queries_of("vkCmdWriteTimestamp", handle, pool, query, 1);
  if (queries != nullptr) add(handle, CommandKind::timestamp, queries, query, 1);
}

VKAPI_ATTR VkResult VKAPI_CALL GetQueryPoolResults(VkDevice device, VkQueryPool handle,
                                                   uint32_t first, uint32_t count, size_t bytes,
                                                   void* out, VkDeviceSize stride,
                                                   VkQueryResultFlags flags) {
  constexpr const char* kCall = "vkGetQueryPoolResults";
  Driver& driver = driver_of(device);
  auto* const pool = driver.use<QueryPool>(kCall, handle);
  if (pool == nullptr) return kMisused;
  if (first > pool->states.size() || count > pool->states.size() - first || count == 0 ||
      (flags & VK_QUERY_RESULT_64_BIT) == 0 || stride % 8 != 0 ||
      bytes < (count - 1) * stride + 8) {
    driver.complain(kCall, "outside the pool or the memory, or not of 64 bits");
    return kMisused;
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (pool->states[first + i] != QueryPool::State::written) return VK_NOT_READY;
    std::memcpy(static_cast<std::byte*>(out) + i * stride, &pool->ticks[first + i], 8);
  }
  return VK_SUCCESS;
}

}  // namespace nbl::fake
