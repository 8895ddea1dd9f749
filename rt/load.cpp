#include "rt/load.h"

#include <cstring>

#include "rt/base/checked.h"
#include "rt/base/crc32.h"
#include "rt/base/sha256.h"
#include "rt/model/check.h"
#include "rt/model/file.h"
#include "rt/text/check.h"
#include "schema_generated.h"

namespace nbl {
namespace {

// A graph is a few hundred tables; a tokenizer is one. More is no model.
constexpr uint32_t kMaxVerifierTables = 1u << 18;
constexpr uint32_t kMaxVerifierDepth = 8;
constexpr uint64_t kGraphAlignBytes = 64;

Status read_header(std::span<const std::byte> file, FileHeader* header, Error* error) {
  if (file.size() < sizeof kFileMagic || memcmp(file.data(), kFileMagic, sizeof kFileMagic) != 0) {
    return fail(error, Code::bad_magic, 0, {});
  }
  if (file.size() < sizeof(FileHeader)) {
    return fail(error, Code::file_truncated, 0, "the header", sizeof(FileHeader), file.size());
  }
  memcpy(header, file.data(), sizeof *header);
  if (header->version != kFileVersion) {
    return fail(error, Code::unknown_version, 0, {}, header->version, kFileVersion);
  }
  if (crc32(file.first(offsetof(FileHeader, header_crc32))) != header->header_crc32) {
    return fail(error, Code::bad_checksum, 0, "the header");
  }
  if (header->header_bytes != sizeof(FileHeader)) {
    return fail(error, Code::bad_header, 0, "size", header->header_bytes, sizeof(FileHeader));
  }
  for (const uint32_t reserved : header->reserved) {
    if (reserved != 0) return fail(error, Code::bad_header, 0, "reserved", reserved, 0);
  }
  if (header->file_bytes > file.size()) {
    return fail(error, Code::file_truncated, 0, "the model", header->file_bytes, file.size());
  }
  return {};
}

Status read_graph(std::span<const std::byte> file, const FileHeader& header, const fb::Model** root,
                  Error* error) {
  const uint64_t offset = header.graph_offset;
  const uint64_t bytes = header.graph_bytes;
  if (offset % kGraphAlignBytes != 0 || offset < sizeof(FileHeader)) {
    return fail(error, Code::bad_header, 0, "graph offset", offset, file.size());
  }
  if (offset > file.size() || bytes > file.size() - offset) {
    return fail(error, Code::file_truncated, 0, "the graph", offset + bytes, file.size());
  }
  const std::span<const std::byte> graph = file.subspan(in_memory(offset), in_memory(bytes));
  if (crc32(graph) != header.graph_crc32) return fail(error, Code::bad_checksum, 0, "the graph");
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t*>(graph.data()), graph.size(),
                                 kMaxVerifierDepth, kMaxVerifierTables);
  if (bytes < 8 || !fb::VerifyModelBuffer(verifier)) {
    return fail(error, Code::bad_flatbuffer, 0, "graph");
  }
  *root = fb::GetModel(graph.data());
  return {};
}

Status check_numbers(const fb::Model& root, Error* error) {
  const auto in_range = [error](const char* name, uint64_t value, uint64_t limit) -> Status {
    if (value >= 1 && value <= limit) return {};
    return fail(error, Code::bad_header, 0, name, value, limit);
  };
  NBL_TRY(in_range("vocabulary size", root.vocab_size(), kMaxDim));
  NBL_TRY(in_range("context length", root.context_length(), 1u << 24));
  NBL_TRY(in_range("prefill chunk", root.prefill_chunk(), 4096));
  return {};
}

bool is_one_of(const flatbuffers::String* text, std::span<const std::string_view> names) {
  for (const std::string_view name : names) {
    if (text != nullptr && name == std::string_view(text->c_str(), text->size())) return true;
  }
  return false;
}

const char* name_of(const flatbuffers::String* text) {
  return text == nullptr ? "a tokenizer without a splitter" : text->c_str();
}

uint64_t size_of(const flatbuffers::Vector<uint32_t>* vector) {
  return vector == nullptr ? 0 : vector->size();
}

Status check_chat(const Model& model, Error* error) {
  const auto* texts = model.root()->chat_texts();
  if (texts == nullptr) return {};
  const char* name = "chat text count";
  uint64_t value = model.root()->tokenizer() == nullptr ? 0 : texts->size();
  uint64_t limit = kChatTextCount;
  if (value == limit) {
    ChatTable chat;
    model.chat(&chat);
    name = "bytes of chat texts";
    value = chat.bytes;
    limit = kMaxChatBytes;
    if (value <= limit) {
      name = "chat flags";
      value = chat.flags;
      limit = kChatFlagsEnd - 1;
      if (value <= limit) return {};
    }
  }
  return fail(error, Code::bad_tokenizer, 0, name, value, limit);
}

Status check_text(const Model& model, Error* error) {
  const fb::Tokenizer* t = model.root()->tokenizer();
  NBL_TRY(check_chat(model, error));
  if (t == nullptr) return {};
  if (!is_one_of(t->kind(), kTokenizerKindNames)) {
    return fail(error, Code::unknown_layout, 0, name_of(t->kind()));
  }
  TokenizerTables tables{};
  if (is_one_of(t->kind(), std::span(kTokenizerKindNames).last(1))) {  // bpe
    if (!is_one_of(t->splitter(), kSplitterNames)) {
      return fail(error, Code::unknown_layout, 0, name_of(t->splitter()));
    }
    if (t->merge_first() == nullptr || t->merge_right() == nullptr ||
        t->merge_result() == nullptr || t->merge_rank() == nullptr) {
      return fail(error, Code::bad_tokenizer, 0, "merge tables", 0, 4);
    }
  }
  const TokenizerSizes sizes{t->pieces()->size(),        t->offsets()->size(),
                             t->scores()->size(),        t->types()->size(),
                             t->sorted()->size(),        t->byte_tokens()->size(),
                             size_of(t->merge_first()),  size_of(t->merge_right()),
                             size_of(t->merge_result()), size_of(t->merge_rank())};
  model.tokenizer(&tables);
  return check_tokenizer(tables, sizes, error);
}

}  // namespace

Status load(std::span<const std::byte> file, Model* model, Error* error) {
  if (reinterpret_cast<uintptr_t>(file.data()) % kGraphAlignBytes != 0) {
    return fail(error, Code::unaligned_model, 0, {}, 0, kGraphAlignBytes);
  }
  FileHeader header{};
  NBL_TRY(read_header(file, &header, error));
  file = file.first(in_memory(header.file_bytes));
  const fb::Model* root = nullptr;
  NBL_TRY(read_graph(file, header, &root, error));
  NBL_TRY(check_numbers(*root, error));
  NBL_TRY(check_segments(*root, header.graph_offset + header.graph_bytes, file.size(), error));
  NBL_TRY(check_names(*root, error));
  const Model candidate(root, file);
  NBL_TRY(check_tensors(candidate, error));
  NBL_TRY(check_prefix(candidate, error));
  NBL_TRY(check_ops(candidate, error));
  NBL_TRY(check_text(candidate, error));
  *model = candidate;
  return {};
}

Status verify_hashes(const Model& model, Error* error) {
  const fb::Model& root = *model.root();
  const uint32_t count = model.segment_count();
  for (uint32_t i = 0; i < count + (root.prefix() == nullptr ? 0 : 1); ++i) {
    const fb::Segment* segment = i < count ? root.segments()->Get(i) : root.prefix()->rows();
    Sha256Digest digest{};
    sha256(model.file().subspan(in_memory(segment->offset()), in_memory(segment->size())), &digest);
    if (memcmp(digest.data(), segment->sha256()->data(), digest.size()) != 0) {
      const char* name = segment->name() == nullptr ? "a weight segment" : segment->name()->c_str();
      return fail(error, Code::bad_checksum, i, name);
    }
  }
  return {};
}

}  // namespace nbl
