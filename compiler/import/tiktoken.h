// Vocabularies as tiktoken keeps them: a line a token, its bytes in base64 and its rank.
#pragma once

#include "compiler/import/checkpoint.h"
#include "compiler/import/mapped_file.h"

namespace nbl::compiler {

// True where the first line is base64 and a number.
bool is_tiktoken(const MappedFile& file);

// Ids are the ranks. The file does not say how texts are split nor which control tokens follow: one
// of 128000 ranks is taken for Llama 3's, whose 256 control tokens are added.
//
// Errors  ImportError; vocabularies of another size are refused.
TokenizerData import_tiktoken(const MappedFile& file);

}  // namespace nbl::compiler
