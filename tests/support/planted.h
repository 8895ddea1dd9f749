// Numbers that are none, put into the weights of a finished model file.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "tests/support/hostile_file.h"

namespace nbl::test {

inline constexpr uint32_t kNanBits = 0x7fc00000;
inline constexpr uint32_t kInfinityBits = 0x7f800000;

class PlantedFile {
 public:
  explicit PlantedFile(const AlignedBytes& good) : file_(good) {
    if (const std::string text = file_.load_error(); !text.empty()) throw std::runtime_error(text);
  }

  const Model& model() const { return file_.model(); }
  std::span<const std::byte> bytes() { return file_.bytes(); }

  // Tensors that hold numbers of their own.
  bool is_weight(uint32_t tensor) const {
    const Tensor t = model().tensor(tensor);
    return t.role == Role::weight && (t.scales >= 0 || (t.data >= 0 && t.dtype == DType::f32));
  }

  // Element `index` of a weight in float32, or of the scales of a quantized one. Of f16 elements
  // an infinity or a NaN is the one of that type.
  void plant(uint32_t tensor, size_t index, uint32_t float_bits) {
    const Tensor t = model().tensor(tensor);
    const bool scaled = t.scales >= 0;
    const auto segment = static_cast<uint32_t>(scaled ? t.scales : t.data);
    auto* const at = const_cast<std::byte*>(model().segment_bytes(segment).data());
    if (scaled && !t.f32_scales) {
      const auto half = static_cast<uint16_t>(float_bits == kNanBits ? 0x7e00 : 0x7c00);
      std::memcpy(at + 2 * index, &half, sizeof half);
    } else {
      std::memcpy(at + 4 * index, &float_bits, sizeof float_bits);
    }
  }

  // Every scale of a row.
  void plant_row(uint32_t tensor, uint32_t row, uint32_t float_bits) {
    const Tensor t = model().tensor(tensor);
    const uint32_t groups = t.columns() / t.group_size;
    const bool tiled = t.layout == Layout::q4_t16k8 || t.layout == Layout::q8_t16k4;
    for (uint32_t group = 0; group < groups; ++group) {
      plant(tensor,
            tiled ? size_t{16} * (row / 16 * groups + group) + row % 16
                  : size_t{row} * groups + group,
            float_bits);
    }
  }

  // Multiplies a weight in float32.
  void multiply(uint32_t tensor, float factor) {
    const Tensor t = model().tensor(tensor);
    auto* const at =
        const_cast<std::byte*>(model().segment_bytes(static_cast<uint32_t>(t.data)).data());
    for (uint32_t i = 0; i < t.columns(); ++i) {
      float value = 0;
      std::memcpy(&value, at + 4 * i, sizeof value);
      value *= factor;
      std::memcpy(at + 4 * i, &value, sizeof value);
    }
  }

  uint32_t find(std::string_view name) const {
    for (uint32_t i = 0; i < model().tensor_count(); ++i)
      if (model().tensor(i).name == name) return i;
    throw std::runtime_error("there is no tensor " + std::string(name));
  }

 private:
  HostileFile file_;
};

}  // namespace nbl::test
