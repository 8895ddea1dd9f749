// The tensors of a model folder under nibble's names.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "compiler/import/hf/config.h"
#include "compiler/import/hf/tensor_folder.h"

namespace nbl::compiler::hf {

// "model.layers.3.self_attn.q_proj" -> "blk.3.attn_q"; nothing where the layer is not known. What
// stands before a layer's number ("model.", "language_model.model.") does not matter.
std::optional<std::string> canonical_name(std::string_view architecture, std::string_view module);

// The way back: "blk.3.attn_q.bias" -> "model.layers.3.self_attn.q_proj.bias". For errors.
std::string their_name(std::string_view architecture, std::string_view name);

// Fills checkpoint->tensors for checkpoint->hyper, and adds warnings.
//
// Borrows  the folder's mappings; weights that arrive quantized are held.
// Errors   ImportError: a tensor is missing, has no place in the architecture, another type or
//          shape than it needs, or is packed on a grid that is not taken over.
void read_model_tensors(const TensorFolder& folder, const ModelConfig& config,
                        Checkpoint* checkpoint);

}  // namespace nbl::compiler::hf
