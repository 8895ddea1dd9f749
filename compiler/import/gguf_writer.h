// Writes GGUF version 3 headers: what tools/make_checkpoint and the tests build checkpoints with.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/import/checkpoint.h"
#include "compiler/import/gguf_format.h"

namespace nbl::compiler {

// Collects keys and tensor entries. The file is header(), then the data of every tensor in the
// order of the calls, each followed by zeros up to a multiple of 32 bytes (padding_after).
class GgufWriter {
 public:
  void add_u32(std::string_view key, uint32_t value);
  void add_f32(std::string_view key, float value);
  void add_bool(std::string_view key, bool value);
  void add_text(std::string_view key, std::string_view value);
  void add_texts(std::string_view key, const std::vector<std::string>& values);
  void add_floats(std::string_view key, const std::vector<float>& values);
  void add_ints(std::string_view key, const std::vector<int32_t>& values);

  // architecture, name, sizes, eps and RoPE's base and dimension, as keys of the architecture. What
  // else Hyper says is not written.
  void add_hyper(const Hyper& hyper);
  void add_tokenizer(const TokenizerData& tokenizer);

  // Shapes  rank 1 where rows is 1, else [rows, columns].
  void add_tensor(std::string_view name, SourceType type, uint64_t rows, uint64_t columns);

  // All that lies before the first tensor's data.
  std::string header() const;

  static uint64_t padding_after(uint64_t size_bytes) {
    return (kGgufDefaultAlignment - size_bytes % kGgufDefaultAlignment) % kGgufDefaultAlignment;
  }

 private:
  void add_key(std::string_view key, GgufType type);
  void add_array(std::string_view key, GgufType element_type, size_t count);

  std::string keys_;
  std::string tensors_;
  uint64_t key_count_ = 0;
  uint64_t tensor_count_ = 0;
  uint64_t data_bytes_ = 0;
};

// A SentencePiece-style vocabulary that can write any text: unknown, begin, end, the 256 bytes,
// U+2581 and printable ASCII, then ever longer runs of lower-case letters, each of which is an
// earlier piece and one letter more, so that every piece can be reached by merges.
//
// Shapes  exactly `count` pieces; fewer than 354 leave out some of the above.
TokenizerData synthetic_vocabulary(uint32_t count);

}  // namespace nbl::compiler
