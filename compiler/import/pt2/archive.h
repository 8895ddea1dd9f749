// Reads what torch.export.save of PyTorch 2.9 and later writes.
#pragma once

#include <filesystem>

#include "compiler/import/pt2/exported_program.h"

namespace nbl::compiler::pt2 {

// Whether the file starts like a zip archive; .pt2 files do, and no other model does.
bool is_archive(const std::filesystem::path& path);

// Reads the graph and every parameter, buffer and constant that it takes as an input. Tensors that
// are not contiguous are made so.
//
// Errors  ImportError with the path, the member, and the place in it, where the archive is damaged,
//         of an older format, for a big-endian machine, or not of an exported program.
ExportedProgram read_exported_program(const std::filesystem::path& path);

}  // namespace nbl::compiler::pt2
