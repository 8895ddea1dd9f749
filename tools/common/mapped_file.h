// A file mapped into memory for reading.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace nbl::tools {

// Maps `path` as long as it lives. The bytes start on a page, as importing them to a device needs.
//
// Errors  Failure where the file cannot be opened, is empty or is no regular file.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

// The whole file as text. Errors as above, but an empty file is an empty string.
std::string read_text_file(const std::string& path);

}  // namespace nbl::tools
