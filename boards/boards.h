// Devices whose facts are known without having them at hand, so that a model can be planned for a
// board on any machine.
#pragma once

#include <span>
#include <string_view>

#include "rt/kernels/caps.h"

namespace nbl {

struct Board {
  const char* name;    // for --board
  const char* device;  // for people
  Caps caps;
};

// All boards, the floor first.
std::span<const Board> boards();

// nullptr where there is none of this name.
const Caps* find_board(std::string_view name);

}  // namespace nbl
