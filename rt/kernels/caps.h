// What a device can do, as a plain struct: filled from vkGetPhysicalDevice* on the device
// (rt/vk/device.h) and from boards/ in the compiler and tests. Every policy of the runtime is a
// function of it, so policy is tested without a GPU.
#pragma once

#include <cstdint>

namespace nbl {

enum Feature : uint32_t {
  kNoFeatures = 0,
  kSubgroupArithmetic = 1u << 0,  // subgroupAdd and friends in compute, of any subgroup size
  kSubgroupShuffle = 1u << 1,
  kSubgroupVote = 1u << 2,
  kSubgroupBallot = 1u << 3,
  kStorage16 = 1u << 4,
  kStorage8 = 1u << 5,
  kFloat16 = 1u << 6,
  kIntegerDot = 1u << 7,         // accelerated packed 4x8-bit dot product
  kCooperativeMatrix = 1u << 8,  // f16 factors and f32 sums, of the shape in Caps
  kTimestamps = 1u << 9,
  kHostImport = 1u << 10,  // VK_EXT_external_memory_host
  // Not in Vulkan: lanes of a subgroup that read the same address cost one load, and lanes that
  // read different ones cost one each (CPU implementations). Such a device wants a lane per row.
  kScalarLoads = 1u << 11,
  // Not in Vulkan: reading weights through the texture units is the fast path, or was asked for.
  // Sampled images themselves are in every device.
  kTextureWeights = 1u << 12,
  kCooperativeMatrixN8 = 1u << 13,  // 16 x 8 x 16 as well
};

enum class DeviceKind : uint8_t { other, integrated, discrete, virtual_gpu, cpu };

enum MemoryFlag : uint32_t {
  kDeviceLocal = 1u << 0,
  kHostVisible = 1u << 1,
  kHostCoherent = 1u << 2,
  kHostCached = 1u << 3,
};

struct MemoryType {
  uint32_t flags;  // MemoryFlag
  uint32_t heap;
};

inline constexpr uint32_t kMaxMemoryTypes = 32;
inline constexpr uint32_t kMaxMemoryHeaps = 16;

struct Caps {
  char name[64];
  uint32_t vendor_id;
  uint32_t device_id;
  uint32_t driver_version;
  uint32_t api_version;
  DeviceKind kind;

  uint32_t features;         // Feature
  uint32_t subgroup_size;    // 1..128
  uint32_t max_invocations;  // per workgroup
  uint32_t max_workgroup_x;
  uint32_t max_grid[3];
  uint32_t max_shared_bytes;
  uint32_t max_push_bytes;
  uint32_t max_storage_buffers;  // per stage
  uint64_t max_storage_range_bytes;
  uint64_t max_allocation_bytes;
  uint32_t storage_align_bytes;
  uint32_t noncoherent_atom_bytes;
  uint32_t import_align_bytes;  // minImportedHostPointerAlignment
  float timestamp_period_ns;
  uint32_t timestamp_bits;
  // kCooperativeMatrix: a matrix of m x k times one of k x n.
  uint32_t matrix_m;
  uint32_t matrix_n;
  uint32_t matrix_k;

  uint32_t buffer_memory_bits;  // memory types that buffers may use; 0 = all
  uint32_t memory_type_count;
  MemoryType memory_types[kMaxMemoryTypes];
  uint32_t memory_heap_count;
  uint64_t memory_heap_bytes[kMaxMemoryHeaps];

  // Images of weights (docs/design.md), found by trying (rt/vk/image.h).
  uint32_t max_image_dim;      // width and height of two-dimensional images
  uint32_t image_rows;         // heights are multiples of it; 0 = not known: no images
  uint64_t image_rows_bytes;   // memory that so many rows take
  uint32_t image_memory_bits;  // memory types that these images may use; 0 = all

  // Estimates that steer how work is split; never correctness.
  uint32_t lanes;              // invocations that fill the device once
  uint32_t gigabytes_per_s;    // memory reads
  uint32_t gigaflops;          // float32 multiply-adds counted as two
  uint32_t dispatch_limit_us;  // no dispatch is planned to run longer

  // Work-groups that are known to run side by side until they end; 0 = none are. A chain
  // (rt/kernels/chain.h) waits inside a dispatch for others of it.
  uint32_t cores;
};

// Shapes of cooperative matrices that the kernels can be specialised to.
constexpr bool kernels_take_matrix(uint32_t m, uint32_t n, uint32_t k) {
  return (m == 8 || m == 16) && (n == 8 || n == 16) && (k == 8 || k == 16 || k == 32);
}

// The floor: Vulkan 1.1 core minimums and nothing else (8 storage buffers, see docs/design.md).
constexpr Caps floor_caps() {
  Caps caps{};
  caps.subgroup_size = 1;
  caps.max_invocations = 128;
  caps.max_workgroup_x = 128;
  caps.max_grid[0] = caps.max_grid[1] = caps.max_grid[2] = 65535;
  caps.max_shared_bytes = 16384;
  caps.max_push_bytes = 128;
  caps.max_storage_buffers = 8;
  caps.max_storage_range_bytes = 128ull << 20;
  caps.max_allocation_bytes = 1ull << 30;
  caps.storage_align_bytes = 256;
  caps.noncoherent_atom_bytes = 256;
  caps.import_align_bytes = 65536;
  caps.timestamp_period_ns = 1;
  caps.max_image_dim = 4096;
  caps.image_rows = 128;
  caps.image_rows_bytes = 128 * 17 * 1024;  // 17 KiB a row of 16 KiB
  caps.lanes = 1024;
  caps.gigabytes_per_s = 4;
  caps.gigaflops = 8;
  caps.dispatch_limit_us = 100000;
  return caps;
}

}  // namespace nbl
