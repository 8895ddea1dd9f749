// Could break: a vocabulary - tokenizer.json, or SentencePiece's, tiktoken's, llama2.c's or a GGUF
// file's - takes its importer where no input may (gguf_fuzz.cpp), or gives tables that lead a text
// out of its scratch.
//
// Input  a vocabulary file.
#include "compiler/chat/chat_format.h"
#include "compiler/emit/tokenizer_tables.h"
#include "compiler/import/checkpoint.h"
#include "tests/fuzz/support/gguf_mutator.h"
#include "tests/fuzz/support/import.h"
#include "tests/fuzz/support/json_mutator.h"
#include "tests/fuzz/support/mutator.h"
#include "tests/fuzz/support/use_tokenizer.h"

namespace nbl::fuzz {
namespace {

void mutate_vocabulary(std::string* file, size_t most, Dice* dice) {
  if (file->starts_with("{")) return mutate_json(file, most, dice);
  mutate_gguf(file, most, dice);
}

void import_and_use(const std::filesystem::path& path, uint32_t vocab) {
  compiler::TokenizerData data = compiler::import_tokenizer(path, vocab);
  std::vector<uint32_t> stops;
  const compiler::ChatChoice chat = compiler::choose_chat("", &data, &stops);
  const compiler::TokenizerVectors vectors = compiler::tokenizer_vectors(data);
  const TokenizerTables tables = compiler::checked_tables(data, vectors);
  use_tokenizer(tables);
  if (chat.format) use_chat(tables, compiler::chat_table(*chat.format));
}

}  // namespace
}  // namespace nbl::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nbl::fuzz;
  const Workplace& place = workplace();
  place.clear();
  const std::filesystem::path path =
      place.write("vocabulary", {reinterpret_cast<const char*>(data), size});
  for (const uint32_t vocab : {0u, 270u})
    expect_error_or_nothing([&] { import_and_use(path, vocab); });
  return 0;
}

NBL_FUZZ_MUTATOR(mutate_vocabulary)
