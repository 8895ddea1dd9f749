#include "compiler/import/gguf_file.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <set>

#include "compiler/import/byte_reader.h"
#include "rt/base/checked.h"

namespace nbl::compiler {
namespace {

// Arrays in arrays are allowed by the format and used by nobody; the bound ends hostile nesting.
constexpr uint32_t kMaxDepth = 4;
// The smallest entries, for refusing absurd counts before the first one is read.
constexpr uint64_t kMinKeyBytes = 8 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;

std::string_view read_text(ByteReader& reader, std::string_view what) {
  const uint64_t length = reader.read<uint64_t>(what);
  return reader.take_text(length, what);
}

GgufType read_type(ByteReader& reader, std::string_view key) {
  const uint32_t type = reader.read<uint32_t>(key);
  if (type < kGgufTypeCount) return static_cast<GgufType>(type);
  throw ImportError(fmt::format("{}: key {} has value type {}; GGUF has types 0..{}", reader.file(),
                                key, type, kGgufTypeCount - 1));
}

void skip_elements(ByteReader& reader, std::string_view key, GgufType type, uint64_t count,
                   uint32_t depth);

GgufValue read_value(ByteReader& reader, std::string_view key, GgufType type, uint32_t depth) {
  GgufValue value{type, type, 1, nullptr};
  if (type == GgufType::array) {
    if (depth == kMaxDepth) {
      throw ImportError(
          fmt::format("{}: key {} nests arrays deeper than {}", reader.file(), key, kMaxDepth));
    }
    value.element_type = read_type(reader, key);
    value.count = reader.read<uint64_t>(key);
  }
  value.data = reader.take(0, key);
  skip_elements(reader, key, value.element_type, value.count, depth + 1);
  return value;
}

void skip_elements(ByteReader& reader, std::string_view key, GgufType type, uint64_t count,
                   uint32_t depth) {
  const uint32_t size = kGgufTypeBytes[static_cast<uint32_t>(type)];
  if (size != 0) {
    uint64_t bytes = 0;
    if (!checked_mul(count, size, &bytes)) bytes = ~uint64_t{0};
    reader.take(bytes, key);
    return;
  }
  for (uint64_t i = 0; i < count; ++i) {
    if (type == GgufType::string) {
      read_text(reader, key);
    } else {
      read_value(reader, key, type, depth);
    }
  }
}

template <typename T>
T decode(const std::byte* data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

// Nothing where `type` is no number.
std::optional<double> decode_number(GgufType type, const std::byte* data) {
  switch (type) {
    case GgufType::u8:
      return decode<uint8_t>(data);
    case GgufType::i8:
      return decode<int8_t>(data);
    case GgufType::u16:
      return decode<uint16_t>(data);
    case GgufType::i16:
      return decode<int16_t>(data);
    case GgufType::u32:
      return decode<uint32_t>(data);
    case GgufType::i32:
      return decode<int32_t>(data);
    case GgufType::f32:
      return decode<float>(data);
    case GgufType::u64:
      return static_cast<double>(decode<uint64_t>(data));
    case GgufType::i64:
      return static_cast<double>(decode<int64_t>(data));
    case GgufType::f64:
      return decode<double>(data);
    default:
      return std::nullopt;
  }
}

std::string_view decode_text(const std::byte* data) {
  return {reinterpret_cast<const char*>(data + 8), decode<uint64_t>(data)};
}

bool is_integer(GgufType type) {
  return type != GgufType::f32 && type != GgufType::f64 && type != GgufType::boolean &&
         type != GgufType::string && type != GgufType::array;
}

void check_count(const ByteReader& reader, const char* what, uint64_t count, uint64_t min_bytes) {
  if (count <= reader.remaining() / min_bytes) return;
  throw ImportError(
      fmt::format("{}: the header announces {} {}; the rest of the file has room for "
                  "{}",
                  reader.file(), count, what, reader.remaining() / min_bytes));
}

void check_version(const ByteReader& reader, uint32_t version) {
  if (version == 2 || version == 3) return;
  if (version != 0 && (version & 0xffffu) == 0) {
    throw ImportError(fmt::format("{}: is a big-endian GGUF file; nibble reads little-endian ones",
                                  reader.file()));
  }
  throw ImportError(fmt::format("{}: has GGUF version {}; nibble reads versions 2 and 3",
                                reader.file(), version));
}

}  // namespace

GgufFile::GgufFile(const MappedFile& file) : path_(file.path().string()), bytes_(file.bytes()) {
  ByteReader reader(path_, bytes_);
  if (reader.take_text(4, "the magic") != "GGUF") {
    throw ImportError(fmt::format("{}: is not a GGUF file: it does not begin with GGUF", path_));
  }
  check_version(reader, reader.read<uint32_t>("the version"));
  const uint64_t tensor_count = reader.read<uint64_t>("the tensor count");
  const uint64_t key_count = reader.read<uint64_t>("the key count");
  check_count(reader, "keys", key_count, kMinKeyBytes);
  check_count(reader, "tensors", tensor_count, kMinTensorBytes);
  read_keys(reader, key_count);
  read_tensors(reader, tensor_count);
  place_tensors(reader.position());
}

void GgufFile::read_keys(ByteReader& reader, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    const std::string key(read_text(reader, fmt::format("key {}", i)));
    const GgufType type = read_type(reader, key);
    if (!values_.emplace(key, read_value(reader, key, type, 0)).second) {
      throw ImportError(fmt::format("{}: key {} appears twice", path_, key));
    }
  }
}

void GgufFile::read_tensors(ByteReader& reader, uint64_t count) {
  std::set<std::string_view> names;
  tensors_.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    const std::string_view name = read_text(reader, fmt::format("the name of tensor {}", i));
    GgufTensor tensor{std::string(name), 0, 0, {1, 1, 1, 1}, 0};
    tensor.rank = reader.read<uint32_t>(name);
    if (tensor.rank == 0 || tensor.rank > kGgufMaxRank) {
      throw ImportError(fmt::format("{}: tensor {} has {} dimensions; it must have 1..{}", path_,
                                    name, tensor.rank, kGgufMaxRank));
    }
    uint64_t elements = 1;
    for (uint32_t axis = 0; axis < tensor.rank; ++axis) {
      tensor.dims[axis] = reader.read<uint64_t>(name);
      // Signed 63-bit counts are what ggml itself can hold.
      if (!checked_mul(elements, tensor.dims[axis], &elements) || elements >> 63 != 0) {
        throw ImportError(
            fmt::format("{}: tensor {} has more than 2^63 elements (dimension {} is {})", path_,
                        name, axis, tensor.dims[axis]));
      }
    }
    if (elements == 0) throw ImportError(fmt::format("{}: tensor {} is empty", path_, name));
    tensor.type = reader.read<uint32_t>(name);
    tensor.offset = reader.read<uint64_t>(name);
    if (!names.insert(name).second) {
      throw ImportError(fmt::format("{}: tensor {} appears twice", path_, name));
    }
    tensors_.push_back(std::move(tensor));
  }
}

void GgufFile::place_tensors(uint64_t header_bytes) {
  const uint64_t alignment = unsigned_value("general.alignment").value_or(kGgufDefaultAlignment);
  if (alignment < 8 || (alignment & (alignment - 1)) != 0) {
    throw ImportError(
        fmt::format("{}: general.alignment is {}; it must be a power of two of 8 or "
                    "more",
                    path_, alignment));
  }
  const uint64_t data_offset = align_up(header_bytes, alignment);
  for (GgufTensor& tensor : tensors_) {
    if (tensor.offset % alignment != 0) {
      throw ImportError(
          fmt::format("{}: tensor {} lies at offset {}, which is no multiple of the "
                      "alignment {}",
                      path_, tensor.name, tensor.offset, alignment));
    }
    uint64_t offset = 0;
    if (!checked_add(data_offset, tensor.offset, &offset) || offset >= bytes_.size()) {
      throw ImportError(
          fmt::format("{}: tensor {} begins at offset {} of the data section; the file "
                      "has {} bytes, {} of them before it",
                      path_, tensor.name, tensor.offset, bytes_.size(), data_offset));
    }
    tensor.offset = offset;
  }
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

void GgufFile::refuse_type(std::string_view key, const GgufValue& value, const char* wanted) const {
  const char* name = kGgufTypeNames[static_cast<uint32_t>(value.type)];
  const char* element = kGgufTypeNames[static_cast<uint32_t>(value.element_type)];
  const bool is_array = value.type == GgufType::array;
  throw ImportError(fmt::format("{}: key {} is of type {}{}; {} is needed", path_, key, name,
                                is_array ? fmt::format(" of {}", element) : "", wanted));
}

std::optional<uint32_t> GgufFile::unsigned_value(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!is_integer(value->type)) refuse_type(key, *value, "a whole number");
  const double number = *decode_number(value->type, value->data);
  if (number < 0 || number > 4294967295.0) {
    throw ImportError(
        fmt::format("{}: key {} is {}; it must lie in 0..4294967295", path_, key, number));
  }
  return static_cast<uint32_t>(number);
}

std::optional<double> GgufFile::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const std::optional<double> number = decode_number(value->type, value->data);
  if (!number) refuse_type(key, *value, "a number");
  return number;
}

std::optional<bool> GgufFile::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::boolean) refuse_type(key, *value, "a bool");
  return decode<uint8_t>(value->data) != 0;
}

std::optional<std::vector<bool>> GgufFile::booleans(std::string_view key) const {
  const GgufValue* value = find(key);
  const bool holds = value != nullptr && value->type == GgufType::array &&
                     value->element_type == GgufType::boolean;
  if (!holds) return std::nullopt;
  std::vector<bool> bools(value->count);
  for (uint64_t i = 0; i < value->count; ++i)
    bools[i] = decode<uint8_t>(value->data + i) != 0;
  return bools;
}

std::optional<std::string_view> GgufFile::text(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::string) refuse_type(key, *value, "a string");
  return decode_text(value->data);
}

std::optional<std::vector<std::string_view>> GgufFile::texts(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::array || value->element_type != GgufType::string) {
    refuse_type(key, *value, "an array of strings");
  }
  std::vector<std::string_view> texts;
  texts.reserve(value->count);
  const std::byte* data = value->data;
  for (uint64_t i = 0; i < value->count; ++i) {
    texts.push_back(decode_text(data));
    data += 8 + texts.back().size();
  }
  return texts;
}

std::optional<std::vector<double>> GgufFile::numbers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const uint32_t size = kGgufTypeBytes[static_cast<uint32_t>(value->element_type)];
  const bool has_numbers = size != 0 && value->element_type != GgufType::boolean;
  if (value->type != GgufType::array || !has_numbers)
    refuse_type(key, *value, "an array of numbers");
  std::vector<double> numbers(value->count);
  for (uint64_t i = 0; i < value->count; ++i) {
    numbers[i] = *decode_number(value->element_type, value->data + i * size);
  }
  return numbers;
}

}  // namespace nbl::compiler
