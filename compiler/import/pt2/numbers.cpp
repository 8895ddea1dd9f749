#include "compiler/import/pt2/numbers.h"

#include <fmt/format.h>

#include <cstring>

#include "compiler/import/half.h"

namespace nbl::compiler::pt2 {
namespace {

template <typename T>
T read(std::span<const std::byte> bytes, int64_t place) {
  const size_t at = static_cast<size_t>(place) * sizeof(T);
  if (at + sizeof(T) > bytes.size()) throw NodeError("reads a constant past its end");
  T value{};
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

}  // namespace

NumberKind number_kind(ScalarType type) {
  switch (type) {
    case ScalarType::boolean:
      return NumberKind::boolean;
    case ScalarType::uint8:
    case ScalarType::int8:
    case ScalarType::int16:
    case ScalarType::int32:
    case ScalarType::int64:
      return NumberKind::integer;
    default:
      return NumberKind::real;
  }
}

double NumberStorage::at(int64_t place) const {
  if (constant == nullptr) return values.at(static_cast<size_t>(place));
  const std::span<const std::byte> bytes = constant->bytes;
  switch (constant->meta.dtype) {
    case ScalarType::uint8:
      return read<uint8_t>(bytes, place);
    case ScalarType::int8:
      return read<int8_t>(bytes, place);
    case ScalarType::int16:
      return read<int16_t>(bytes, place);
    case ScalarType::int32:
      return read<int32_t>(bytes, place);
    case ScalarType::int64:
      return static_cast<double>(read<int64_t>(bytes, place));
    case ScalarType::float16:
      return static_cast<double>(f16_to_f32(read<uint16_t>(bytes, place)));
    case ScalarType::bfloat16:
      return static_cast<double>(bf16_to_f32(read<uint16_t>(bytes, place)));
    case ScalarType::float32:
      return static_cast<double>(read<float>(bytes, place));
    case ScalarType::float64:
      return read<double>(bytes, place);
    case ScalarType::boolean:
      return read<uint8_t>(bytes, place) != 0 ? 1 : 0;
    case ScalarType::unknown:
      break;
  }
  throw NodeError("reads a constant of an unknown type");
}

std::vector<double> Numbers::values() const {
  std::vector<double> found;
  found.reserve(static_cast<size_t>(layout.count()));
  for (const int64_t place : places(layout))
    found.push_back(at(place));
  return found;
}

double Numbers::only() const {
  if (layout.count() != 1) {
    throw NodeError(fmt::format("wants one number, not a tensor of sizes {}", text_of(dims())));
  }
  return at(layout.offset);
}

Numbers Numbers::compacted() const {
  return make_numbers(layout.dims, values(), kind);
}

Numbers make_numbers(Dims dims, std::vector<double> values, NumberKind kind) {
  auto storage = std::make_shared<NumberStorage>();
  storage->held.hold(values.size());
  storage->values = std::move(values);
  return {row_major(std::move(dims)), kind, std::move(storage)};
}

Numbers make_number(double value, NumberKind kind) {
  return make_numbers({}, {value}, kind);
}

Numbers constant_numbers(const ConstantTensor& constant) {
  auto storage = std::make_shared<NumberStorage>();
  storage->constant = &constant;
  return {row_major(constant.shape), number_kind(constant.meta.dtype), std::move(storage)};
}

}  // namespace nbl::compiler::pt2
