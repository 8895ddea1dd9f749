// Safetensors files in memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nbl::test {

struct StoredTensor {
  std::string name;
  std::string type;  // "F32"
  std::vector<uint64_t> shape;
  std::string bytes;
};

// A header of this text, padded as writers do, and the data after it.
std::string safetensors_file(std::string_view header, std::string_view data);

// Tensors one after the other.
std::string safetensors_file(const std::vector<StoredTensor>& tensors);

// F32, F16 or BF16; *values becomes what the file holds.
StoredTensor stored_floats(std::string name, std::string type, std::vector<uint64_t> shape,
                           std::vector<float>* values);

template <typename T>
StoredTensor stored(std::string name, std::string type, std::vector<uint64_t> shape,
                    const std::vector<T>& values) {
  return {std::move(name), std::move(type), std::move(shape),
          std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T))};
}

}  // namespace nbl::test
