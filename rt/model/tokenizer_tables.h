// The tables of the tokenizer as they lie in the model file.
#pragma once

#include <cstdint>
#include <string_view>

namespace nbl {

// Borrows  the model file's bytes; rt/text reads them.
struct TokenizerTables {
  uint32_t count;
  const uint8_t* pieces;
  const uint32_t* offsets;  // count + 1
  const float* scores;
  const uint8_t* types;
  const uint32_t* sorted;
  const int32_t* byte_tokens;  // 256
  int32_t bos;
  int32_t eos;
  int32_t unknown;
  bool add_bos;
  bool add_space_prefix;

  std::string_view piece(uint32_t id) const {
    return {reinterpret_cast<const char*>(pieces) + offsets[id], offsets[id + 1] - offsets[id]};
  }
};

}  // namespace nbl
