// What a llama-shaped checkpoint must hold, whatever file it came from.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/import/checkpoint.h"

namespace nbl::compiler {

// Errors  ImportError where a hyperparameter is out of range or contradicts another.
void check_llama_hyper(std::string_view file, const Hyper& hyper);

// The frequencies of plain RoPE: theta^(-2i/R) for i in [0, R/2).
std::vector<double> rope_frequencies(double theta, uint32_t rotary_dim);

struct TensorShape {
  std::string name;
  uint64_t rows;
  uint64_t columns;
  bool required;
};

// Every tensor by its canonical name, in the order of the layers.
std::vector<TensorShape> llama_tensor_shapes(const Hyper& hyper);

// Errors  ImportError where a tensor is missing, has another shape or is not known, or a norm is
//         not finite.
void check_llama_tensors(std::string_view file, const Hyper& hyper,
                         const std::map<std::string, SourceTensor>& tensors);

// True for "<0xNN>" with two hexadecimal digits: the piece that stands for one byte.
bool is_byte_piece(std::string_view piece);

// Text with every ' ' turned into U+2581.
std::string with_visible_spaces(std::string_view text);

}  // namespace nbl::compiler
