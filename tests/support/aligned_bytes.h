// Files in memory as load() wants them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <span>
#include <vector>

namespace nbl::test {

// A whole file as 64-byte aligned bytes.
struct AlignedBytes {
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> lines;
  size_t size = 0;

  std::span<const std::byte> span() const {
    return {reinterpret_cast<const std::byte*>(lines.data()), size};
  }
  std::span<std::byte> span() { return {reinterpret_cast<std::byte*>(lines.data()), size}; }
};

inline AlignedBytes read_file(const std::filesystem::path& path) {
  AlignedBytes file;
  file.size = std::filesystem::file_size(path);
  file.lines.resize((file.size + 63) / 64);
  std::ifstream(path, std::ios::binary)
      .read(reinterpret_cast<char*>(file.lines.data()), static_cast<std::streamsize>(file.size));
  return file;
}

}  // namespace nbl::test
