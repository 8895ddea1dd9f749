// Generated tokens on standard output, as nibble-run was asked to show them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tools/common/engine_session.h"
#include "tools/common/text_output.h"
#include "tools/run/options.h"

namespace nbl::tools {

// Where generated tokens go: ids or text.
class Output {
 public:
  Output(const Options& options, EngineSession& session);
  void prompt(const std::vector<uint32_t>& tokens, bool echo);
  void put(std::span<const uint32_t> tokens);
  void finish();

 private:
  std::optional<IdOutput> ids_;
  std::optional<TextOutput> text_;
};

}  // namespace nbl::tools
