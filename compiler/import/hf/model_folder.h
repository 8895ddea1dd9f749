// Model folders of Hugging Face: config.json, safetensors and tokenizer.json.
#pragma once

#include <filesystem>

#include "compiler/import/checkpoint.h"

namespace nbl::compiler::hf {

// Matrices keep the order of rows that transformers gives them, so RoPE turns the pairs
// (i, i + R/2). A folder without a tokenizer, or with one of a kind that the device does not have,
// gives a checkpoint without one; of the latter a warning says why.
//
// with_tokenizer  false: the folder's own is not read.
// Errors          ImportError.
Checkpoint import_model_folder(const std::filesystem::path& folder, bool with_tokenizer);

// The last part of the path, also where it ends in a slash.
std::string folder_name(const std::filesystem::path& folder);

}  // namespace nbl::compiler::hf
