// The weight segments of a model file, written one after the other as they are made.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace nbl::compiler {

struct SegmentInfo {
  uint64_t offset = 0;
  uint64_t size = 0;
  std::array<uint8_t, 32> sha256 = {};
  std::string name;
};

// A file that is complete or not there: it grows under the name `path`.tmp, which commit() turns
// into `path`; without commit() the destructor removes it.
class OutputFile {
 public:
  // Errors  CompileError, from every method.
  explicit OutputFile(std::filesystem::path path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write_at(uint64_t offset, std::span<const std::byte> bytes);
  // True where the file holds exactly `bytes` at `offset`.
  bool holds_at(uint64_t offset, std::span<const std::byte> bytes) const;
  void resize(uint64_t bytes);
  void commit();

 private:
  [[noreturn]] void fail(const char* what) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
};

// Appends segments from `first_byte` on and stores equal ones once.
//
// Borrows  `file`.
class SegmentWriter {
 public:
  SegmentWriter(OutputFile* file, uint64_t first_byte);

  // Returns the index of the segment with these bytes: a new one, or one that has the same SHA-256
  // and the same bytes.
  int32_t add(const std::string& name, std::span<const std::byte> bytes);

  const std::vector<SegmentInfo>& segments() const { return segments_; }
  uint64_t end() const { return end_; }
  uint64_t shared_bytes() const { return shared_bytes_; }

 private:
  OutputFile* file_;
  uint64_t end_;
  uint64_t shared_bytes_ = 0;  // that add() was given and found in the file
  std::vector<SegmentInfo> segments_;
  std::map<std::array<uint8_t, 32>, std::vector<int32_t>> by_hash_;
};

}  // namespace nbl::compiler
