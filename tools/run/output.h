// Generated tokens on standard output, as nibble-run was asked to show them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tools/common/engine_session.h"
#include "tools/common/text_output.h"
#include "tools/run/options.h"

namespace nbl::tools {

// Where generated tokens go: ids or text. Throws Failure where stop texts are asked for and there
// is no text.
//
// Borrows  the options' stop texts and the engine.
class Output {
 public:
  Output(const Options& options, EngineSession& session);
  void prompt(const std::vector<uint32_t>& tokens, bool echo);
  // Shows nothing from a stop text on.
  void put(std::span<const uint32_t> tokens);
  bool stopped() const { return text_ && text_->stopped(); }
  // Where stopped(): the tokens put that are in front of the stop text.
  uint32_t kept_tokens() const { return text_->kept_tokens(); }
  void finish();

 private:
  const std::vector<std::string>& stops_;
  std::optional<IdOutput> ids_;
  std::optional<TextOutput> text_;
};

}  // namespace nbl::tools
