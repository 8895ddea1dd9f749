#include "tests/support/source_blocks.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "tests/support/q4.h"

namespace nbl::test {
namespace {

using compiler::SourceType;

constexpr int kUnevenLevels[] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                 1,    13,   25,  38,  53,  69,  89,  113};

// Bytes that fields are put into at bit positions.
class Bits {
 public:
  explicit Bits(size_t bytes) : bytes_(bytes, '\0') {}

  void put(size_t bit, uint32_t width, int value) {
    for (uint32_t i = 0; i < width; ++i) {
      if ((value >> i & 1) == 0) continue;
      const size_t at = bit + i;
      bytes_[at / 8] = static_cast<char>(static_cast<uint8_t>(bytes_[at / 8]) | 1u << at % 8);
    }
  }
  void put_half(size_t byte, uint16_t value) { put(8 * byte, 16, value); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// Types of 32: halves first, then the fifth bits, then nibbles: element i and i + 16 in a byte.
std::string encode_small(SourceType type, const SourceBlock& block) {
  const bool has_least = block_shape(type).has_least;
  const bool fifth = type == SourceType::q5_0 || type == SourceType::q5_1;
  const size_t bits_at = has_least ? 4 : 2;
  const size_t nibbles_at = bits_at + (fifth ? 4 : 0);
  Bits out(nibbles_at + 16);
  out.put_half(0, block.scale);
  if (has_least) out.put_half(2, block.least);
  for (size_t i = 0; i < 32; ++i) {
    out.put(8 * (nibbles_at + i % 16) + 4 * (i / 16), 4, block.q[i] % 16);
    if (fifth) out.put(8 * bits_at + i, 1, block.q[i] / 16);
  }
  return out.bytes();
}

std::string encode_q8_0(const SourceBlock& block) {
  Bits out(34);
  out.put_half(0, block.scale);
  for (size_t i = 0; i < 32; ++i)
    out.put(8 * (2 + i), 8, block.q[i]);
  return out.bytes();
}

// The two low bits of element i: a byte holds those of i, i + 32, i + 64 and i + 96.
void put_two_bits(Bits* out, size_t byte, size_t i, int value) {
  out->put(8 * (byte + i / 128 * 32 + i % 32) + 2 * (i % 128 / 32), 2, value & 3);
}

std::string encode_q2_k(const SourceBlock& block) {
  Bits out(84);
  for (size_t k = 0; k < 16; ++k) {
    out.put(8 * k, 4, block.step[k]);
    out.put(8 * k + 4, 4, block.low[k]);
  }
  for (size_t i = 0; i < 256; ++i)
    put_two_bits(&out, 16, i, block.q[i]);
  out.put_half(80, block.scale);
  out.put_half(82, block.least);
  return out.bytes();
}

std::string encode_q3_k(const SourceBlock& block) {
  Bits out(110);
  for (size_t i = 0; i < 256; ++i) {
    out.put(8 * (i % 32) + i / 32, 1, block.q[i] >> 2);
    put_two_bits(&out, 32, i, block.q[i]);
  }
  // Low nibbles: steps 0..7, then 8..15 above them. High pairs: 0, 4, 8, 12 in one byte.
  for (size_t k = 0; k < 16; ++k) {
    out.put(8 * (96 + k % 8) + (k < 8 ? 0 : 4), 4, block.step[k] & 15);
    out.put(8 * (104 + k % 4) + 2 * (k / 4), 2, block.step[k] >> 4);
  }
  out.put_half(108, block.scale);
  return out.bytes();
}

// Twelve bytes for eight steps and eight lows of six bits.
void put_six_bits(Bits* out, const SourceBlock& block) {
  for (size_t k = 0; k < 4; ++k) {
    out->put(8 * (4 + k), 6, block.step[k]);
    out->put(8 * (8 + k), 6, block.low[k]);
    out->put(8 * (4 + k) + 6, 2, block.step[k + 4] >> 4);
    out->put(8 * (8 + k) + 6, 2, block.low[k + 4] >> 4);
    out->put(8 * (12 + k), 4, block.step[k + 4] & 15);
    out->put(8 * (12 + k) + 4, 4, block.low[k + 4] & 15);
  }
}

std::string encode_q4_or_q5_k(SourceType type, const SourceBlock& block) {
  const bool fifth = type == SourceType::q5_k;
  const size_t nibbles_at = fifth ? 48 : 16;
  Bits out(nibbles_at + 128);
  out.put_half(0, block.scale);
  out.put_half(2, block.least);
  put_six_bits(&out, block);
  for (size_t i = 0; i < 256; ++i) {
    const bool second = i % 64 >= 32;
    out.put(8 * (nibbles_at + i / 64 * 32 + i % 32) + (second ? 4 : 0), 4, block.q[i] & 15);
    if (fifth) out.put(8 * (16 + i % 32) + i / 32, 1, block.q[i] >> 4);
  }
  return out.bytes();
}

std::string encode_q6_k(const SourceBlock& block) {
  Bits out(210);
  for (size_t i = 0; i < 256; ++i) {
    const size_t half = i / 128, in_half = i % 128;
    const bool upper = in_half >= 64;
    out.put(8 * (half * 64 + in_half % 64) + (upper ? 4 : 0), 4, block.q[i] & 15);
    out.put(8 * (128 + half * 32 + i % 32) + 2 * (in_half / 32), 2, block.q[i] >> 4);
  }
  for (size_t k = 0; k < 16; ++k)
    out.put(8 * (192 + k), 8, block.step[k]);
  out.put_half(208, block.scale);
  return out.bytes();
}

double level(SourceType type, int q) {
  if (type == SourceType::iq4_nl) return kUnevenLevels[q];
  return q - block_shape(type).zero;
}

double half_value(uint16_t half) {
  return static_cast<double>(f16_to_f32(half));
}

// The q whose level times `step` is nearest to value + low.
int nearest_q(SourceType type, double value, double step) {
  const BlockShape shape = block_shape(type);
  int best = shape.least_q;
  for (int q = shape.least_q; q <= shape.most_q; ++q) {
    if (std::fabs(level(type, q) * step - value) < std::fabs(level(type, best) * step - value)) {
      best = q;
    }
  }
  return best;
}

}  // namespace

BlockShape block_shape(SourceType type) {
  switch (type) {
    case SourceType::q8_0:
      return {32, 0, 127, -128, 0, 1, 1, 0, false, false};
    case SourceType::q4_0:
      return {32, 0, 15, 0, 8, 1, 1, 0, false, false};
    case SourceType::q4_1:
      return {32, 0, 15, 0, 0, 1, 1, 0, false, true};
    case SourceType::q5_0:
      return {32, 0, 31, 0, 16, 1, 1, 0, false, false};
    case SourceType::q5_1:
      return {32, 0, 31, 0, 0, 1, 1, 0, false, true};
    case SourceType::iq4_nl:
      return {32, 0, 15, 0, 0, 1, 1, 0, false, false};
    case SourceType::q2_k:
      return {256, 16, 3, 0, 0, 15, 0, 0, true, false};
    case SourceType::q3_k:
      return {256, 16, 7, 0, 4, 63, 0, 32, false, false};
    case SourceType::q4_k:
      return {256, 32, 15, 0, 0, 63, 0, 0, true, false};
    case SourceType::q5_k:
      return {256, 32, 31, 0, 0, 63, 0, 0, true, false};
    case SourceType::q6_k:
      return {256, 16, 63, 0, 32, 127, -128, 0, false, false};
    default:
      throw std::runtime_error("no type with blocks");
  }
}

SourceBlock random_block(SourceType type, std::mt19937* random) {
  const BlockShape shape = block_shape(type);
  const auto within = [&](int least, int most) {
    return std::uniform_int_distribution<int>(least, most)(*random);
  };
  SourceBlock block;
  for (uint32_t i = 0; i < shape.elements; ++i)
    block.q.push_back(within(shape.least_q, shape.most_q));
  const uint32_t shares = shape.share == 0 ? 0 : shape.elements / shape.share;
  for (uint32_t k = 0; k < shares; ++k) {
    block.step.push_back(within(shape.least_step, shape.most_step));
    if (shape.has_low) block.low.push_back(within(shape.least_step, shape.most_step));
  }
  std::normal_distribution<float> normal(0, 0.01f);
  block.scale = f32_to_f16(normal(*random));
  if (shape.has_low || shape.has_least) block.least = f32_to_f16(normal(*random));
  return block;
}

std::string encode_block(SourceType type, const SourceBlock& block) {
  switch (type) {
    case SourceType::q8_0:
      return encode_q8_0(block);
    case SourceType::q2_k:
      return encode_q2_k(block);
    case SourceType::q3_k:
      return encode_q3_k(block);
    case SourceType::q4_k:
    case SourceType::q5_k:
      return encode_q4_or_q5_k(type, block);
    case SourceType::q6_k:
      return encode_q6_k(block);
    default:
      return encode_small(type, block);
  }
}

double block_value(SourceType type, const SourceBlock& block, uint32_t i) {
  const BlockShape shape = block_shape(type);
  double value = half_value(block.scale) * level(type, block.q[i]);
  if (shape.share != 0) value *= block.step[i / shape.share] - shape.step_zero;
  if (shape.has_least) value += half_value(block.least);
  if (shape.has_low) value -= half_value(block.least) * block.low[i / shape.share];
  return value;
}

std::string quantize_block(SourceType type, float* values) {
  const BlockShape shape = block_shape(type);
  const uint32_t share = shape.share == 0 ? shape.elements : shape.share;
  const bool from_least = shape.has_low || shape.has_least;
  // Of every share: how far its levels must reach, and from where.
  std::vector<double> reach, from;
  for (uint32_t k = 0; k < shape.elements / share; ++k) {
    const auto [low, high] = std::minmax_element(values + k * share, values + (k + 1) * share);
    const double least = std::min(0.0, static_cast<double>(*low));
    const double most = static_cast<double>(*high);
    from.push_back(from_least ? -least : 0.0);
    reach.push_back(from_least ? std::max(most - least, 1e-9)
                               : std::max(std::max(most, -least), 1e-9));
  }
  const double top = type == SourceType::iq4_nl ? 113 : shape.most_q - shape.zero;
  SourceBlock block;
  const double widest = *std::max_element(reach.begin(), reach.end());
  const double deepest = *std::max_element(from.begin(), from.end());
  const int most_step = shape.most_step - shape.step_zero;
  block.scale = f32_to_f16(static_cast<float>(widest / top / most_step));
  if (shape.has_least) block.least = f32_to_f16(static_cast<float>(-deepest));
  if (shape.has_low) block.least = f32_to_f16(static_cast<float>(deepest / most_step));
  for (uint32_t k = 0; shape.share != 0 && k < reach.size(); ++k) {
    const double step = reach[k] / top / half_value(block.scale);
    block.step.push_back(std::clamp(static_cast<int>(std::lround(step)), 1, most_step) +
                         shape.step_zero);
    if (!shape.has_low) continue;
    const double low = block.least == 0 ? 0 : from[k] / half_value(block.least);
    block.low.push_back(std::clamp(static_cast<int>(std::lround(low)), 0, most_step));
  }
  block.q.assign(shape.elements, 0);
  for (uint32_t i = 0; i < shape.elements; ++i) {
    block.q[i] = 0;
    double step = half_value(block.scale);
    double low = 0;
    if (shape.share != 0) step *= block.step[i / share] - shape.step_zero;
    if (shape.has_least) low = -half_value(block.least);
    if (shape.has_low) low = half_value(block.least) * block.low[i / share];
    block.q[i] = nearest_q(type, static_cast<double>(values[i]) + low, step);
  }
  for (uint32_t i = 0; i < shape.elements; ++i)
    values[i] = static_cast<float>(block_value(type, block, i));
  return encode_block(type, block);
}

}  // namespace nbl::test
