// A GGUF checkpoint that may lie in several files: NAME-00001-of-0000N.gguf and so on.
//
// Layout  every part is a GGUF file with keys split.no (from 0), split.count and
//         split.tensors.count, the tensors of all parts; only the first has the other keys.
#pragma once

#include <memory>
#include <vector>

#include "compiler/import/gguf_file.h"

namespace nbl::compiler {

struct GgufPart {
  std::shared_ptr<const MappedFile> mapping;
  GgufFile file;
};

// `first` and the parts that belong to it, in order; one where it is whole.
//
// Errors  ImportError: it is no first part, a part is missing or of another checkpoint, or tensors
//         are missing or there twice.
std::vector<GgufPart> open_gguf(std::shared_ptr<const MappedFile> first);

}  // namespace nbl::compiler
