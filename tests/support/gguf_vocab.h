// Reads the tokenizer of a GGUF file (tokens, scores, types, special ids) into a TestVocab. For
// tests only: it shares nothing with the compiler's importer, so that the two can be compared.
//
// Source   the GGUF specification: little-endian; magic, version, tensor count, key count, then
//          key-value pairs; strings are a 64-bit length and bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/vocab.h"

namespace nbl {

class GgufVocabReader {
 public:
  explicit GgufVocabReader(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }

  TestVocab read() {
    TestVocab vocab;
    if (take<uint32_t>() != 0x46554747u) throw std::runtime_error("not a GGUF file");
    if (take<uint32_t>() < 2) throw std::runtime_error("GGUF version 1 is not read");
    take<uint64_t>();
    const uint64_t keys = take<uint64_t>();
    for (uint64_t i = 0; i < keys; ++i)
      read_pair(&vocab);
    for (size_t id = 0; id < vocab.pieces.size(); ++id) {
      if (vocab.types[id] != kPieceByte) continue;
      const std::string& name = vocab.pieces[id];  // <0xXX>
      vocab.byte_tokens[std::stoul(name.substr(3, 2), nullptr, 16)] = static_cast<int32_t>(id);
    }
    vocab.finish();
    return vocab;
  }

 private:
  static constexpr uint32_t kBool = 7, kString = 8, kArray = 9;

  template <typename T>
  T take() {
    T value;
    if (bytes_.size() - at_ < sizeof value) throw std::runtime_error("GGUF file is truncated");
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  std::string take_string() {
    const uint64_t length = take<uint64_t>();
    if (bytes_.size() - at_ < length) throw std::runtime_error("GGUF file is truncated");
    std::string text(bytes_.data() + at_, length);
    at_ += length;
    return text;
  }

  void skip(uint32_t type) {
    static constexpr uint32_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == kString) {
      take_string();
    } else {
      at_ += kBytes[type];
    }
  }

  void read_pair(TestVocab* vocab) {
    const std::string key = take_string();
    const uint32_t type = take<uint32_t>();
    if (type != kArray) return read_value(key, type, vocab);
    const uint32_t element = take<uint32_t>();
    const uint64_t count = take<uint64_t>();
    for (uint64_t i = 0; i < count; ++i) {
      if (key == "tokenizer.ggml.tokens") {
        vocab->pieces.push_back(take_string());
      } else if (key == "tokenizer.ggml.scores") {
        vocab->scores.push_back(take<float>());
      } else if (key == "tokenizer.ggml.token_type") {
        vocab->types.push_back(from_gguf(take<uint32_t>()));
      } else {
        skip(element);
      }
    }
  }

  void read_value(const std::string& key, uint32_t type, TestVocab* vocab) {
    if (key == "tokenizer.ggml.bos_token_id") {
      vocab->bos = take<int32_t>();
    } else if (key == "tokenizer.ggml.eos_token_id") {
      vocab->eos = take<int32_t>();
    } else if (key == "tokenizer.ggml.unknown_token_id") {
      vocab->unknown = take<int32_t>();
    } else if (key == "tokenizer.ggml.add_space_prefix" && type == kBool) {
      vocab->add_space_prefix = take<uint8_t>() != 0;
    } else {
      skip(type);
    }
  }

  // GGUF counts: 1 normal, 2 unknown, 3 control, 4 user, 5 unused, 6 byte.
  static uint8_t from_gguf(uint32_t type) {
    static constexpr uint8_t kTypes[] = {kPieceNormal, kPieceNormal, kPieceUnknown, kPieceControl,
                                         kPieceUser,   kPieceUnused, kPieceByte};
    return kTypes[type];
  }

  std::vector<char> bytes_;
  size_t at_ = 0;
};

}  // namespace nbl
