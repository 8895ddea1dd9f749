#include "compiler/import/pt2/payload.h"

#include <fmt/format.h>

#include <cstring>
#include <optional>
#include <utility>

#include "compiler/import/pt2/schema_json.h"

namespace nbl::compiler::pt2 {
namespace {

constexpr int64_t kStrided = 7;  // of the file's Layout
constexpr size_t kMaxRank = 8;
// What repeated views (stride 0), which are larger than their storage, may take together.
constexpr uint64_t kMaxCopyBytes = uint64_t{64} << 20;

// How a tensor lies in its storage, in elements.
struct Geometry {
  ScalarType dtype = ScalarType::unknown;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
  int64_t offset = 0;
  uint64_t count = 1;   // elements
  uint64_t extent = 0;  // of the storage up to the last one
  bool contiguous = true;
};

// a * b + c, or nothing where that is more than int64 holds; none is negative.
std::optional<uint64_t> multiply_add(uint64_t a, uint64_t b, uint64_t c) {
  uint64_t product = 0;
  uint64_t sum = 0;
  if (__builtin_mul_overflow(a, b, &product) || __builtin_add_overflow(product, c, &sum) ||
      sum > static_cast<uint64_t>(INT64_MAX)) {
    return std::nullopt;
  }
  return sum;
}

int64_t known_size(const JsonField& field) {
  const SymInt size = sym_int_of(field);
  if (size.symbolic() || size.value < 0) field.fail("is not a number from 0 up");
  return size.value;
}

Geometry geometry_of(const JsonField& meta) {
  Geometry result;
  result.dtype = scalar_type_of(meta.at("dtype"));
  if (result.dtype == ScalarType::unknown) {
    meta.at("dtype").fail(fmt::format(
        "is {}, which is none of uint8, int8, int16, int32, int64, float16, float32, float64, "
        "bfloat16 and bool",
        meta.at("dtype").integer()));
  }
  if (meta.has("layout") && meta.at("layout").integer() != kStrided) {
    meta.at("layout").fail("is not strided");
  }
  for (const JsonField& size : meta.at("sizes").elements())
    result.shape.push_back(known_size(size));
  for (const JsonField& stride : meta.at("strides").elements())
    result.strides.push_back(known_size(stride));
  if (result.shape.size() != result.strides.size() || result.shape.size() > kMaxRank) {
    meta.fail(fmt::format("has {} sizes and {} strides, the most is {}", result.shape.size(),
                          result.strides.size(), kMaxRank));
  }
  result.offset = known_size(meta.at("storage_offset"));
  for (const int64_t size : result.shape) {
    const auto count = multiply_add(result.count, static_cast<uint64_t>(size), 0);
    if (!count) meta.fail("has sizes whose product is too large");
    result.count = *count;
  }
  if (result.count == 0) return result;
  result.extent = static_cast<uint64_t>(result.offset) + 1;
  int64_t next = 1;
  for (size_t i = result.shape.size(); i-- > 0;) {
    const auto extent = multiply_add(static_cast<uint64_t>(result.shape[i] - 1),
                                     static_cast<uint64_t>(result.strides[i]), result.extent);
    if (!extent) meta.fail("has strides that reach too far");
    result.extent = *extent;
    if (result.shape[i] == 1) result.strides[i] = 0;  // nobody steps there
    if (result.shape[i] != 1 && result.strides[i] != next) result.contiguous = false;
    next *= result.shape[i];
  }
  return result;
}

std::vector<std::byte> contiguous_copy(const std::vector<std::byte>& storage, const Geometry& g,
                                       size_t element_bytes) {
  std::vector<std::byte> copy(g.count * element_bytes);
  std::vector<int64_t> index(g.shape.size(), 0);
  int64_t from = g.offset;
  for (size_t i = 0; i < g.count; ++i) {
    std::memcpy(copy.data() + i * element_bytes,
                storage.data() + static_cast<size_t>(from) * element_bytes, element_bytes);
    for (size_t d = g.shape.size(); d-- > 0;) {
      from += g.strides[d];
      if (++index[d] < g.shape[d]) break;
      from -= g.strides[d] * g.shape[d];
      index[d] = 0;
    }
  }
  return copy;
}

std::string key_of(const std::string& member, const Geometry& g) {
  std::string key = fmt::format("{} {} {}", member, static_cast<int>(g.dtype), g.offset);
  for (size_t i = 0; i < g.shape.size(); ++i)
    key += fmt::format(" {}:{}", g.shape[i], g.strides[i]);
  return key;
}

}  // namespace

Payload::Payload(const ZipFile& archive, std::string folder, const JsonField& config)
    : archive_(&archive), folder_(std::move(folder)) {
  for (auto& [name, entry] : config.at("config").members())
    entries_.emplace(name, std::move(entry));
}

ConstantTensor Payload::tensor(const std::string& name, PayloadStorage* storage) const {
  const JsonField& entry = entries_.at(name);
  if (entry.at("use_pickle").flag()) {
    entry.fail(
        "is pickled, as tensor subclasses are; make it plain tensors before the export "
        "(torchao: unwrap_tensor_subclass(model))");
  }
  const JsonField meta = entry.at("tensor_meta");
  const Geometry geometry = geometry_of(meta);
  const std::string member = folder_ + entry.at("path_name").text();
  auto found = storage->members.find(member);
  if (found == storage->members.end()) {
    found = storage->members.emplace(member, archive_->read(member)).first;
  }
  const std::vector<std::byte>& bytes = found->second;
  const size_t element_bytes = scalar_type_bytes(geometry.dtype);
  if (geometry.extent > bytes.size() / element_bytes) {
    entry.fail(fmt::format("needs {} elements of {}, {} has {} bytes", geometry.extent,
                           scalar_type_name(geometry.dtype), member, bytes.size()));
  }

  ConstantTensor result;
  result.meta = tensor_meta_of(meta);
  result.shape = geometry.shape;
  if (geometry.count == 0) return result;
  const size_t wanted = geometry.count * element_bytes;
  if (geometry.contiguous) {
    const size_t offset = static_cast<size_t>(geometry.offset) * element_bytes;
    result.bytes = std::span(bytes).subspan(offset, wanted);
    return result;
  }
  std::vector<std::byte>& copy = storage->copies[key_of(member, geometry)];
  if (copy.empty()) {
    if (geometry.count > bytes.size() / element_bytes) {
      if (wanted > kMaxCopyBytes - storage->repeated_bytes) {
        entry.fail(fmt::format("repeats its {} bytes to {}; all that do may take {}", bytes.size(),
                               wanted, kMaxCopyBytes));
      }
      storage->repeated_bytes += wanted;
    }
    copy = contiguous_copy(bytes, geometry, element_bytes);
  }
  result.bytes = copy;
  return result;
}

}  // namespace nbl::compiler::pt2
