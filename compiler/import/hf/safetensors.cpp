#include "compiler/import/hf/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <span>

#include "compiler/import/byte_reader.h"
#include "compiler/import/hf/json_file.h"
#include "rt/base/checked.h"

namespace nbl::compiler::hf {
namespace {

struct TypeFacts {
  DataType type;
  std::string_view name;
  uint32_t bytes;
};
constexpr TypeFacts kTypes[] = {
    {DataType::boolean, "BOOL", 1},    {DataType::u8, "U8", 1},           {DataType::i8, "I8", 1},
    {DataType::u16, "U16", 2},         {DataType::i16, "I16", 2},         {DataType::u32, "U32", 4},
    {DataType::i32, "I32", 4},         {DataType::u64, "U64", 8},         {DataType::i64, "I64", 8},
    {DataType::f8_e4m3, "F8_E4M3", 1}, {DataType::f8_e5m2, "F8_E5M2", 1}, {DataType::f16, "F16", 2},
    {DataType::bf16, "BF16", 2},       {DataType::f32, "F32", 4},         {DataType::f64, "F64", 8},
};

const TypeFacts& facts_of(DataType type) {
  return *std::ranges::find(kTypes, type, &TypeFacts::type);
}

// The bytes of the file in their two parts.
struct Parts {
  std::string_view header;
  std::span<const std::byte> data;
};

Parts split_file(const MappedFile& file) {
  ByteReader reader(file.path().string(), file.bytes());
  const auto length = reader.read<uint64_t>("the header's length");
  if (length > kMaxHeaderBytes) {
    throw ImportError(
        fmt::format("{}: the header would have {} bytes; a safetensors file has at most {}",
                    reader.file(), length, kMaxHeaderBytes));
  }
  const std::string_view header = reader.take_text(length, "the header");
  return {header, file.bytes().subspan(reader.position())};
}

uint64_t natural_number(const JsonField& field) {
  const int64_t value = field.integer();
  if (value < 0) field.fail(fmt::format("is {}; it must not be negative", value));
  return static_cast<uint64_t>(value);
}

DataType read_type(const JsonField& field) {
  const auto* found = std::ranges::find(kTypes, field.text(), &TypeFacts::name);
  if (found != std::end(kTypes)) return found->type;
  std::vector<std::string_view> known;
  for (const TypeFacts& facts : kTypes)
    known.push_back(facts.name);
  field.fail(fmt::format("is {}; nibble knows {}", field.text(), fmt::join(known, ", ")));
}

// The bytes of the tensor's shape.
uint64_t size_of(const SafeTensor& tensor, const JsonField& entry) {
  uint64_t size = facts_of(tensor.type).bytes;
  for (const uint64_t dimension : tensor.shape) {
    if (!checked_mul(size, dimension, &size)) {
      entry.fail(fmt::format("has shape {} of {}, which is more than 2^64 bytes",
                             tensor.shape_text(), data_type_name(tensor.type)));
    }
  }
  return size;
}

SafeTensor read_tensor(const std::string& name, const JsonField& entry,
                       std::span<const std::byte> data) {
  SafeTensor tensor;
  tensor.name = name;
  tensor.file = entry.source();
  tensor.type = read_type(entry.at("dtype"));
  for (const JsonField& dimension : entry.at("shape").elements())
    tensor.shape.push_back(natural_number(dimension));
  const std::vector<JsonField> offsets = entry.at("data_offsets").elements();
  if (offsets.size() != 2) {
    entry.fail(fmt::format("has {} data_offsets; a begin and an end are needed", offsets.size()));
  }
  const uint64_t begin = natural_number(offsets[0]);
  const uint64_t end = natural_number(offsets[1]);
  if (begin > end || end > data.size()) {
    entry.fail(fmt::format("has data_offsets [{}, {}]; the file holds {} bytes of data", begin, end,
                           data.size()));
  }
  tensor.size_bytes = size_of(tensor, entry);
  if (tensor.size_bytes != end - begin) {
    entry.fail(fmt::format("has shape {} of {}, which takes {} bytes; data_offsets give {}",
                           tensor.shape_text(), data_type_name(tensor.type), tensor.size_bytes,
                           end - begin));
  }
  tensor.data = data.data() + begin;
  return tensor;
}

}  // namespace

std::string_view data_type_name(DataType type) {
  return facts_of(type).name;
}

uint32_t data_type_bytes(DataType type) {
  return facts_of(type).bytes;
}

std::string SafeTensor::shape_text() const {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  const Parts parts = split_file(file_);
  const std::string source = path.string();
  const nlohmann::json header = parse_object(source, parts.header);
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") continue;
    const JsonField entry(source, value, fmt::format("tensor {}", name));
    tensors_.emplace(name, read_tensor(name, entry, parts.data));
  }
  check_overlaps();
}

void SafetensorsFile::check_overlaps() const {
  std::vector<const SafeTensor*> order;
  for (const auto& [name, tensor] : tensors_) {
    if (tensor.size_bytes > 0) order.push_back(&tensor);
  }
  std::ranges::sort(order, {}, &SafeTensor::data);
  for (size_t i = 1; i < order.size(); ++i) {
    const SafeTensor& before = *order[i - 1];
    if (before.data + before.size_bytes <= order[i]->data) continue;
    throw ImportError(fmt::format(
        "{}: tensors {} and {} overlap: the first has {} bytes, the "
        "second begins {} bytes after it",
        before.file, before.name, order[i]->name, before.size_bytes, order[i]->data - before.data));
  }
}

}  // namespace nbl::compiler::hf
