// The layouts of packed weights.
//
// Source   gptq: AutoGPTQ's QuantLinear; compressed_tensors: its pack_to_int32; torchao: its
//          IntxUnpackedToInt8Tensor.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "compiler/import/checkpoint.h"
#include "compiler/import/half.h"
#include "compiler/import/hf/quantization.h"
#include "rt/base/checked.h"
#include "rt/base/limits.h"

namespace nbl::compiler::hf {
namespace {

constexpr uint32_t kPerWord = 8;  // 4-bit values in 32 bits, the first in the lowest
constexpr int kZeroPoint = 8;     // of unsigned 4-bit values on a symmetric grid

[[noreturn]] void refuse(const SafeTensor& tensor, const std::string& what) {
  throw ImportError(fmt::format("{}: tensor {} {}", tensor.file, tensor.name, what));
}

const SafeTensor& take(const std::string& layer, std::string_view name, Parameters* parameters) {
  const auto found = parameters->find(name);
  if (found == parameters->end()) {
    const std::string file = parameters->empty() ? "" : parameters->begin()->second->file + ": ";
    throw ImportError(fmt::format("{}tensor {}.{} is missing", file, layer, name));
  }
  const SafeTensor& tensor = *found->second;
  parameters->erase(found);
  return tensor;
}

const SafeTensor* take_if(std::string_view name, Parameters* parameters) {
  const auto found = parameters->find(name);
  if (found == parameters->end()) return nullptr;
  const SafeTensor* tensor = found->second;
  parameters->erase(found);
  return tensor;
}

void check_type(const SafeTensor& tensor, DataType type) {
  if (tensor.type == type) return;
  refuse(tensor, fmt::format("has type {}; its layout has {}", data_type_name(tensor.type),
                             data_type_name(type)));
}

void check_shape(const SafeTensor& tensor, const std::vector<uint64_t>& wanted) {
  if (tensor.shape == wanted) return;
  SafeTensor other;
  other.shape = wanted;
  refuse(tensor, fmt::format("has shape {}; the other tensors of the layer ask for {}",
                             tensor.shape_text(), other.shape_text()));
}

// [rows, columns] of a matrix, each 1 to kMaxDim.
std::pair<uint32_t, uint32_t> matrix_shape(const SafeTensor& tensor) {
  const auto is_size = [](uint64_t size) { return size >= 1 && size <= kMaxDim; };
  if (tensor.shape.size() != 2 || !std::ranges::all_of(tensor.shape, is_size)) {
    refuse(tensor, fmt::format("has shape {}; a matrix of at most {} rows and columns is needed",
                               tensor.shape_text(), kMaxDim));
  }
  return {static_cast<uint32_t>(tensor.shape[0]), static_cast<uint32_t>(tensor.shape[1])};
}

template <typename T>
T element(const SafeTensor& tensor, uint64_t index) {
  T value;
  std::memcpy(&value, tensor.data + index * sizeof value, sizeof value);
  return value;
}

float number(const SafeTensor& tensor, uint64_t index) {
  switch (tensor.type) {
    case DataType::f32:
      return element<float>(tensor, index);
    case DataType::f16:
      return f16_to_f32(element<uint16_t>(tensor, index));
    case DataType::bf16:
      return bf16_to_f32(element<uint16_t>(tensor, index));
    default:
      refuse(tensor,
             fmt::format("has type {}; scales are F32, F16 or BF16", data_type_name(tensor.type)));
  }
}

int64_t integer(const SafeTensor& tensor, uint64_t index) {
  switch (tensor.type) {
    case DataType::i8:
      return element<int8_t>(tensor, index);
    case DataType::i32:
      return element<int32_t>(tensor, index);
    case DataType::i64:
      return element<int64_t>(tensor, index);
    default:
      refuse(tensor,
             fmt::format("has type {}; I8, I32 or I64 is needed", data_type_name(tensor.type)));
  }
}

int nibble_at(const SafeTensor& words, uint64_t word, uint32_t place) {
  return static_cast<int>(element<uint32_t>(words, word) >> (4 * place) & 15u);
}

Q4Rows empty_rows(const std::string& layer, uint32_t rows, uint32_t columns) {
  Q4Rows out;
  out.name = layer;
  out.rows = rows;
  out.columns = columns;
  return out;
}

// Writes the first `count` values of a word.
void unpack(uint32_t word, uint32_t count, int8_t* out) {
  for (uint32_t i = 0; i < count; ++i)
    out[i] = static_cast<int8_t>(static_cast<int>(word >> (4 * i) & 15u) - kZeroPoint);
}

// The group size of a layer with this many columns and groups.
uint32_t group_size(const Quantization& quantization, const SafeTensor& scales, uint32_t columns,
                    uint64_t groups) {
  for (const uint32_t size : quantization.group_sizes) {
    const uint32_t group = size == 0 ? columns : size;
    if (div_up(columns, group) == groups) return group;
  }
  // An exported grid that says nothing of its groups has equal ones.
  if (quantization.group_sizes.empty() && groups > 0 && columns % groups == 0) {
    return static_cast<uint32_t>(columns / groups);
  }
  refuse(scales, fmt::format("has {} groups for rows of {} weights; quantization_config asks for "
                             "others",
                             groups, columns));
}

// Columns lie in the order of their groups, unless act-order sorted them.
void check_order(const Quantization& quantization, const SafeTensor& words, const SafeTensor* order,
                 const Q4Rows& rows) {
  constexpr const char* kSorted =
      "columns are sorted by activation (act-order), where nibble has groups of neighbours";
  if (order == nullptr) {
    if (!quantization.sorts_columns) return;
    refuse(words,
           fmt::format("has no tensor beside it that says the group of each column: {}", kSorted));
  }
  check_shape(*order, {rows.columns});
  for (uint32_t k = 0; k < rows.columns; ++k) {
    if (integer(*order, k) == k / rows.group_size) continue;
    refuse(*order, fmt::format("puts column {} into group {}: {}", k, integer(*order, k), kSorted));
  }
}

void check_gptq_zeros(const Quantization& quantization, const SafeTensor& zeros, uint32_t groups,
                      uint32_t rows) {
  check_type(zeros, DataType::i32);
  const uint32_t words = div_up(rows, kPerWord);
  check_shape(zeros, {groups, words});
  // Stored less one by gptq. Files that store the zero point itself under that name exist; on a
  // symmetric grid the two cannot be confused.
  const int first = nibble_at(zeros, 0, 0);
  const bool known =
      first == kZeroPoint || (first + 1 == kZeroPoint && !quantization.zero_points_plain);
  for (uint64_t i = 0; i < uint64_t{groups} * rows; ++i) {
    const uint64_t group = i / rows;
    const auto row = static_cast<uint32_t>(i % rows);
    const int zero = nibble_at(zeros, group * words + row / kPerWord, row % kPerWord);
    if (known && zero == first) continue;
    refuse(zeros, fmt::format("has the zero point {} in group {} of row {}: its grid is not "
                              "symmetric, as that of nibble is",
                              zero, group, row));
  }
}

Q4Rows read_gptq(const Quantization& quantization, const std::string& layer,
                 Parameters* parameters) {
  const SafeTensor& words = take(layer, "qweight", parameters);
  const SafeTensor& scales = take(layer, "scales", parameters);
  const SafeTensor& zeros = take(layer, "qzeros", parameters);
  check_type(words, DataType::i32);
  const auto [word_rows, rows] = matrix_shape(words);
  if (word_rows > kMaxDim / kPerWord) refuse(words, "has too many rows");
  Q4Rows out = empty_rows(layer, rows, word_rows * kPerWord);
  const uint32_t groups = matrix_shape(scales).first;
  out.group_size = group_size(quantization, scales, out.columns, groups);
  check_shape(scales, {groups, rows});
  check_gptq_zeros(quantization, zeros, groups, rows);
  check_order(quantization, words, take_if("g_idx", parameters), out);
  out.values.resize(size_t{rows} * out.columns);
  for (uint32_t w = 0; w < word_rows; ++w) {
    for (uint32_t n = 0; n < rows; ++n) {
      const auto word = element<uint32_t>(words, uint64_t{w} * rows + n);
      unpack(word, kPerWord, &out.values[size_t{n} * out.columns + size_t{w} * kPerWord]);
    }
  }
  out.scales.resize(size_t{rows} * groups);
  for (uint64_t i = 0; i < out.scales.size(); ++i)
    out.scales[i] = number(scales, i % groups * rows + i / groups);
  return out;
}

void read_scales(const SafeTensor& scales, Q4Rows* out) {
  out->scales.resize(size_t{out->rows} * out->groups());
  for (uint64_t i = 0; i < out->scales.size(); ++i)
    out->scales[i] = number(scales, i);
}

void check_row_scales(const Quantization& quantization, const SafeTensor& scales, Q4Rows* out) {
  const uint32_t groups = matrix_shape(scales).second;
  check_shape(scales, {out->rows, groups});
  out->group_size = group_size(quantization, scales, out->columns, groups);
}

Q4Rows read_compressed(const Quantization& quantization, const std::string& layer,
                       Parameters* parameters) {
  const SafeTensor& words = take(layer, "weight_packed", parameters);
  const SafeTensor& scales = take(layer, "weight_scale", parameters);
  const SafeTensor& shape = take(layer, "weight_shape", parameters);
  if (const SafeTensor* zeros = take_if("weight_zero_point", parameters)) {
    refuse(*zeros, "is a zero point: its grid is not symmetric, as that of nibble is");
  }
  check_type(words, DataType::i32);
  const auto [rows, row_words] = matrix_shape(words);
  check_shape(shape, {2});
  const int64_t columns = integer(shape, 1);
  if (integer(shape, 0) != rows || columns < 1 || columns > kMaxDim ||
      div_up(static_cast<uint32_t>(columns), kPerWord) != row_words) {
    refuse(shape, fmt::format("says [{}, {}]; the packed weights have shape {}", integer(shape, 0),
                              columns, words.shape_text()));
  }
  Q4Rows out = empty_rows(layer, rows, static_cast<uint32_t>(columns));
  check_row_scales(quantization, scales, &out);
  check_order(quantization, words, take_if("weight_g_idx", parameters), out);
  out.values.resize(size_t{rows} * out.columns);
  for (uint32_t n = 0; n < rows; ++n) {
    for (uint32_t w = 0; w < row_words; ++w) {
      const auto word = element<uint32_t>(words, uint64_t{n} * row_words + w);
      const uint32_t first = w * kPerWord;
      unpack(word, std::min(kPerWord, out.columns - first),
             &out.values[size_t{n} * out.columns + first]);
    }
  }
  read_scales(scales, &out);
  return out;
}

void check_torchao_zeros(const SafeTensor& zeros) {
  const uint64_t count = zeros.size_bytes / data_type_bytes(zeros.type);
  const bool is_real =
      zeros.type == DataType::f32 || zeros.type == DataType::f16 || zeros.type == DataType::bf16;
  for (uint64_t i = 0; i < count; ++i) {
    const double zero =
        is_real ? static_cast<double>(number(zeros, i)) : static_cast<double>(integer(zeros, i));
    if (zero == 0) continue;
    refuse(zeros, fmt::format("has element {} = {}: its grid is not symmetric, as that of nibble "
                              "is",
                              i, zero));
  }
}

Q4Rows read_torchao(const Quantization& quantization, const std::string& layer,
                    Parameters* parameters) {
  const SafeTensor& data = take(layer, "_weight_qdata", parameters);
  if (data.type != DataType::i8) {
    refuse(data, fmt::format("has type {}; of torchao's tensors nibble takes over "
                             "IntxUnpackedToInt8Tensor, whose data is I8, as IntxWeightOnlyConfig "
                             "and Int8DynamicActivationIntxWeightConfig make it",
                             data_type_name(data.type)));
  }
  const SafeTensor& scales = take(layer, "_weight_scale", parameters);
  if (const SafeTensor* zeros = take_if("_weight_zero_point", parameters)) {
    check_torchao_zeros(*zeros);
  }
  const auto [rows, columns] = matrix_shape(data);
  Q4Rows out = empty_rows(layer, rows, columns);
  check_row_scales(quantization, scales, &out);
  out.values.resize(size_t{rows} * columns);
  std::memcpy(out.values.data(), data.data, out.values.size());
  read_scales(scales, &out);
  return out;
}

Q4Rows read_rows(const Quantization& quantization, const std::string& layer,
                 Parameters* parameters) {
  switch (quantization.packing) {
    case Packing::gptq:
      return read_gptq(quantization, layer, parameters);
    case Packing::compressed_tensors:
      return read_compressed(quantization, layer, parameters);
    case Packing::torchao:
      return read_torchao(quantization, layer, parameters);
  }
  return {};
}

}  // namespace

bool is_packed(const Parameters& parameters) {
  return parameters.contains("qweight") || parameters.contains("weight_packed") ||
         parameters.contains("_weight_qdata");
}

Q4Rows read_packed(const Quantization& quantization, const std::string& layer,
                   Parameters* parameters) {
  Q4Rows rows = read_rows(quantization, layer, parameters);
  check_q4_rows(rows);
  return rows;
}

}  // namespace nbl::compiler::hf
