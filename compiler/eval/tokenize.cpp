#include "compiler/eval/tokenize.h"

#include "compiler/emit/tokenizer_tables.h"
#include "compiler/error.h"
#include "rt/text/check.h"
#include "rt/text/spm.h"

namespace nbl::compiler {
namespace {

void require_ok(const Status& status, const Error& error) {
  if (status.ok()) return;
  char sentence[256];
  describe(error, sentence, sizeof sentence);
  throw CompileError(sentence);
}

}  // namespace

std::vector<uint32_t> tokenize(const TokenizerData& tokenizer, std::string_view text) {
  const TokenizerVectors vectors = tokenizer_vectors(tokenizer);
  const TokenizerTables tables{.count = static_cast<uint32_t>(tokenizer.pieces.size()),
                               .pieces = vectors.pieces.data(),
                               .offsets = vectors.offsets.data(),
                               .scores = vectors.scores.data(),
                               .types = vectors.types.data(),
                               .sorted = vectors.sorted.data(),
                               .byte_tokens = vectors.byte_tokens.data(),
                               .bos = tokenizer.bos,
                               .eos = tokenizer.eos,
                               .unknown = tokenizer.unknown,
                               .add_bos = tokenizer.add_bos,
                               .add_space_prefix = tokenizer.add_space_prefix};
  const TokenizerSizes sizes{vectors.pieces.size(), vectors.offsets.size(),
                             vectors.scores.size(), vectors.types.size(),
                             vectors.sorted.size(), vectors.byte_tokens.size()};
  Error error;
  require_ok(check_tokenizer(tables, sizes, &error), error);
  if (text.size() > kMaxTextBytes) throw CompileError("the text is too long to tokenize at once");
  std::vector<std::byte> scratch(spm_scratch_bytes(text.size()));
  // A space in front and the bytes of U+2581 for every other one bound the number of ids.
  std::vector<uint32_t> ids(3 * text.size() + 4);
  size_t count = 0;
  require_ok(spm_encode(tables, text, false, scratch, ids, &count, &error), error);
  ids.resize(count);
  return ids;
}

}  // namespace nbl::compiler
