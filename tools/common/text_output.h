// Generated tokens on their way to standard output.
#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <vector>

#include "rt/nibble.hpp"

namespace nbl::tools {

// Writes tokens as text, whole UTF-8 characters only, flushed after every put().
//
// Borrows  the engine and the stream.
class TextOutput {
 public:
  TextOutput(nibble::Engine& engine, std::FILE* stream)
      : engine_(engine), stream_(stream), piece_(engine.max_piece_bytes() + 4) {}

  void put(std::span<const uint32_t> tokens);
  // Decodes without writing, so that what follows is spelled as a continuation.
  void skip(std::span<const uint32_t> tokens);
  // Writes what is left of an incomplete character, and a newline.
  void finish();

 private:
  void decode(uint32_t token, bool write);

  nibble::Engine& engine_;
  std::FILE* stream_;
  std::vector<char> piece_;
  nbl_decoder decoder_ = {};
};

// Writes tokens as decimal ids, separated by spaces.
class IdOutput {
 public:
  explicit IdOutput(std::FILE* stream) : stream_(stream) {}
  void put(std::span<const uint32_t> tokens);
  void finish();

 private:
  std::FILE* stream_;
  bool first_ = true;
};

}  // namespace nbl::tools
