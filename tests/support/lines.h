// The lines of a graph's dump, for before/after tests of passes.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"

namespace nbl::test {

// The lines that contain `part`, in their order; one string each, without the end of line.
inline std::vector<std::string> lines_with(const compiler::Graph& graph, const std::string& part) {
  std::vector<std::string> found;
  std::istringstream text(compiler::dump(graph));
  for (std::string line; std::getline(text, line);) {
    if (line.find(part) != std::string::npos) found.push_back(line);
  }
  return found;
}

}  // namespace nbl::test
