// The texts of boards/<name>/board.json, which the build puts into the program.
#pragma once

#include <span>

namespace nbl {

struct BoardFile {
  const char* path;  // for errors
  const char* text;
};

// The floor first, then by name.
std::span<const BoardFile> board_files();

}  // namespace nbl
