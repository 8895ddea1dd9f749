#include "rt/step/state.h"

#include <bit>
#include <cstring>

#include "rt/base/checked.h"
#include "rt/base/crc32.h"
#include "rt/base/sha256.h"
#include "rt/model/file.h"
#include "rt/step/rows.h"

namespace nbl {
namespace {

// The graph names every weight segment by its SHA-256, so its own names the model.
void identify(const Model& model, Sha256Digest* digest) {
  FileHeader header{};
  memcpy(&header, model.file().data(), sizeof header);
  sha256(model.file().subspan(in_memory(header.graph_offset), in_memory(header.graph_bytes)),
         digest);
}

DType cache_type(const Model& model) {
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    const Tensor t = model.tensor(i);
    if (t.role == Role::state) return t.dtype;
  }
  return DType::f32;
}

uint32_t checksum(const StateHeader& header, std::span<const std::byte> rows) {
  Crc32 crc;
  crc.update(std::as_bytes(std::span(&header, 1)).first(offsetof(StateHeader, crc32)));
  crc.update(rows);
  return crc.value();
}

// A token and a row.
uint64_t bytes_of_position(const Stepper& s) {
  return sizeof(uint32_t) + uint64_t{s.plan->row_bytes};
}

// What says that the bytes are a state as it was written.
Status check_bytes(std::span<const std::byte> state, StateHeader* header, Error* error) {
  if (state.size() < sizeof *header) {
    return fail(error, Code::state_truncated, 0, {}, sizeof *header, state.size());
  }
  memcpy(header, state.data(), sizeof *header);
  if (memcmp(header->magic, kStateMagic, sizeof kStateMagic) != 0) {
    return fail(error, Code::bad_state, 0, "its first word", state.size(), 0);
  }
  if (header->version != kStateVersion) {
    return fail(error, Code::bad_state, 0, "its version", header->version, kStateVersion);
  }
  if (header->bytes > state.size()) {
    return fail(error, Code::state_truncated, 0, {}, header->bytes, state.size());
  }
  if (header->header_bytes != sizeof *header || header->bytes < sizeof *header) {
    return fail(error, Code::bad_state, 0, "its size", header->bytes, sizeof *header);
  }
  const std::span rows = state.first(in_memory(header->bytes)).subspan(sizeof *header);
  if (checksum(*header, rows) != header->crc32) return fail(error, Code::state_damaged, 0, {});
  return {};
}

Status check_fit(const Stepper& s, const StateHeader& header, Error* error) {
  const uint32_t cache = static_cast<uint32_t>(cache_type(*s.model));
  if (header.cache != cache || header.row_bytes != s.plan->row_bytes) {
    const bool known = header.cache <= static_cast<uint32_t>(DType::i8);
    return fail(error, Code::state_of_other_cache, 0, known ? kDTypeNames[header.cache] : "unknown",
                header.row_bytes, s.plan->row_bytes);
  }
  Sha256Digest digest{};
  identify(*s.model, &digest);
  if (memcmp(digest.data(), header.model, digest.size()) != 0) {
    return fail(error, Code::state_of_other_model, 0, {});
  }
  const uint64_t behind = uint64_t{header.position} * bytes_of_position(s);
  if (header.bytes - sizeof header != behind) {
    return fail(error, Code::bad_state, 0, "its size", header.bytes, sizeof header + behind);
  }
  if (header.position > s.plan->options.context) {
    return fail(error, Code::state_too_long, 0, "the saved state", header.position,
                s.plan->options.context);
  }
  if (header.has_next > 1 || header.next >= s.plan->vocab_size) {
    return fail(error, Code::bad_state, 0, "its next token", header.next, s.plan->vocab_size);
  }
  return {};
}

Status check_tokens(const Stepper& s, std::span<const std::byte> words, Error* error) {
  for (size_t at = 0; at < words.size(); at += sizeof(uint32_t)) {
    uint32_t token = 0;
    memcpy(&token, &words[at], sizeof token);
    if (token >= s.plan->vocab_size) {
      return fail(error, Code::bad_state, 0, "a token", token, s.plan->vocab_size);
    }
  }
  return {};
}

}  // namespace

uint64_t state_bytes(const Stepper& s, const Sequence& sequence) {
  return sizeof(StateHeader) + sequence.position * bytes_of_position(s);
}

Status save_state(const Stepper& s, const Sequence& sequence, std::span<std::byte> out,
                  Error* error) {
  const uint64_t bytes = state_bytes(s, sequence);
  if (out.size() < bytes) {
    return fail(error, Code::output_too_small, 0, "the buffer for the state", bytes, out.size());
  }
  const std::span<std::byte> behind = out.first(in_memory(bytes)).subspan(sizeof(StateHeader));
  const size_t token_bytes = sequence.position * sizeof(uint32_t);
  memcpy(behind.data(), s.recording->tokens.data(), token_bytes);
  NBL_TRY(save_rows(s, 0, behind.subspan(token_bytes), error));
  StateHeader header{};
  memcpy(header.magic, kStateMagic, sizeof kStateMagic);
  header.version = kStateVersion;
  header.header_bytes = sizeof header;
  header.bytes = bytes;
  Sha256Digest digest{};
  identify(*s.model, &digest);
  memcpy(header.model, digest.data(), digest.size());
  header.cache = static_cast<uint32_t>(cache_type(*s.model));
  header.row_bytes = s.plan->row_bytes;
  header.position = sequence.position;
  header.next = sequence.has_next ? sequence.next : 0;
  header.has_next = sequence.has_next ? 1 : 0;
  header.dropped = sequence.dropped;
  header.seed = sequence.sampling.seed;
  header.temperature = std::bit_cast<uint32_t>(sequence.sampling.temperature);
  header.top_k = sequence.sampling.top_k;
  header.top_p = std::bit_cast<uint32_t>(sequence.sampling.top_p);
  header.min_p = std::bit_cast<uint32_t>(sequence.sampling.min_p);
  header.repeat_penalty = std::bit_cast<uint32_t>(sequence.sampling.repeat_penalty);
  header.presence_penalty = std::bit_cast<uint32_t>(sequence.sampling.presence_penalty);
  header.frequency_penalty = std::bit_cast<uint32_t>(sequence.sampling.frequency_penalty);
  header.penalty_window = sequence.sampling.penalty_window;
  header.crc32 = checksum(header, behind);
  memcpy(out.data(), &header, sizeof header);
  return {};
}

Status load_state(const Stepper& s, std::span<const std::byte> state, Sequence* sequence,
                  Error* error) {
  StateHeader header{};
  NBL_TRY(check_bytes(state, &header, error));
  NBL_TRY(check_fit(s, header, error));
  const Sampling sampling{.temperature = std::bit_cast<float>(header.temperature),
                          .top_k = header.top_k,
                          .top_p = std::bit_cast<float>(header.top_p),
                          .seed = header.seed,
                          .min_p = std::bit_cast<float>(header.min_p),
                          .repeat_penalty = std::bit_cast<float>(header.repeat_penalty),
                          .presence_penalty = std::bit_cast<float>(header.presence_penalty),
                          .frequency_penalty = std::bit_cast<float>(header.frequency_penalty),
                          .penalty_window = header.penalty_window};
  NBL_TRY(check_sampling(sampling, error));
  const std::span<const std::byte> behind =
      state.first(in_memory(header.bytes)).subspan(sizeof header);
  const size_t token_bytes = header.position * sizeof(uint32_t);
  NBL_TRY(check_tokens(s, behind.first(token_bytes), error));
  NBL_TRY(load_rows(s, 0, behind.subspan(token_bytes), error));
  memcpy(s.recording->tokens.data(), behind.data(), token_bytes);
  sequence->position = header.position;
  sequence->next = header.next;
  sequence->has_next = header.has_next != 0;
  sequence->logits_rows = 0;
  sequence->dropped = header.dropped;
  sequence->prefix_intact = 0;
  sequence->sampling = sampling;
  return {};
}

}  // namespace nbl
