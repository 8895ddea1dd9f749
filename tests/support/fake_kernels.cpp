#include "tests/support/fake_kernels.h"

#include <algorithm>
#include <cstring>

#include "spirv/cache_mode.h"
#include "spirv/cache_rows.push.h"
#include "spirv/rope_update_cache.push.h"
#include "spirv/sample.push.h"
#include "spirv/sdpa_token.push.h"
#include "spirv/step_state.h"

namespace nbl::test {
namespace {

using fake::Dispatch;

// 32-bit words of device memory.
class Words {
 public:
  explicit Words(std::span<std::byte> bytes) : bytes_(bytes) {}
  size_t count() const { return bytes_.size() / 4; }
  uint32_t get(size_t i) const {
    uint32_t word = 0;
    if (i < count()) std::memcpy(&word, &bytes_[4 * i], 4);
    return word;
  }
  void set(size_t i, uint32_t word) const {
    if (i < count()) std::memcpy(&bytes_[4 * i], &word, 4);
  }

 private:
  std::span<std::byte> bytes_;
};

template <typename Push>
Push push_of(const Dispatch& dispatch) {
  Push push{};
  std::memcpy(&push, dispatch.push.data(), std::min(sizeof push, dispatch.push.size_bytes()));
  return push;
}

uint32_t mix(uint32_t hash, uint32_t word) {
  hash = (hash ^ word) * 0x9e3779b1u;
  return hash ^ hash >> 15;
}

// Of some words all over the bytes.
uint32_t mix_all(uint32_t hash, std::span<std::byte> bytes) {
  constexpr size_t kMost = 61;
  const Words words(bytes);
  const size_t apart = words.count() / kMost + 1;
  for (size_t i = 0; i < words.count(); i += apart)
    hash = mix(hash, words.get(i));
  return hash;
}

// Tokens of the step; never more than it has room for, whatever its memory holds.
uint32_t live(const Words& step) {
  const size_t room = step.count() - std::min<size_t>(step.count(), STEP_TOKENS);
  return std::min(step.get(STEP_TOKEN_COUNT), static_cast<uint32_t>(room));
}

// Of everything that a dispatch reads and does not write: caches that are written are no input.
uint32_t mix_inputs(const Dispatch& d) {
  const Words step(d.bindings[0]);
  uint32_t hash = mix(step.get(STEP_INPUT_POS), step.get(STEP_TOKEN_COUNT));
  for (uint32_t t = 0; t < live(step); ++t)
    hash = mix(hash, step.get(STEP_TOKENS + t));
  for (uint32_t i = 1; i < d.bindings.size(); ++i) {
    if ((d.reads & ~d.writes) >> i & 1u) hash = mix_all(hash, d.bindings[i]);
  }
  return hash;
}

void fill(std::span<std::byte> bytes, uint32_t hash) {
  const Words words(bytes);
  for (size_t i = 0; i < words.count(); ++i)
    words.set(i, hash += 0x6d2b79f5u);
}

// The words of a cache's row, as in cache_store.glsl.
struct CacheShape {
  uint32_t heads;
  uint32_t head_dim;
  uint32_t context;
  uint32_t type;

  uint32_t row_words() const {
    return head_dim / 4 * (type == CACHE_F32 ? 4 : type == CACHE_F16 ? 2 : 1);
  }
  template <typename Visit>
  void for_row(uint32_t position, const Visit& visit) const {
    if (position >= context) return;
    for (uint32_t head = 0; head < heads; ++head) {
      const uint32_t row = head * context + position;
      for (uint32_t i = 0; i < row_words(); ++i)
        visit(row * row_words() + i, head * (row_words() + 1) + i);
      if (type == CACHE_I8) visit(heads * context * row_words() + row, ~head);
    }
  }
};

// Rows at the live positions.
void write_rows(const CacheShape& shape, const Words& step, std::span<std::byte> cache,
                uint32_t hash) {
  const Words words(cache);
  for (uint32_t t = 0; t < live(step); ++t) {
    const uint32_t position = step.get(STEP_INPUT_POS) + t;
    shape.for_row(position, [&](uint32_t at, uint32_t of_row) {
      words.set(at, mix(mix(hash, position), of_row));
    });
  }
}

void move_rows_back(const CacheShape& shape, const Words& step, std::span<std::byte> cache,
                    uint32_t shift) {
  const Words words(cache);
  for (uint32_t t = 0; t < live(step); ++t) {
    const uint32_t position = step.get(STEP_INPUT_POS) + t;
    shape.for_row(position, [&](uint32_t at, uint32_t of_row) {
      const bool is_scale = shape.type == CACHE_I8 && of_row > ~shape.heads;
      words.set(at, words.get(at + shift * (is_scale ? 1 : shape.row_words())));
    });
  }
}

void rope_update_cache(const Dispatch& d) {
  const auto push = push_of<RopeUpdateCachePush>(d);
  const CacheShape shape{push.kv_columns / push.head_dim, push.head_dim, push.context,
                         d.spec.size() > 1 ? d.spec[1] : uint32_t{CACHE_F16}};
  const Words step(d.bindings[0]);
  const bool has_values = push.kv_row == 2 * push.kv_columns;
  if (d.spec.size() > 3 && d.spec[3] != 0) {
    move_rows_back(shape, step, d.bindings[4], push.shift);
    if (has_values) move_rows_back(shape, step, d.bindings[5], push.shift);
    return;
  }
  uint32_t hash = mix_all(mix_inputs(d), d.bindings[1]);
  if (push.q_stride > 0) fill(d.bindings[3], hash);
  if (push.kv_items == 0) return;
  write_rows(shape, step, d.bindings[4], hash);
  if (has_values) write_rows(shape, step, d.bindings[5], hash + 1);
}

// Rows of positions that live; those behind them may be of another text.
uint32_t mix_cache(uint32_t hash, const Words& step, std::span<std::byte> cache) {
  const Words words(cache);
  const uint64_t end =
      std::min<uint64_t>(uint64_t{step.get(STEP_INPUT_POS)} + live(step), words.count());
  // The first head's: it begins at word 0, whatever the type, with at least one word a position.
  for (size_t i = 0; i < end; ++i)
    hash = mix(hash, words.get(i));
  return hash;
}

void sdpa(const Dispatch& d) {
  const Words step(d.bindings[0]);
  uint32_t hash = mix_all(step.get(STEP_INPUT_POS), d.bindings[1]);
  hash = mix_cache(mix_cache(hash, step, d.bindings[2]), step, d.bindings[3]);
  fill(d.bindings[4], hash);
}

void sdpa_token(const Dispatch& d) {
  const auto push = push_of<SdpaTokenPush>(d);
  const CacheShape shape{push.kv_heads, d.spec[1], push.context, d.spec[3] & CACHE_MASK};
  const Words step(d.bindings[0]);
  const uint32_t hash = mix_inputs(d);
  write_rows(shape, step, d.bindings[3], hash);
  write_rows(shape, step, d.bindings[4], hash + 1);
  fill(d.bindings[5], mix_cache(mix_cache(hash, step, d.bindings[3]), step, d.bindings[4]));
}

void cache_rows(const Dispatch& d) {
  const auto push = push_of<CacheRowsPush>(d);
  const Words step(d.bindings[0]);
  const Words cache(d.bindings[1]);
  const Words window(d.bindings[2]);
  const uint32_t words = push.row_words + push.scales;
  // As many as the window has room for: not those of a step.
  const uint32_t rows = std::min(step.get(STEP_TOKEN_COUNT), push.rows);
  for (uint32_t i = 0; i < rows * words; ++i) {
    const uint32_t t = i / words;
    const uint32_t w = i % words;
    const bool is_scale = w >= push.row_words;
    const uint32_t wide = is_scale ? 1 : push.head_words;
    const uint32_t of_kind = is_scale ? w - push.row_words : w;
    const uint32_t row = of_kind / wide * push.context + step.get(STEP_INPUT_POS) + t;
    const uint32_t in_cache =
        (is_scale ? push.row_words * push.context : 0) + row * wide + of_kind % wide;
    const uint32_t in_window = t * push.stride + push.offset + w;
    if (step.get(STEP_ROWS_LOAD) != 0)
      cache.set(in_cache, window.get(in_window));
    else
      window.set(in_window, cache.get(in_cache));
  }
}

void argmax(const Dispatch& d) {
  fill(d.bindings[2], mix_all(mix_inputs(d), d.bindings[1]));
}

void sample(const Dispatch& d) {
  const auto push = push_of<SamplePush>(d);
  const Words step(d.bindings[0]);
  const uint32_t count = live(step);
  const uint32_t fed = step.get(STEP_TOKENS + count - 1);
  uint32_t next_count = 1;
  for (uint32_t i = 0; i < STEP_STOP_COUNT; ++i) {
    if (step.get(STEP_STOPS + i) == fed) next_count = 0;
  }
  uint32_t hash = mix_all(mix_inputs(d), d.bindings[2]);
  for (uint32_t i = 0; i < 2 * std::min<uint32_t>(step.get(STEP_BIAS_COUNT), STEP_MOST_BIAS); ++i)
    hash = mix(hash, step.get(STEP_BIAS + i));
  const uint32_t token = mix(hash, step.get(STEP_REPEAT_PENALTY)) % push.vocab;
  const uint32_t position = step.get(STEP_INPUT_POS);
  Words(d.bindings[3]).set(step.get(STEP_OUT_INDEX), token);
  step.set(STEP_RECENT + position % STEP_MOST_WINDOW, step.get(STEP_TOKENS));
  step.set(STEP_TOKENS, token);
  step.set(STEP_INPUT_POS, position + count);
  step.set(STEP_TOKEN_COUNT, next_count);
  step.set(STEP_OUT_INDEX, step.get(STEP_OUT_INDEX) + 1);
}

// Reads everything and writes what is only written.
void other(const Dispatch& d) {
  const uint32_t hash = mix_inputs(d);
  for (uint32_t i = 1; i < d.bindings.size(); ++i) {
    if ((d.writes & ~d.reads) >> i & 1u) fill(d.bindings[i], hash + i);
  }
}

}  // namespace

const Variant* variant_of(const Dispatch& dispatch) {
  for (uint32_t i = 0; i < kVariantCount; ++i) {
    if (kVariantWords[i] == dispatch.words) return &kVariants[i];
  }
  return nullptr;
}

void run_fake_kernel(const Dispatch& d) {
  const Variant* const variant = variant_of(d);
  if (variant == nullptr || Words(d.bindings[0]).get(STEP_TOKEN_COUNT) == 0) return;
  switch (variant->family) {
    case Family::rope_update_cache:
      return rope_update_cache(d);
    case Family::sdpa:
      return variant == &kVariants[static_cast<size_t>(VariantId::sdpa_token)] ? sdpa_token(d)
                                                                               : sdpa(d);
    case Family::cache_rows:
      return cache_rows(d);
    case Family::argmax:
      return argmax(d);
    case Family::sample:
      return sample(d);
    default:
      return other(d);
  }
}

fake::Pattern fake_pattern(const Dispatch& d, uint32_t binding) {
  const Variant* const variant = variant_of(d);
  if (variant == nullptr || variant->family != Family::cache_rows || binding != 2) return {};
  const auto push = push_of<CacheRowsPush>(d);
  return {uint64_t{push.offset} * 4, uint64_t{push.row_words + push.scales} * 4,
          uint64_t{push.stride} * 4};
}

}  // namespace nbl::test
