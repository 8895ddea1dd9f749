// A model file for the host's commands.
#pragma once

#include "compiler/import/mapped_file.h"
#include "rt/model/model.h"

namespace nbl::compiler {

// Borrows  the file, while the model is in use.
// Errors   CompileError: it is no model, or a damaged one.
Model open_model(const MappedFile& file);

// True where the file begins as a model does.
bool is_model(const MappedFile& file);

}  // namespace nbl::compiler
