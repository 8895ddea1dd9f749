// The fixed header at the start of a .nbl file. Little-endian, 64 bytes.
//
//   header | FlatBuffer (identifier NBL1) | padding | segments, each at a multiple of 4096
#pragma once

#include <cstdint>

namespace nbl {

inline constexpr char kFileMagic[8] = {'N', 'B', 'L', 'M', 'O', 'D', 'E', 'L'};
inline constexpr uint32_t kFileVersion = 1;

struct FileHeader {
  char magic[8];
  uint32_t version;
  uint32_t header_bytes;  // 64
  uint64_t file_bytes;    // the whole file
  uint64_t graph_offset;  // of the FlatBuffer, a multiple of 64
  uint64_t graph_bytes;
  uint32_t graph_crc32;   // CRC-32 (IEEE 802.3) of the FlatBuffer
  uint32_t reserved[4];   // 0
  uint32_t header_crc32;  // of the 60 bytes before it
};
static_assert(sizeof(FileHeader) == 64);

}  // namespace nbl
