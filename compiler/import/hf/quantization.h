// Weights that a model folder holds in 4 bits: which layouts nibble takes over bit for bit.
//
// All that it takes are value = q * scale with q in -8..7 and scales along the rows, which is how
// the model file has them. Other grids are refused: quantizing a second time would cost accuracy
// that nobody asked for.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/import/hf/safetensors.h"
#include "compiler/import/json_field.h"
#include "compiler/quantize/q4_rows.h"

namespace nbl::compiler::hf {

enum class Packing : uint8_t { gptq, compressed_tensors, torchao };

// What quantization_config says of all layers.
struct Quantization {
  Packing packing = Packing::gptq;
  // Of the groups along K; 0 = a whole row. Empty: the tensors alone say.
  std::vector<uint32_t> group_sizes;
  bool sorts_columns = false;      // act-order: each layer says which group a column is in
  bool zero_points_plain = false;  // gptq_v2: stored as they are, not less one
};

// Errors  ImportError: a method, bit width or grid that is not taken over; the sentence says why.
Quantization read_quantization(const JsonField& config, std::vector<std::string>* warnings);

// The tensors of one layer by their last name: "qweight", "scales", ...
using Parameters = std::map<std::string, const SafeTensor*, std::less<>>;

// Whether one of the parameters holds packed weights.
bool is_packed(const Parameters& parameters);

// The rows of a layer, in the order and on the grid of the file. Takes what it reads out of
// *parameters.
//
// Errors  ImportError: a tensor is missing, has another type or shape than the layout asks for, or
//         zero points or an order of columns that the grid does not have.
Q4Rows read_packed(const Quantization& quantization, const std::string& layer,
                   Parameters* parameters);

}  // namespace nbl::compiler::hf
