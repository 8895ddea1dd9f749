// Model folders whose matrices are packed in 4 bits, in the published layouts, with the values that
// they stand for.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/support/model_folder_writer.h"

namespace nbl::test {

enum class PackedAs { gptq, gptq_v2, compressed_tensors, torchao };

// A matrix on the grid -8..7 times a scale for `group` columns. Scales are of the type's own.
struct PackedMatrix {
  uint32_t rows = 0;
  uint32_t columns = 0;
  uint32_t group = 0;
  std::vector<int> q;        // [rows, columns]
  std::vector<float> scale;  // [rows, groups]

  uint32_t groups() const { return (columns + group - 1) / group; }
  std::vector<float> values() const {
    std::vector<float> out(q.size());
    for (size_t i = 0; i < q.size(); ++i) {
      const size_t row = i / columns, group_index = i % columns / group;
      out[i] = static_cast<float>(q[i]) * scale[row * groups() + group_index];
    }
    return out;
  }
};

// Rounds a matrix to the grid of its largest magnitudes.
inline PackedMatrix pack(const std::vector<float>& weights, uint32_t columns, uint32_t group,
                         const std::string& scale_type) {
  PackedMatrix m{static_cast<uint32_t>(weights.size() / columns), columns, group, {}, {}};
  m.q.resize(weights.size());
  m.scale.resize(size_t{m.rows} * m.groups());
  for (size_t i = 0; i < weights.size(); ++i) {
    float& scale = m.scale[i / columns * m.groups() + i % columns / group];
    scale = std::max(scale, std::fabs(weights[i]) / 7.5f);
  }
  stored_floats("", scale_type, {}, &m.scale);
  for (size_t i = 0; i < weights.size(); ++i) {
    const float scale = m.scale[i / columns * m.groups() + i % columns / group];
    m.q[i] = std::clamp(static_cast<int>(std::lrint(weights[i] / scale)), -8, 7);
  }
  return m;
}

// words[word] holds value(8 * word + i) + 8 at bits 4 i.
template <typename Value>
uint32_t packed_word(uint32_t word, uint32_t count, const Value& value) {
  uint32_t bits = 0;
  for (uint32_t i = 0; i < 8 && 8 * word + i < count; ++i)
    bits |= static_cast<uint32_t>(value(8 * word + i) + 8) << (4 * i);
  return bits;
}

inline std::vector<StoredTensor> packed_tensors(const std::string& module, const PackedMatrix& m,
                                                PackedAs as, const std::string& scale_type) {
  const uint32_t groups = m.groups();
  std::vector<float> scales = m.scale;
  const auto at = [&](uint32_t n, uint32_t k) { return m.q[size_t{n} * m.columns + k]; };
  if (as == PackedAs::torchao) {
    return {stored(module + "._weight_qdata", "I8", {m.rows, m.columns},
                   std::vector<int8_t>(m.q.begin(), m.q.end())),
            stored_floats(module + "._weight_scale", scale_type, {m.rows, groups}, &scales),
            stored(module + "._weight_zero_point", "I8", {m.rows, groups},
                   std::vector<int8_t>(size_t{m.rows} * groups))};
  }
  if (as == PackedAs::compressed_tensors) {
    const uint32_t row_words = (m.columns + 7) / 8;
    std::vector<uint32_t> words;
    for (uint32_t n = 0; n < m.rows; ++n) {
      for (uint32_t word = 0; word < row_words; ++word)
        words.push_back(packed_word(word, m.columns, [&](uint32_t k) { return at(n, k); }));
    }
    return {stored(module + ".weight_packed", "I32", {m.rows, row_words}, words),
            stored_floats(module + ".weight_scale", scale_type, {m.rows, groups}, &scales),
            stored(module + ".weight_shape", "I64", {2}, std::vector<int64_t>{m.rows, m.columns})};
  }
  std::vector<uint32_t> words;
  for (uint32_t word = 0; word < m.columns / 8; ++word) {
    for (uint32_t n = 0; n < m.rows; ++n)
      words.push_back(packed_word(word, m.columns, [&](uint32_t k) { return at(n, k); }));
  }
  std::vector<float> turned(scales.size());
  for (size_t i = 0; i < scales.size(); ++i)
    turned[i % groups * m.rows + i / groups] = scales[i];
  const int zero = as == PackedAs::gptq ? 7 : 8;
  std::vector<uint32_t> zeros;
  for (uint32_t g = 0; g < groups; ++g) {
    for (uint32_t word = 0; word < (m.rows + 7) / 8; ++word)
      zeros.push_back(packed_word(word, m.rows, [&](uint32_t) { return zero - 8; }));
  }
  std::vector<int32_t> order;
  for (uint32_t k = 0; k < m.columns; ++k)
    order.push_back(static_cast<int32_t>(k / m.group));
  return {stored(module + ".qweight", "I32", {m.columns / 8, m.rows}, words),
          stored_floats(module + ".scales", scale_type, {groups, m.rows}, &turned),
          stored(module + ".qzeros", "I32", {groups, (m.rows + 7) / 8}, zeros),
          stored(module + ".g_idx", "I32", {m.columns}, order)};
}

inline std::string quantization_config(PackedAs as, int group) {
  const std::string size = std::to_string(group);
  switch (as) {
    case PackedAs::torchao:
      return R"({"quant_method":"torchao","quant_type":{"default":{}}})";
    case PackedAs::compressed_tensors:
      return R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":)"
             R"({"group_0":{"targets":["Linear"],"input_activations":null,"weights":)"
             R"({"num_bits":4,"type":"int","symmetric":true,"strategy":"group","group_size":)" +
             size + "}}}}";
    default:
      return R"({"quant_method":"gptq","bits":4,"desc_act":false,"sym":true,"group_size":)" + size +
             (as == PackedAs::gptq_v2 ? R"(,"checkpoint_format":"gptq_v2"})" : "}");
  }
}

// The model with every matrix of its layers packed; its weights become what the file holds.
inline FolderModel packed_model(FolderModel model, PackedAs as, uint32_t group,
                                const std::string& scale_type) {
  model.config["quantization_config"] = quantization_config(as, static_cast<int>(group));
  std::vector<StoredTensor> tensors;
  for (const StoredTensor& tensor : model.tensors) {
    const bool in_layer = tensor.name.find(".layers.") != std::string::npos;
    if (!in_layer || tensor.shape.size() != 2) {
      tensors.push_back(tensor);
      continue;
    }
    const auto columns = static_cast<uint32_t>(tensor.shape[1]);
    const PackedMatrix matrix = pack(model.weights.at(tensor.name), columns, group, scale_type);
    model.weights.at(tensor.name) = matrix.values();
    const std::string module = tensor.name.substr(0, tensor.name.rfind('.'));
    for (StoredTensor& part : packed_tensors(module, matrix, as, scale_type))
      tensors.push_back(std::move(part));
  }
  model.tensors = std::move(tensors);
  return model;
}

}  // namespace nbl::test
