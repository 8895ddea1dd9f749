#include "compiler/import/tiktoken.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "compiler/import/bpe_vocabulary.h"
#include "rt/text/check.h"

namespace nbl::compiler {
namespace {

constexpr size_t kLlama3Ranks = 128000;
constexpr size_t kLlama3Controls = 256;

// The first of Llama 3.1's control tokens; the others are reserved and numbered.
constexpr std::string_view kLlama3Named[] = {"<|begin_of_text|>",
                                             "<|end_of_text|>",
                                             "<|reserved_special_token_0|>",
                                             "<|reserved_special_token_1|>",
                                             "<|finetune_right_pad_id|>",
                                             "<|reserved_special_token_2|>",
                                             "<|start_header_id|>",
                                             "<|end_header_id|>",
                                             "<|eom_id|>",
                                             "<|eot_id|>",
                                             "<|python_tag|>"};

struct Line {
  std::string_view base64;
  uint32_t rank;
};

std::optional<Line> parse_line(std::string_view line) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || space % 4 != 0) return std::nullopt;
  Line parsed{line.substr(0, space), 0};
  const char* end = line.data() + line.size();
  const auto number = std::from_chars(line.data() + space + 1, end, parsed.rank);
  if (number.ec != std::errc() || number.ptr != end) return std::nullopt;
  return parsed;
}

std::optional<std::string> decode_base64(std::string_view text) {
  std::string bytes(text.size() / 4 * 3, '\0');
  const int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                     reinterpret_cast<const unsigned char*>(text.data()),
                                     static_cast<int>(text.size()));
  if (length < 0) return std::nullopt;
  const auto padding = static_cast<size_t>(std::ranges::count(text.substr(text.size() - 2), '='));
  bytes.resize(static_cast<size_t>(length) - padding);
  return bytes;
}

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

std::string_view next_line(std::string_view* text) {
  const size_t end = std::min(text->find('\n'), text->size());
  std::string_view line = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

void add_llama3_controls(TokenizerData* data) {
  size_t reserved = 3;
  for (size_t i = 0; i < kLlama3Controls; ++i) {
    data->pieces.push_back(i < std::size(kLlama3Named)
                               ? std::string(kLlama3Named[i])
                               : fmt::format("<|reserved_special_token_{}|>", reserved++));
    data->types.push_back(kPieceControl);
  }
  data->bos = static_cast<int32_t>(kLlama3Ranks);
  data->eos = static_cast<int32_t>(kLlama3Ranks + 9);
  data->add_bos = true;
}

}  // namespace

bool is_tiktoken(const MappedFile& file) {
  std::string_view text = text_of(file);
  const std::optional<Line> line = parse_line(next_line(&text));
  return line && decode_base64(line->base64).has_value();
}

TokenizerData import_tiktoken(const MappedFile& file) {
  TokenizerData data;
  data.kind = TokenizerKind::bpe;
  data.splitter = Splitter::llama3;
  data.whole_words = true;
  data.add_space_prefix = false;
  std::string_view text = text_of(file);
  for (size_t number = 1; !text.empty(); ++number) {
    const std::optional<Line> line = parse_line(next_line(&text));
    const std::optional<std::string> piece = line ? decode_base64(line->base64) : std::nullopt;
    if (!piece || piece->empty() || line->rank != data.pieces.size()) {
      throw ImportError(
          fmt::format("{}: line {} is not the base64 of a token, a space and the rank {}",
                      file.path().string(), number, data.pieces.size()));
    }
    data.pieces.push_back(*piece);
    data.types.push_back(kPieceNormal);
  }
  if (data.pieces.size() != kLlama3Ranks) {
    throw ImportError(
        fmt::format("{}: has {} ranks; of tiktoken vocabularies only Llama 3's, with {}, is known",
                    file.path().string(), data.pieces.size(), kLlama3Ranks));
  }
  data.merges = merges_of_ranks(data);
  add_llama3_controls(&data);
  return data;
}

}  // namespace nbl::compiler
