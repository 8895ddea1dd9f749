// Runs one command: what it does to memory, and what it tells the hazard checker.
#pragma once

#include "boards/fake/driver.h"

namespace nbl::fake {

void execute(Driver& driver, const Command& command);

// What a command touches, for the hazard checker.
std::vector<Touch> touches_of(const Driver& driver, const Command& command);

// A dispatch as stand-ins see it.
Dispatch view_of(const Command& command);

}  // namespace nbl::fake
