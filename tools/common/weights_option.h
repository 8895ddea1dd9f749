// --weights auto|texture|buffer, which every program with an engine has.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "rt/nibble.h"

namespace nbl::tools {

inline void add_weights_option(CLI::App& app, std::string& weights) {
  app.add_option("--weights", weights,
                 "Where 4-bit weights lie: texture = in images wherever one can hold them,\n"
                 "buffer = never, auto = in images where the device reads them faster")
      ->check(CLI::IsMember({"auto", "texture", "buffer"}))
      ->capture_default_str();
}

// NBL_FLAG_* of one of the option's values.
inline uint32_t weight_flags(const std::string& weights) {
  if (weights == "texture") return NBL_FLAG_TEXTURE_WEIGHTS;
  return weights == "buffer" ? NBL_FLAG_BUFFER_WEIGHTS : 0;
}

}  // namespace nbl::tools
