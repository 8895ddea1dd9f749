// A parsed safetensors container: tensors as views into the mapped file. Knows nothing of models.
//
// Layout   8 bytes length of the header, little-endian; the header, a JSON object of tensors by
//          name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, and "__metadata__";
//          then the data, which the offsets count from.
// Source   https://github.com/huggingface/safetensors, "Format".
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/import/mapped_file.h"

namespace nbl::compiler::hf {

enum class DataType : uint8_t {
  boolean,
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  u64,
  i64,
  f8_e4m3,
  f8_e5m2,
  f16,
  bf16,
  f32,
  f64
};

// "F32" and the like, as files write it.
std::string_view data_type_name(DataType type);
uint32_t data_type_bytes(DataType type);

// Borrows  the mapping of its file.
struct SafeTensor {
  std::string name;
  std::string file;  // for errors
  DataType type = DataType::f32;
  std::vector<uint64_t> shape;  // empty: a single number
  const std::byte* data = nullptr;
  uint64_t size_bytes = 0;  // that of the shape

  // "[2, 3]".
  std::string shape_text() const;
};

// The format's own limit.
inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;

// Borrows  nothing; the tensors borrow the mapping.
class SafetensorsFile {
 public:
  // Errors  ImportError: the file cannot be mapped or is malformed in any way.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::map<std::string, SafeTensor, std::less<>>& tensors() const { return tensors_; }

 private:
  void check_overlaps() const;

  MappedFile file_;
  std::map<std::string, SafeTensor, std::less<>> tensors_;
};

}  // namespace nbl::compiler::hf
