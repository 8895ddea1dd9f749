// How a team of chain.comp multiplies x by its words of weights on lanes: lane 2i + q has word i of
// quad q.

shared float eights[POOL / 2];  // 8 * the sum of the eight x of a k-word

uint lane_quad() { return lane & 1u; }
uint lane_word() { return lane >> 1; }

// Eight x into shared memory.
void keep_word(uint word, uint, vec4 low, vec4 high) {
  pool[2u * word] = floatBitsToUint(low);
  pool[2u * word + 1u] = floatBitsToUint(high);
  eights[word] = 8.0 * dot(low + high, vec4(1.0));
}

// Sum of nibble * x over the eight k of a word, times UNIT.
#ifdef SHUFFLE
// A masked nibble is a subnormal half: nibble * 2^-24, or 16 times that. Two of them take one mask,
// and converting a half is an addition, where converting an integer takes three instructions or one
// of a quarter of the rate. Vulkan lets a device take subnormal halves for 0: those that have
// Caps::cores do not.
const float UNIT = 1.0 / 16777216.0;
float eight_products(uint word, vec4 low, vec4 high) {
  const vec2 k02 = unpackHalf2x16(word & 0x000f000fu);
  const vec2 k46 = unpackHalf2x16(word & 0x00f000f0u);
  const vec2 k13 = unpackHalf2x16((word >> 8) & 0x000f000fu);
  const vec2 k57 = unpackHalf2x16((word >> 8) & 0x00f000f0u);
  const float first = k02.x * low.x + k13.x * low.y + k02.y * low.z + k13.y * low.w;
  const float second = k46.x * high.x + k57.x * high.y + k46.y * high.z + k57.y * high.w;
  return second * 0.0625 + first;
}
#else
const float UNIT = 1.0;
float eight_products(uint word, vec4 low, vec4 high) {
  const uvec2 w = uvec2(word, word >> 4) & 0x0f0f0f0fu;
  return dot(vec4(w.x & 0xffu, (w.x >> 8) & 0xffu, (w.x >> 16) & 0xffu, w.x >> 24), low) +
         dot(vec4(w.y & 0xffu, (w.y >> 8) & 0xffu, (w.y >> 16) & 0xffu, w.y >> 24), high);
}
#endif

vec4 use_slot(uint slot, uint slice) {
  const uint word = slice * 16u + lane_word();
  const uvec4 bits = slot_bits[slot];
  const vec4 low = uintBitsToFloat(pool[2u * word]);
  const vec4 high = uintBitsToFloat(pool[2u * word + 1u]);
  const vec4 scale = F32_SCALES ? uintBitsToFloat(slot_scale[slot])
                                : vec4(unpackHalf2x16(slot_scale[slot].x),
                                       unpackHalf2x16(slot_scale[slot].y));
  const vec4 products =
      vec4(eight_products(bits.x, low, high), eight_products(bits.y, low, high),
           eight_products(bits.z, low, high), eight_products(bits.w, low, high));
  return (products * (1.0 / UNIT) - eights[word]) * scale;
}

// The sums of a team's quads, in its lanes 0 and 1. All lanes of the work-group come here together.
vec4 join_lanes(vec4 sum) {
#ifdef SHUFFLE
  [[unroll]] for (uint away = 2u; away < CHAIN_TEAM; away *= 2u) {
    sum += subgroupShuffleXor(sum, away);
  }
  return sum;
#else
  barrier();
  lane_sums[at] = sum;
  barrier();
  sum = vec4(0.0);
  for (uint i = lane & 1u; i < CHAIN_TEAM; i += 2u) sum += lane_sums[team * CHAIN_TEAM + i];
  return sum;
#endif
}
