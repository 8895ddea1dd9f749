// What a checkpoint of the llama kind must hold, whatever file it came from.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/import/checkpoint.h"

namespace nbl::compiler {

// Before any list by layer is made, for files whose count is a lie told to take our memory.
//
// Errors  ImportError.
void check_layer_count(std::string_view file, uint32_t layers);

// Errors  ImportError where a hyperparameter is out of range or contradicts another.
void check_llama_hyper(std::string_view file, const Hyper& hyper);

struct TensorShape {
  std::string name;
  uint64_t rows;
  uint64_t columns;
  bool required;
};

// Every tensor by its canonical name, in the order of the layers. Names end in no ".weight"; those
// of biases end in ".bias".
std::vector<TensorShape> llama_tensor_shapes(const Hyper& hyper);

// Names the rows of a matrix that holds several: blk.N.attn_qkv becomes attn_q, attn_k and attn_v,
// and a blk.N.ffn_up of twice the rows, without an ffn_gate beside it, ffn_gate and ffn_up.
void split_fused_tensors(const Hyper& hyper, std::map<std::string, SourceTensor>* tensors);

// Errors  ImportError where a tensor is missing, has another shape or is not known, or a vector is
//         not finite.
void check_llama_tensors(std::string_view file, const Hyper& hyper,
                         const std::map<std::string, SourceTensor>& tensors);

// True for "<0xNN>" with two hexadecimal digits: the piece that stands for one byte.
bool is_byte_piece(std::string_view piece);

// Text with every ' ' turned into U+2581.
std::string with_visible_spaces(std::string_view text);

}  // namespace nbl::compiler
