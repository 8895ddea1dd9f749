// The keys of a GGUF file that say what network it holds.
#pragma once

#include <map>
#include <string>

#include "compiler/import/checkpoint.h"
#include "compiler/import/gguf_file.h"

namespace nbl::compiler {

// Everything but RoPE. `embedding` is the entry of token_embd.weight, in whatever part it lies;
// null where there is none.
//
// Errors  ImportError: an architecture that nibble does not know, a key that is missing, of another
//         type or out of range, or one that changes the network in a way that nibble does not know.
Hyper read_gguf_hyper(const GgufFile& file, const GgufTensor* embedding);

// RoPE's numbers, from the keys and from the tensors that hold factors of frequencies, which are
// taken out of `tensors`. Then hyper is whole and checked.
//
// Errors  ImportError.
void read_gguf_rope(const GgufFile& file, std::map<std::string, SourceTensor>* tensors,
                    Hyper* hyper);

}  // namespace nbl::compiler
