#include "tools/common/start_times.h"

#include <fmt/format.h>

#include <chrono>
#include <cstring>

#include "tools/common/engine_session.h"
#include "tools/common/failure.h"
#include "tools/common/statistics.h"
#include "tools/common/table.h"

namespace nbl::tools {
namespace {

constexpr size_t kCacheHeaderBytes = 32;  // VkPipelineCacheHeaderVersionOne

double start_once(const nbl_config& config) {
  EngineSession session(config);
  const auto start = std::chrono::steady_clock::now();
  const uint32_t token = 0;
  uint32_t next = 0;
  nbl_error error = {};
  check(session.engine().evaluate({&token, 1}, &error), error);
  check(session.engine().next_token(&next, &error), error);
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  return session.open_seconds() + passed.count();
}

Row row_of(const char* name, const std::vector<double>& seconds, size_t cache_bytes) {
  return {name,
          fmt::format("{:.1f} ± {:.1f}", mean(seconds) * 1e3, standard_deviation(seconds) * 1e3),
          fmt::format("{:.1f}", median(seconds) * 1e3), fmt::format("{}", cache_bytes)};
}

}  // namespace

size_t MemoryCache::load(void* user, void* data, size_t size) {
  const auto& blob = static_cast<const MemoryCache*>(user)->blob;
  if (blob.empty() || blob.size() > size) return 0;
  std::memcpy(data, blob.data(), blob.size());
  return blob.size();
}

void MemoryCache::store(void* user, const void* data, size_t size) {
  const auto* const bytes = static_cast<const std::byte*>(data);
  static_cast<MemoryCache*>(user)->blob.assign(bytes, bytes + size);
}

StartTimes measure_start(nbl_config config, uint32_t repetitions) {
  MemoryCache cache;
  config.cache_load = MemoryCache::load;
  config.cache_store = MemoryCache::store;
  config.user = &cache;
  StartTimes times;
  start_once(config);
  for (uint32_t i = 0; i < repetitions; ++i) {
    cache.blob.clear();
    times.no_cache.push_back(start_once(config));
    times.cache_bytes = cache.blob.size();
    times.with_cache.push_back(start_once(config));
  }
  return times;
}

std::string start_table(const StartTimes& times) {
  if (times.no_cache.empty()) return "";
  const char* const note = times.cache_bytes > kCacheHeaderBytes
                               ? ""
                               : "\nthis driver puts nothing into a pipeline cache\n";
  return "\n" +
         aligned_table({"nbl_open() to the first token", "ms", "median", "cache bytes"},
                       {row_of("start, no cache", times.no_cache, 0),
                        row_of("start, with cache", times.with_cache, times.cache_bytes)},
                       1) +
         note;
}

}  // namespace nbl::tools
