// Could break: the runtime's binary search meets pieces in another order than it compares in.
#include "compiler/emit/tokenizer_tables.h"

#include <gtest/gtest.h>

#include "compiler/error.h"
#include "compiler/import/gguf_writer.h"
#include "rt/text/check.h"
#include "tests/support/compiled.h"
#include "tests/support/small_llama.h"

namespace nbl::compiler {
namespace {

TokenizerData vocabulary() {
  return {.pieces = {"<unk>", "<s>", "<0x41>", "\xe2\x96\x81", "b", "a", "ab", "a", "<0xff>"},
          .scores = std::vector<float>(9, 0.0f),
          .types = {3, 1, 2, 0, 0, 0, 0, 0, 2}};
}

TEST(TokenizerTables, sorts_by_unsigned_bytes_then_id) {
  const TokenizerVectors tables = tokenizer_vectors(vocabulary());
  EXPECT_EQ(tables.sorted, (std::vector<uint32_t>{2, 8, 1, 0, 5, 7, 6, 4, 3}));
}

TEST(TokenizerTables, puts_the_pieces_one_after_the_other) {
  const TokenizerData data = vocabulary();
  const TokenizerVectors tables = tokenizer_vectors(data);
  ASSERT_EQ(tables.offsets.size(), data.pieces.size() + 1);
  for (size_t id = 0; id < data.pieces.size(); ++id) {
    EXPECT_EQ(std::string(tables.pieces.begin() + tables.offsets[id],
                          tables.pieces.begin() + tables.offsets[id + 1]),
              data.pieces[id]);
  }
}

TEST(TokenizerTables, finds_the_byte_tokens) {
  const TokenizerVectors tables = tokenizer_vectors(vocabulary());
  for (int byte = 0; byte < 256; ++byte) {
    const int32_t expected = byte == 0x41 ? 2 : byte == 0xff ? 8 : -1;
    EXPECT_EQ(tables.byte_tokens[static_cast<size_t>(byte)], expected);
  }
}

TEST(TokenizerTables, refuses_a_byte_piece_that_names_no_byte) {
  TokenizerData data = vocabulary();
  for (const char* piece : {"<0x4>", "<0xG1>", "0x41", "<0x411>"}) {
    data.pieces[2] = piece;
    EXPECT_THROW(tokenizer_vectors(data), CompileError) << piece;
  }
}

}  // namespace
// A vocabulary that cannot write every text is refused by every device.
TEST(TokenizerTables, are_checked_before_a_model_is_written) {
  compiler::Checkpoint checkpoint = test::small_llama({.layers = 1, .vocab = 300});
  checkpoint.tokenizer = compiler::synthetic_vocabulary(300);
  EXPECT_NO_THROW(test::build_model(checkpoint));
  checkpoint.tokenizer->unknown = -1;
  checkpoint.tokenizer->types[3] = kPieceNormal;
  EXPECT_THROW(test::build_model(checkpoint), compiler::CompileError);
}

}  // namespace nbl::compiler
