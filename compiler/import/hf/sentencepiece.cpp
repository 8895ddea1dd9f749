#include "compiler/import/hf/sentencepiece.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <iterator>

#include "compiler/import/byte_reader.h"
#include "compiler/import/llama_tensors.h"
#include "rt/text/check.h"

namespace nbl::compiler::hf {
namespace {

// Field numbers.
//
// Source   sentencepiece_model.proto
constexpr uint32_t kPieces = 1, kTrainer = 2, kNormalizer = 3;                 // of the model
constexpr uint32_t kPieceText = 1, kPieceScore = 2, kPieceKind = 3;            // of a piece
constexpr uint32_t kModelType = 3, kUnknownId = 40, kBosId = 41, kEosId = 42;  // of the trainer
constexpr uint32_t kCharsMap = 2, kDummyPrefix = 3, kRemoveSpaces = 4;         // of the normalizer

constexpr const char* kModelTypes[] = {"?", "unigram", "BPE", "word", "char"};
constexpr uint64_t kBpe = 2;

// By SentencePiece's types 1..6.
constexpr PieceType kTypeOf[] = {kPieceNormal, kPieceNormal, kPieceUnknown, kPieceControl,
                                 kPieceUser,   kPieceUnused, kPieceByte};

struct Field {
  uint32_t number = 0;
  uint64_t value = 0;           // of a number
  float real = 0;               // of 4 bytes
  std::string_view bytes = {};  // of a text or message
};

uint64_t read_varint(ByteReader& reader) {
  uint64_t value = 0;
  for (uint32_t shift = 0; shift < 64; shift += 7) {
    const auto byte = reader.read<uint8_t>("a number");
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  throw ImportError(fmt::format("{}: the number at byte {} has more than 64 bits", reader.file(),
                                reader.position()));
}

Field read_field(ByteReader& reader) {
  constexpr uint64_t kNumber = 0, kEightBytes = 1, kBytes = 2, kFourBytes = 5;
  const uint64_t key = read_varint(reader);
  Field field{.number = static_cast<uint32_t>(key >> 3)};
  switch (key & 7) {
    case kNumber:
      field.value = read_varint(reader);
      break;
    case kEightBytes:
      reader.take(8, "a field");
      break;
    case kBytes:
      field.value = read_varint(reader);
      field.bytes = reader.take_text(field.value, "a field");
      break;
    case kFourBytes:
      field.real = reader.read<float>("a field");
      break;
    default:
      throw ImportError(fmt::format("{}: is no SentencePiece vocabulary: field {} has wire type {}",
                                    reader.file(), field.number, key & 7));
  }
  return field;
}

// Calls use(field) for every field of a message.
template <typename Use>
void for_each_field(const std::string& file, std::string_view message, const Use& use) {
  ByteReader reader(file, std::as_bytes(std::span(message)));
  while (reader.remaining() > 0)
    use(read_field(reader));
}

void read_piece(const std::string& file, std::string_view message, TokenizerData* data) {
  std::string text;
  float score = 0;
  uint64_t kind = 1;
  for_each_field(file, message, [&](const Field& field) {
    if (field.number == kPieceText) text = field.bytes;
    if (field.number == kPieceScore) score = field.real;
    if (field.number == kPieceKind) kind = field.value;
  });
  const size_t id = data->pieces.size();
  if (kind < 1 || kind >= std::size(kTypeOf) || !std::isfinite(score)) {
    throw ImportError(
        fmt::format("{}: piece {} has type {} and score {}; types are 1..{} and "
                    "scores finite",
                    file, id, kind, score, std::size(kTypeOf) - 1));
  }
  if (kTypeOf[kind] == kPieceByte && !is_byte_piece(text)) {
    throw ImportError(
        fmt::format("{}: piece {} stands for a byte but is \"{}\"; it must look like "
                    "<0x0A>",
                    file, id, text));
  }
  data->pieces.push_back(std::move(text));
  data->scores.push_back(score);
  data->types.push_back(kTypeOf[kind]);
}

struct Trainer {
  uint64_t model_type = 1;
  int32_t unknown = 0;
  int32_t bos = 1;
  int32_t eos = 2;
};

Trainer read_trainer(const std::string& file, std::string_view message) {
  Trainer trainer;
  for_each_field(file, message, [&](const Field& field) {
    const auto id = static_cast<int32_t>(static_cast<uint32_t>(field.value & 0xffffffffu));
    if (field.number == kModelType) trainer.model_type = field.value;
    if (field.number == kUnknownId) trainer.unknown = id;
    if (field.number == kBosId) trainer.bos = id;
    if (field.number == kEosId) trainer.eos = id;
  });
  return trainer;
}

void read_normalizer(const std::string& file, std::string_view message, TokenizerData* data) {
  bool removes_spaces = true;
  for_each_field(file, message, [&](const Field& field) {
    if (field.number == kDummyPrefix) data->add_space_prefix = field.value != 0;
    if (field.number == kRemoveSpaces) removes_spaces = field.value != 0;
    if (field.number == kCharsMap && !field.bytes.empty()) {
      throw ImportError(
          fmt::format("{}: the vocabulary replaces characters of a text first, which "
                      "nibble does not",
                      file));
    }
  });
  if (removes_spaces) {
    throw ImportError(
        fmt::format("{}: the vocabulary removes extra spaces of a text first, which "
                    "nibble does not",
                    file));
  }
}

void check_type(const std::string& file, uint64_t type) {
  if (type == kBpe) return;
  const bool known = type < std::size(kModelTypes);
  throw ImportError(
      fmt::format("{}: is a SentencePiece vocabulary of the kind {}; nibble knows BPE", file,
                  known ? kModelTypes[type] : std::to_string(type)));
}

}  // namespace

bool is_sentencepiece(const MappedFile& file) {
  // The first piece, as a message, whose first field is its text.
  constexpr std::byte kMessage{0x0a};
  const auto bytes = file.bytes();
  return bytes.size() > 3 && bytes[0] == kMessage && bytes[1] != std::byte{0} &&
         bytes[2] == kMessage;
}

TokenizerData read_sentencepiece(const MappedFile& mapped) {
  const std::string file = mapped.path().string();
  const std::string_view model(reinterpret_cast<const char*>(mapped.bytes().data()),
                               mapped.bytes().size());
  TokenizerData data;
  Trainer trainer;
  for_each_field(file, model, [&](const Field& field) {
    if (field.number == kPieces) read_piece(file, field.bytes, &data);
    if (field.number == kTrainer) trainer = read_trainer(file, field.bytes);
    if (field.number == kNormalizer) read_normalizer(file, field.bytes, &data);
  });
  check_type(file, trainer.model_type);
  const auto in_range = [&](int32_t id) {
    return id >= 0 && static_cast<size_t>(id) < data.pieces.size() ? id : -1;
  };
  data.unknown = in_range(trainer.unknown);
  data.bos = in_range(trainer.bos);
  data.eos = in_range(trainer.eos);
  data.add_bos = data.bos >= 0;
  return data;
}

}  // namespace nbl::compiler::hf
