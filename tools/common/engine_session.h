// An engine together with the memory it runs in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rt/nibble.hpp"

namespace nbl::tools {

// Asks nbl_memory_needed(), allocates exactly that and opens the engine in it.
//
// Borrows  config.model, until the session ends.
// Errors   Failure with the runtime's sentence, here and in every method.
class EngineSession {
 public:
  explicit EngineSession(nbl_config config);

  nibble::Engine& engine() { return engine_; }
  const nbl_memory& needed() const { return needed_; }
  double open_seconds() const { return open_seconds_; }  // that nbl_open() took

  // Token ids of `text`; by default BOS in front where the model has one and wants it.
  //
  // Units  flags: NBL_TOKENIZE_*.
  std::vector<uint32_t> tokenize(std::string_view text, uint32_t flags = NBL_TOKENIZE_BOS);

 private:
  struct Free {
    void operator()(void* block) const { std::free(block); }
  };
  using Block = std::unique_ptr<void, Free>;
  static Block allocate(uint64_t size_bytes);

  nbl_memory needed_ = {};
  double open_seconds_ = 0;
  Block arena_;  // declared before the engine that lives in it: destroyed after it
  nibble::Engine engine_;
};

// Lines for people: what the engine takes, by role.
std::string describe_memory(const nbl_info& info);

}  // namespace nbl::tools
