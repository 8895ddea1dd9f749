// The rows of --logits.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "rt/nibble.hpp"

namespace nbl::tools {

// Writes rows of logits as they come: float32, little-endian, [rows][vocabulary].
//
// Borrows  the engine.
class LogitsFile {
 public:
  LogitsFile(const std::string& path, nibble::Engine& engine);
  // The rows of the last evaluation or step.
  void append();
  void finish();

 private:
  [[noreturn]] void fail();

  std::string path_;
  nibble::Engine& engine_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  std::vector<float> rows_;
  uint32_t vocab_size_ = 0;
};

}  // namespace nbl::tools
