#include "tests/support/safetensors_writer.h"

#include <bit>

#include "tests/support/q4.h"

namespace nbl::test {
namespace {

template <typename T>
void append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string list_of(const std::vector<uint64_t>& numbers) {
  std::string text;
  for (const uint64_t number : numbers)
    text += (text.empty() ? "" : ",") + std::to_string(number);
  return "[" + text + "]";
}

}  // namespace

std::string safetensors_file(std::string_view header, std::string_view data) {
  std::string padded(header);
  padded.resize((padded.size() + 7) / 8 * 8, ' ');
  std::string file;
  append(&file, uint64_t{padded.size()});
  file += padded;
  file += data;
  return file;
}

std::string safetensors_file(const std::vector<StoredTensor>& tensors) {
  std::string header = R"({"__metadata__":{"format":"pt"})";
  std::string data;
  for (const StoredTensor& tensor : tensors) {
    const uint64_t end = data.size() + tensor.bytes.size();
    header += ",\"" + tensor.name + "\":{\"dtype\":\"" + tensor.type +
              "\",\"shape\":" + list_of(tensor.shape) +
              ",\"data_offsets\":" + list_of({data.size(), end}) + "}";
    data += tensor.bytes;
  }
  return safetensors_file(header + "}", data);
}

StoredTensor stored_floats(std::string name, std::string type, std::vector<uint64_t> shape,
                           std::vector<float>* values) {
  StoredTensor tensor{std::move(name), std::move(type), std::move(shape), ""};
  for (float& value : *values) {
    if (tensor.type == "F32") {
      append(&tensor.bytes, value);
    } else if (tensor.type == "F16") {
      append(&tensor.bytes, f32_to_f16(value));
      value = f16_to_f32(f32_to_f16(value));
    } else {
      const uint32_t bits = std::bit_cast<uint32_t>(value) & 0xffff0000u;
      append(&tensor.bytes, static_cast<uint16_t>(bits >> 16));
      value = std::bit_cast<float>(bits);
    }
  }
  return tensor;
}

}  // namespace nbl::test
