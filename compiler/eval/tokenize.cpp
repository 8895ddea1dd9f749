#include "compiler/eval/tokenize.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>

#include "compiler/emit/tokenizer_tables.h"
#include "compiler/error.h"
#include "rt/text/encode.h"

namespace nbl::compiler {

std::vector<uint32_t> tokenize(const TokenizerTables& tables, std::string_view text,
                               EncodeOptions options) {
  if (text.size() > kMaxTextBytes) {
    throw CompileError(fmt::format("the text has {} bytes; at most {} are tokenized at once",
                                   text.size(), kMaxTextBytes));
  }
  std::vector<std::byte> scratch(encode_scratch_bytes(text.size()));
  // BOS, a space in front, and the bytes of U+2581 for every other one bound the number of ids.
  std::vector<uint32_t> ids(3 * text.size() + 5);
  size_t count = 0;
  Error error;
  if (!encode(tables, text, options, scratch, ids, &count, &error).ok()) {
    char sentence[256];
    describe(error, sentence, sizeof sentence);
    throw CompileError(sentence);
  }
  ids.resize(count);
  return ids;
}

std::vector<uint32_t> tokenize(const TokenizerData& tokenizer, std::string_view text) {
  const TokenizerVectors vectors = tokenizer_vectors(tokenizer);
  return tokenize(checked_tables(tokenizer, vectors), text, {});
}

std::vector<uint32_t> tokenize_file(const Checkpoint& checkpoint,
                                    const std::filesystem::path& text) {
  if (!checkpoint.tokenizer) {
    throw CompileError("the checkpoint has no tokenizer: give one with --tokenizer");
  }
  std::ifstream in(text, std::ios::binary);
  if (!in) throw CompileError(fmt::format("cannot read {}", text.string()));
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  return tokenize(*checkpoint.tokenizer, bytes);
}

}  // namespace nbl::compiler
