// --weights auto|texture|buffer and --chain auto|on|off, which every program with an engine has.
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

inline void add_chain_option(CLI::App& app, std::string& chain) {
  app.add_option("--chain", chain,
                 "Layers of a decode step in one dispatch: on = wherever the model allows,\n"
                 "off = never, auto = where the device runs work-groups side by side")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->capture_default_str();
}

inline uint32_t chain_flags(const std::string& chain) {
  if (chain == "on") return NBL_FLAG_CHAIN;
  return chain == "off" ? NBL_FLAG_NO_CHAIN : 0;
}

}  // namespace nbl::tools
