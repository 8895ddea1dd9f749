// What people see of a checkpoint's network: entries of the model file's metadata, which `nibblec
// inspect` shows.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "compiler/import/checkpoint.h"

namespace nbl::compiler {

// The sizes, then whatever differs from plain llama.
std::vector<std::pair<std::string, std::string>> describe_network(const Hyper& hyper);

// "512 positions, all in layers 5, 11", counted from 0; "none" where no layer has a window.
std::string describe_windows(const Hyper& hyper);

}  // namespace nbl::compiler
