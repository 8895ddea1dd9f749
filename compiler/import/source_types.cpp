#include "compiler/import/source_types.h"

#include <cstring>

#include "compiler/import/half.h"

namespace nbl::compiler {
namespace {

constexpr uint32_t kSuperBlock = 256;

uint16_t read_u16(const uint8_t* data) {
  uint16_t value = 0;
  std::memcpy(&value, data, sizeof value);
  return value;
}

float read_f16(const uint8_t* data) {
  return f16_to_f32(read_u16(data));
}

void read_f32_block(const uint8_t* data, float* out) {
  std::memcpy(out, data, sizeof *out);
}

void read_f16_block(const uint8_t* data, float* out) {
  *out = read_f16(data);
}

void read_bf16_block(const uint8_t* data, float* out) {
  *out = bf16_to_f32(read_u16(data));
}

void q8_0_integers(const uint8_t* data, int8_t* values, float* scales) {
  *scales = read_f16(data);
  std::memcpy(values, data + 2, kSourceBlock);
}

// Calls use(i, nibble) for the 32 elements of 16 bytes.
template <typename Use>
void each_nibble(const uint8_t* bytes, Use&& use) {
  for (uint32_t i = 0; i < kSourceBlock / 2; ++i) {
    use(i, bytes[i] & 15);
    use(i + kSourceBlock / 2, bytes[i] >> 4);
  }
}

void q4_0_integers(const uint8_t* data, int8_t* values, float* scales) {
  *scales = read_f16(data);
  each_nibble(data + 2, [&](uint32_t i, int n) { values[i] = static_cast<int8_t>(n - 8); });
}

void read_q4_1(const uint8_t* data, float* out) {
  const float scale = read_f16(data);
  const float least = read_f16(data + 2);
  each_nibble(data + 4, [&](uint32_t i, int n) { out[i] = static_cast<float>(n) * scale + least; });
}

int fifth_bit(const uint8_t* bits, uint32_t i) {
  return (bits[i / 8] >> (i % 8) & 1) << 4;
}

void q5_0_integers(const uint8_t* data, int8_t* values, float* scales) {
  *scales = read_f16(data);
  each_nibble(data + 6, [&](uint32_t i, int n) {
    values[i] = static_cast<int8_t>((n | fifth_bit(data + 2, i)) - 16);
  });
}

void read_q5_1(const uint8_t* data, float* out) {
  const float scale = read_f16(data);
  const float least = read_f16(data + 2);
  each_nibble(data + 8, [&](uint32_t i, int n) {
    out[i] = static_cast<float>(n | fifth_bit(data + 4, i)) * scale + least;
  });
}

void iq4_nl_integers(const uint8_t* data, int8_t* values, float* scales) {
  // Spaced as normally distributed weights are: closest around 0.
  constexpr int8_t kLevels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};
  *scales = read_f16(data);
  each_nibble(data + 2, [&](uint32_t i, int n) { values[i] = kLevels[n]; });
}

// The two bits of element i in the 64 bytes that q2_k and q3_k share.
int two_bits(const uint8_t* bytes, uint32_t i) {
  return bytes[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
}

void read_q2_k(const uint8_t* data, float* out) {
  const float scale = read_f16(data + 80);
  const float least = read_f16(data + 82);
  for (uint32_t i = 0; i < kSuperBlock; ++i) {
    const uint8_t step = data[i / 16];
    out[i] = scale * static_cast<float>(step & 15) * static_cast<float>(two_bits(data + 16, i)) -
             least * static_cast<float>(step >> 4);
  }
}

// Scale k of q3_k's 16: its low four bits in a nibble of bytes 0..7, its high two in bytes 8..11.
int q3_k_scale(const uint8_t* bytes, uint32_t k) {
  const int low = bytes[k % 8] >> (k / 8 * 4) & 15;
  const int high = bytes[8 + k % 4] >> (k / 4 * 2) & 3;
  return (low | high << 4) - 32;
}

void q3_k_integers(const uint8_t* data, int8_t* values, float* scales) {
  const uint8_t* low = data + 32;
  const float scale = read_f16(data + 108);
  for (uint32_t k = 0; k < kSuperBlock / 16; ++k)
    scales[k] = scale * static_cast<float>(q3_k_scale(data + 96, k));
  for (uint32_t i = 0; i < kSuperBlock; ++i) {
    const int high = data[i % 32] >> (i / 32) & 1;
    values[i] = static_cast<int8_t>(two_bits(low, i) + 4 * high - 4);
  }
}

// Of the 8 pairs that q4_k and q5_k keep in 12 bytes, the first four lie in the low six bits of
// bytes 0..3 and 4..7; of the others, the low four bits in the nibbles of bytes 8..11 and the high
// two above the first ones.
struct StepAndLeast {
  float step;
  float least;
};
StepAndLeast packed_pair(const uint8_t* bytes, uint32_t k) {
  if (k < 4) return {static_cast<float>(bytes[k] & 63), static_cast<float>(bytes[k + 4] & 63)};
  const int step = (bytes[k + 4] & 15) | bytes[k - 4] >> 6 << 4;
  const int least = bytes[k + 4] >> 4 | bytes[k] >> 6 << 4;
  return {static_cast<float>(step), static_cast<float>(least)};
}

// q4_k and q5_k; high_bits is null for the former.
void read_q4_or_q5_k(const uint8_t* data, const uint8_t* high_bits, const uint8_t* nibbles,
                     float* out) {
  const float scale = read_f16(data);
  const float least = read_f16(data + 2);
  for (uint32_t k = 0; k < 8; ++k) {
    const StepAndLeast pair = packed_pair(data + 4, k);
    const float step = scale * pair.step;
    const float offset = least * pair.least;
    for (uint32_t i = 0; i < 32; ++i) {
      int value = nibbles[k / 2 * 32 + i] >> (k % 2 * 4) & 15;
      if (high_bits != nullptr) value |= (high_bits[i] >> k & 1) << 4;
      out[32 * k + i] = step * static_cast<float>(value) - offset;
    }
  }
}

void read_q4_k(const uint8_t* data, float* out) {
  read_q4_or_q5_k(data, nullptr, data + 16, out);
}

void read_q5_k(const uint8_t* data, float* out) {
  read_q4_or_q5_k(data, data + 16, data + 48, out);
}

void q6_k_integers(const uint8_t* data, int8_t* values, float* scales) {
  const uint8_t* high = data + 128;
  const float scale = read_f16(data + 208);
  for (uint32_t k = 0; k < kSuperBlock / 16; ++k)
    scales[k] = scale * static_cast<float>(static_cast<int8_t>(data[192 + k]));
  for (uint32_t i = 0; i < kSuperBlock; ++i) {
    const uint32_t half = i / 128;
    const uint32_t quarter = i / 32 % 4;
    const int low = data[64 * half + quarter % 2 * 32 + i % 32] >> (quarter / 2 * 4) & 15;
    const int top = high[32 * half + i % 32] >> (2 * quarter) & 3;
    values[i] = static_cast<int8_t>((low | top << 4) - 32);
  }
}

struct Encoding {
  const char* name;
  uint32_t block;  // elements
  uint32_t bytes;  // of a block
  // One of the two: types that are whole numbers times scales, and the others.
  void (*read)(const uint8_t* data, float* out);
  void (*integers)(const uint8_t* data, int8_t* values, float* scales) = nullptr;
  uint32_t group = 0;  // of the whole numbers
  bool f16_scales = false;
};

// In the order of the enum.
constexpr Encoding kEncodings[kSourceTypeCount] = {
    {"F32", 1, 4, read_f32_block},
    {"F16", 1, 2, read_f16_block},
    {"BF16", 1, 2, read_bf16_block},
    {"Q8_0", 32, 34, nullptr, q8_0_integers, 32, true},
    {"Q4_0", 32, 18, nullptr, q4_0_integers, 32, true},
    {"Q4_1", 32, 20, read_q4_1},
    {"Q5_0", 32, 22, nullptr, q5_0_integers, 32, true},
    {"Q5_1", 32, 24, read_q5_1},
    {"Q2_K", 256, 84, read_q2_k},
    {"Q3_K", 256, 110, nullptr, q3_k_integers, 16, false},
    {"Q4_K", 256, 144, read_q4_k},
    {"Q5_K", 256, 176, read_q5_k},
    {"Q6_K", 256, 210, nullptr, q6_k_integers, 16, false},
    {"IQ4_NL", 32, 18, nullptr, iq4_nl_integers, 32, true}};

void read_integer_block(const Encoding& from, const uint8_t* data, float* out) {
  int8_t values[kSuperBlock];
  float scales[kSuperBlock / 16];
  from.integers(data, values, scales);
  for (uint32_t i = 0; i < from.block; ++i)
    out[i] = static_cast<float>(values[i]) * scales[i / from.group];
}

const Encoding& encoding(SourceType type) {
  return kEncodings[static_cast<size_t>(type)];
}

}  // namespace

const char* source_type_name(SourceType type) {
  return encoding(type).name;
}

std::string source_type_names() {
  std::string names;
  for (const Encoding& one : kEncodings)
    names += (names.empty() ? "" : ", ") + std::string(one.name);
  return names;
}

uint32_t source_block(SourceType type) {
  return encoding(type).block;
}

uint64_t source_row_bytes(SourceType type, uint64_t columns) {
  return columns / encoding(type).block * encoding(type).bytes;
}

uint32_t integer_group(SourceType type) {
  return encoding(type).group;
}

bool has_f16_scales(SourceType type) {
  return encoding(type).f16_scales;
}

void read_source_integers(SourceType type, const std::byte* data, uint64_t columns, int8_t* values,
                          float* scales) {
  const Encoding& from = encoding(type);
  const auto* bytes = reinterpret_cast<const uint8_t*>(data);
  for (uint64_t column = 0; column < columns; column += from.block, bytes += from.bytes)
    from.integers(bytes, values + column, scales + column / from.group);
}

void read_source_row(SourceType type, const std::byte* data, uint64_t columns, float* out) {
  const Encoding& from = encoding(type);
  const auto* bytes = reinterpret_cast<const uint8_t*>(data);
  for (uint64_t column = 0; column < columns; column += from.block, bytes += from.bytes) {
    if (from.integers != nullptr) {
      read_integer_block(from, bytes, out + column);
    } else {
      from.read(bytes, out + column);
    }
  }
}

}  // namespace nbl::compiler
