#include <fmt/format.h>

#include <fstream>
#include <iterator>

#include "compiler/commands.h"
#include "compiler/emit/tokenizer_tables.h"
#include "compiler/error.h"
#include "compiler/eval/tokenize.h"
#include "compiler/open_model.h"

namespace nbl::compiler {
namespace {

// Ends each text, as in llama.cpp's tests of vocabularies.
constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";

std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw CompileError(fmt::format("cannot read {}", path.string()));
  return {std::istreambuf_iterator<char>(in), {}};
}

// Prints the ids of each text, a line a text, each id after a space.
void print_all(const TokenizerTables& tables, std::string_view texts, EncodeOptions options) {
  while (!texts.empty()) {
    const size_t end = std::min(texts.find(kSeparator), texts.size());
    for (const uint32_t id : tokenize(tables, texts.substr(0, end), options))
      fmt::print(" {}", id);
    fmt::print("\n");
    texts.remove_prefix(std::min(end + kSeparator.size(), texts.size()));
  }
}

void print_all_by_vocabulary(const std::filesystem::path& path, std::string_view texts,
                             EncodeOptions options) {
  std::vector<std::string> warnings;
  const TokenizerData data = import_tokenizer(path, 0, &warnings);
  for (const std::string& warning : warnings)
    fmt::print(stderr, "nibblec: warning: {}\n", warning);
  const TokenizerVectors vectors = tokenizer_vectors(data);
  print_all(checked_tables(data, vectors), texts, options);
}

}  // namespace

void run_tokenize(const TokenizeOptions& options) {
  const std::string texts = read_text(options.texts);
  const EncodeOptions encode{.add_bos = options.add_bos, .special = options.special};
  if (std::filesystem::is_directory(options.input)) {
    return print_all_by_vocabulary(options.input, texts, encode);
  }
  const MappedFile file(options.input);
  if (!is_model(file)) return print_all_by_vocabulary(options.input, texts, encode);
  TokenizerTables tables{};
  if (!open_model(file).tokenizer(&tables)) {
    throw CompileError(fmt::format("{}: the model has no tokenizer", options.input.string()));
  }
  print_all(tables, texts, encode);
}

}  // namespace nbl::compiler
