// The fixed sizes of the runtime. Everything else is sized by the model and the options.
#pragma once

#include <cstdint>

namespace nbl {

// Device memory. 256 is the largest minStorageBufferOffsetAlignment that Vulkan allows, so a plan
// aligned to it is valid on every device (Vulkan 1.3 specification, table "Required limits").
inline constexpr uint64_t kDeviceAlignBytes = 256;
// No device allocation is larger: some drivers refuse more, and small blocks fit fragmented memory.
// Where chains are made they need all weights in one, so that only the device's own limits hold.
inline constexpr uint64_t kMaxBlockBytes = 256ull << 20;

// Kernels. The floor every op has a variant inside of.
inline constexpr uint32_t kMaxBindings = 8;
inline constexpr uint32_t kMaxPushWords = 32;
inline constexpr uint32_t kMaxSpecConstants = 7;
inline constexpr uint32_t kFloorInvocations = 128;
inline constexpr uint32_t kFloorSharedBytes = 16384;
inline constexpr uint64_t kFloorStorageRangeBytes = 128ull << 20;
inline constexpr uint32_t kFloorGridAxis = 65535;

// Activations are float32 rows of align_up(columns, 32) elements whose padding is zero, so that a
// kernel reads and writes whole 32-element blocks without looking at the tail.
inline constexpr uint32_t kRowAlign = 32;

// Elements of an attention head; a multiple of 4.
inline constexpr uint32_t kMaxHeadDim = 256;

// Positions a row of the fine RoPE table covers (see docs/format.md).
inline constexpr uint32_t kRopeFineRows = 64;

// Model file.
inline constexpr uint32_t kMaxRank = 4;
inline constexpr uint32_t kMaxOpInputs = 6;
inline constexpr uint32_t kMaxOpOutputs = 3;
inline constexpr uint32_t kMaxTensors = 1u << 15;
inline constexpr uint32_t kMaxOps = 1u << 13;
inline constexpr uint32_t kMaxDim = 1u << 28;
inline constexpr uint64_t kSegmentAlignBytes = 4096;

// Queries of a timestamp pool: Vulkan names no limit, so each driver has its own.
inline constexpr uint32_t kMaxPoolQueries = 1024;

}  // namespace nbl
