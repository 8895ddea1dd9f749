#include "boards/boards.h"

#include <cstring>

namespace nbl {
namespace {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kGiB = 1024 * kMiB;

constexpr uint32_t kAllSubgroups =
    kSubgroupArithmetic | kSubgroupShuffle | kSubgroupVote | kSubgroupBallot;
constexpr uint32_t kSmallTypes = kStorage16 | kStorage8 | kFloat16;

constexpr uint32_t kUnified = kDeviceLocal | kHostVisible | kHostCoherent;

constexpr uint32_t version(uint32_t major, uint32_t minor) {
  return major << 22 | minor << 12;
}

void set_name(Caps* caps, const char* name) {
  std::strncpy(caps->name, name, sizeof caps->name - 1);
}

// One heap that CPU and GPU share.
void set_unified_memory(Caps* caps, uint64_t bytes, uint32_t flags) {
  caps->memory_heap_count = 1;
  caps->memory_heap_bytes[0] = bytes;
  caps->memory_type_count = 1;
  caps->memory_types[0] = {flags, 0};
}

// What rt/vk/caps.cpp assumes of every integrated GPU: a plan made here is the device's only where
// the figures that steer it are the device's own.
Caps integrated(const char* name) {
  Caps caps = floor_caps();
  set_name(&caps, name);
  caps.kind = DeviceKind::integrated;
  caps.lanes = 4096;
  caps.gigabytes_per_s = 12;
  caps.gigaflops = 100;
  return caps;
}

// Vulkan 1.1's minimums, with one memory type of the least capable kind.
Caps floor_board() {
  Caps caps = floor_caps();
  set_name(&caps, "Vulkan 1.1 floor");
  caps.api_version = version(1, 1);
  set_unified_memory(&caps, 1 * kGiB, kDeviceLocal | kHostVisible | kHostCoherent);
  return caps;
}

// Mesa 22.3.6 on x86-64: limits of the driver as it reports them.
Caps lavapipe() {
  Caps caps = floor_caps();
  set_name(&caps, "llvmpipe");
  caps.vendor_id = 0x10005;
  caps.api_version = version(1, 3);
  caps.kind = DeviceKind::cpu;
  caps.features = kAllSubgroups | kSmallTypes | kTimestamps | kHostImport | kScalarLoads;
  caps.subgroup_size = 8;
  caps.max_invocations = 1024;
  caps.max_workgroup_x = 1024;
  caps.max_shared_bytes = 32 * kKiB;
  caps.max_storage_buffers = 32;
  caps.max_storage_range_bytes = 128 * kMiB;
  caps.max_allocation_bytes = 2 * kGiB;
  caps.storage_align_bytes = 16;
  caps.noncoherent_atom_bytes = 64;
  caps.import_align_bytes = 4096;
  caps.timestamp_bits = 64;
  set_unified_memory(&caps, 2 * kGiB, kUnified | kHostCached);
  caps.lanes = 64;
  caps.gigabytes_per_s = 3;
  caps.gigaflops = 6;
  return caps;
}

// VideoCore VII (V3D 7.1), v3dv of Mesa 24.2 to 25.x. No arithmetic subgroups before Mesa 26.0, no
// small-type arithmetic before 26.2, memory never host-cached. The heap is that of an 8 GB board.
Caps rpi5() {
  Caps caps = integrated("V3D 7.1");
  caps.vendor_id = 0x14e4;
  caps.api_version = version(1, 2);
  caps.features =
      kSubgroupShuffle | kSubgroupVote | kSubgroupBallot | kStorage16 | kStorage8 | kTimestamps;
  caps.subgroup_size = 16;
  caps.max_invocations = 256;
  caps.max_workgroup_x = 256;
  caps.max_storage_range_bytes = 1 * kGiB;
  caps.storage_align_bytes = 32;
  caps.timestamp_bits = 64;
  set_unified_memory(&caps, 4 * kGiB, kUnified);
  return caps;
}

// turnip of Mesa 26.2: storage ranges end at 128 MiB; the packed dot product is unsigned or mixed
// only, so that the signed one that kIntegerDot means is not there. What images take was not
// measured: floor_caps() has a figure that leaves room.
Caps adreno_740() {
  Caps caps = integrated("Turnip Adreno 740");
  caps.vendor_id = 0x5143;
  caps.api_version = version(1, 3);
  caps.features = kAllSubgroups | kStorage16 | kFloat16 | kTimestamps | kTextureWeights;
  caps.subgroup_size = 64;
  caps.max_invocations = 1024;
  caps.max_workgroup_x = 1024;
  caps.max_shared_bytes = 32 * kKiB;
  caps.max_push_bytes = 256;
  caps.max_storage_buffers = 64;
  caps.max_storage_range_bytes = 128 * kMiB;
  caps.max_allocation_bytes = 4 * kGiB;
  caps.storage_align_bytes = 64;
  caps.noncoherent_atom_bytes = 64;
  caps.max_image_dim = 16384;
  caps.timestamp_period_ns = 52.083f;
  caps.timestamp_bits = 48;
  set_unified_memory(&caps, 6 * kGiB, kUnified | kHostCached);
  return caps;
}

// panvk of Mesa 26.2 on an RK3588 (G610 MP4).
Caps mali_g610() {
  Caps caps = integrated("Mali-G610");
  caps.vendor_id = 0x13b5;
  caps.api_version = version(1, 4);
  caps.features = kAllSubgroups | kSmallTypes | kIntegerDot | kTimestamps;
  caps.subgroup_size = 16;
  caps.max_invocations = 1024;
  caps.max_workgroup_x = 1024;
  caps.max_shared_bytes = 32 * kKiB;
  caps.max_push_bytes = 256;
  caps.max_storage_buffers = 64;
  caps.max_storage_range_bytes = 4 * kGiB - 1;
  caps.max_allocation_bytes = 4 * kGiB - 1;
  caps.storage_align_bytes = 16;
  caps.noncoherent_atom_bytes = 64;
  caps.timestamp_bits = 64;
  set_unified_memory(&caps, 4 * kGiB, kUnified | kHostCached);
  return caps;
}

// NVIDIA's driver on an Orin Nano: what ncnn's board reports list, and limits of NVIDIA's desktop
// driver where they list none. 1024 CUDA cores in 8 multiprocessors of 48 warps.
Caps jetson_orin() {
  Caps caps = integrated("NVIDIA Tegra Orin");
  caps.vendor_id = 0x10de;
  caps.api_version = version(1, 3);
  caps.features = kAllSubgroups | kSmallTypes | kIntegerDot | kTimestamps;
  caps.subgroup_size = 32;
  caps.max_invocations = 1024;
  caps.max_workgroup_x = 1024;
  caps.max_grid[0] = 0x7fffffff;
  caps.max_shared_bytes = 48 * kKiB;
  caps.max_push_bytes = 256;
  caps.max_storage_buffers = 64;
  caps.max_storage_range_bytes = 4 * kGiB - 1;
  caps.max_allocation_bytes = 4 * kGiB - 1;
  caps.storage_align_bytes = 32;
  caps.noncoherent_atom_bytes = 64;
  caps.timestamp_bits = 64;
  set_unified_memory(&caps, 6 * kGiB, kUnified | kHostCached);
  caps.lanes = 8 * 48 * 32;
  return caps;
}

// ANV of Mesa 22.3.6 on Alder Lake-N.
Caps intel_n100() {
  Caps caps = integrated("Intel UHD Graphics (ADL-N)");
  caps.vendor_id = 0x8086;
  caps.api_version = version(1, 3);
  caps.features = kAllSubgroups | kSmallTypes | kIntegerDot | kTimestamps | kHostImport;
  caps.subgroup_size = 32;
  caps.max_invocations = 1024;
  caps.max_workgroup_x = 1024;
  caps.max_shared_bytes = 64 * kKiB;
  caps.max_storage_buffers = 64;
  caps.max_storage_range_bytes = 1 * kGiB;
  caps.max_allocation_bytes = 4 * kGiB;
  caps.storage_align_bytes = 4;
  caps.noncoherent_atom_bytes = 64;
  caps.import_align_bytes = 4096;
  caps.timestamp_period_ns = 80;
  caps.timestamp_bits = 36;
  set_unified_memory(&caps, 6 * kGiB, kUnified | kHostCached);
  return caps;
}

// NVIDIA's desktop driver. 132 multiprocessors of 64 warps.
Caps h100() {
  Caps caps = jetson_orin();
  std::memset(caps.name, 0, sizeof caps.name);
  set_name(&caps, "NVIDIA H100 80GB HBM3");
  caps.kind = DeviceKind::discrete;
  caps.features |= kHostImport;
  caps.import_align_bytes = 4096;
  caps.memory_heap_count = 2;
  caps.memory_heap_bytes[0] = 80 * kGiB;
  caps.memory_heap_bytes[1] = 64 * kGiB;
  caps.memory_type_count = 3;
  caps.memory_types[0] = {kDeviceLocal, 0};
  caps.memory_types[1] = {kHostVisible | kHostCoherent, 1};
  caps.memory_types[2] = {kHostVisible | kHostCoherent | kHostCached, 1};
  caps.lanes = 132 * 64 * 32;
  caps.gigabytes_per_s = 300;
  caps.gigaflops = 8000;
  return caps;
}

}  // namespace

std::span<const Board> boards() {
  static const Board table[] = {
      {"floor", "any device with Vulkan 1.1", floor_board()},
      {"lavapipe", "CPU implementation, this machine's or any", lavapipe()},
      {"rpi5", "Raspberry Pi 5, 8 GB", rpi5()},
      {"adreno-740", "Snapdragon 8 Gen 2, Mesa driver", adreno_740()},
      {"mali-g610", "RK3588, Mesa driver", mali_g610()},
      {"jetson-orin", "Jetson Orin Nano", jetson_orin()},
      {"intel-n100", "Intel N100", intel_n100()},
      {"h100", "NVIDIA H100", h100()},
  };
  return table;
}

const Caps* find_board(std::string_view name) {
  for (const Board& board : boards()) {
    if (name == board.name) return &board.caps;
  }
  return nullptr;
}

}  // namespace nbl
