// A parsed GGUF container: keys and tensor entries as views into the mapped file. Knows nothing of
// any architecture.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/import/gguf_format.h"
#include "compiler/import/mapped_file.h"

namespace nbl::compiler {

// A metadata value, still encoded. For an array, `data` is its first element.
struct GgufValue {
  GgufType type;
  GgufType element_type;  // arrays
  uint64_t count;         // arrays
  const std::byte* data;
};

struct GgufTensor {
  std::string name;
  uint32_t type;  // as numbered by ggml, known or not
  uint32_t rank;
  uint64_t dims[kGgufMaxRank];  // innermost first, 1 past the rank
  uint64_t offset;              // from the start of the file
};

// Borrows  the mapped file.
// Errors   ImportError from the constructor where the container is malformed, and from an accessor
//          where the key holds another type than asked for.
class GgufFile {
 public:
  explicit GgufFile(const MappedFile& file);

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }

  bool has(std::string_view key) const { return find(key) != nullptr; }
  // Any integer type that holds a value in 0..2^32-1; nothing where the key is absent.
  std::optional<uint32_t> unsigned_value(std::string_view key) const;
  // Any floating-point or integer type.
  std::optional<double> number(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string_view> text(std::string_view key) const;
  std::optional<std::vector<std::string_view>> texts(std::string_view key) const;
  // An array of bools; nothing where the key holds something else.
  std::optional<std::vector<bool>> booleans(std::string_view key) const;
  // An array of any number type.
  std::optional<std::vector<double>> numbers(std::string_view key) const;

 private:
  const GgufValue* find(std::string_view key) const;
  void read_keys(class ByteReader& reader, uint64_t count);
  void read_tensors(class ByteReader& reader, uint64_t count);
  void place_tensors(uint64_t header_bytes);
  [[noreturn]] void refuse_type(std::string_view key, const GgufValue& value,
                                const char* wanted) const;

  std::string path_;
  std::span<const std::byte> bytes_;
  std::map<std::string, GgufValue, std::less<>> values_;
  std::vector<GgufTensor> tensors_;
};

}  // namespace nbl::compiler
