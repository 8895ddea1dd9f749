// The vocabulary of a model folder: tokenizer.json and what tokenizer_config.json adds, or
// SentencePiece's tokenizer.model.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "compiler/import/checkpoint.h"

namespace nbl::compiler::hf {

// The ids that the model's configuration names; -1 = none.
struct SpecialIds {
  int32_t bos = -1;
  int32_t eos = -1;
};

// Whether the folder has a file that read_tokenizer_folder() reads.
bool has_tokenizer(const std::filesystem::path& folder);

// Errors  ImportError: no vocabulary, or one that the device cannot use.
TokenizerData read_tokenizer_folder(const std::filesystem::path& folder, const SpecialIds& ids,
                                    std::vector<std::string>* warnings);

// The same for tokenizer.json alone, with tokenizer_config.json if that lies beside it.
TokenizerData read_tokenizer_file(const std::filesystem::path& path, const SpecialIds& ids,
                                  std::vector<std::string>* warnings);

// Gives the vocabulary as many pieces as the model has tokens: embeddings are often padded, and
// some vocabularies have tokens for pictures that a language model lacks.
//
// Errors  ImportError: a piece that texts are made of has no token.
void fit_vocabulary(uint32_t vocab, TokenizerData* data, std::vector<std::string>* warnings);

// Tokens that end a text or turn: the one that ends a text and those known by their name.
std::vector<uint32_t> tokenizer_stops(const TokenizerData& data);

}  // namespace nbl::compiler::hf
