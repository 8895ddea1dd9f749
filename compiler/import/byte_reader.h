// Reads little-endian fields from a hostile file, front to back, and refuses to run past its end.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "compiler/import/checkpoint.h"

namespace nbl::compiler {

class ByteReader {
 public:
  // Borrows  bytes.
  ByteReader(std::string file, std::span<const std::byte> bytes)
      : file_(std::move(file)), bytes_(bytes) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }
  const std::string& file() const { return file_; }

  // `what` names the field in the error.
  // Errors  ImportError where fewer than sizeof(T) bytes are left.
  template <typename T>
  T read(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what), sizeof(T));
    return value;
  }

  const std::byte* take(uint64_t size, std::string_view what) {
    if (size > remaining()) {
      throw ImportError(
          fmt::format("{}: the file is truncated: {} at byte {} needs {} bytes, {} are left", file_,
                      what, position_, size, remaining()));
    }
    const std::byte* data = bytes_.data() + position_;
    position_ += size;
    return data;
  }

  std::string_view take_text(uint64_t size, std::string_view what) {
    return {reinterpret_cast<const char*>(take(size, what)), static_cast<size_t>(size)};
  }

 private:
  std::string file_;
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
};

}  // namespace nbl::compiler
