// Generated tokens on their way to standard output.
#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rt/nibble.hpp"

namespace nbl::tools {

// Writes tokens as text, whole UTF-8 characters only, flushed after every put().
//
// Borrows  the engine and the stream.
class TextOutput {
 public:
  TextOutput(nibble::Engine& engine, std::FILE* stream)
      : engine_(engine),
        stream_(stream),
        piece_(engine.max_piece_bytes() + 4),
        shown_(piece_.size() + NBL_MAX_STOP_BYTES) {}

  void put(std::span<const uint32_t> tokens);
  // From now on the text ends in front of the first of these. Borrows them.
  void stop_at(const std::vector<std::string>& texts);
  bool stopped() const { return stops_.found(); }
  // Of those put since stop_at(): the tokens in front of the stop text.
  uint32_t kept_tokens() const { return stops_.state().keep_tokens; }
  // Decodes without writing, so that what follows is spelled as a continuation.
  void skip(std::span<const uint32_t> tokens);
  // Writes what is left of an incomplete character, and a newline.
  void finish();

 private:
  void decode(uint32_t token, bool write);
  // Writes what no stop text begins with.
  void write(std::string_view text);

  nibble::Engine& engine_;
  std::FILE* stream_;
  std::vector<char> piece_;
  std::vector<char> shown_;
  nbl_decoder decoder_ = {};
  nibble::StopTexts stops_;
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
