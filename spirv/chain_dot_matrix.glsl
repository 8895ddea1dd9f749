// How a team of chain.comp multiplies x by its words of weights on matrix units, as exactly as on
// lanes.
//
// A masked nibble is a subnormal half, nibble * 2^-24, so that a lane's words are its elements of the
// left matrix after a mask. x is two halves, of which the second takes what the first left, after
// all of a group of 32 have been scaled by a power of two. A slice is four such groups: group s has
// the columns 2s (first halves) and 2s + 1. The right matrix holds the same k of the four side by
// side, and of 16 rows times 8 columns those are wanted whose lane has words of that group.
//
// Lane        4g + t has the words 4s + t of quad q, where g = 2s + q
// Left        rows g and g + 8: two rows of the quad; columns 2t, 2t + 1, 2t + 8, 2t + 9
// Sum         rows g and g + 8, columns 2t and 2t + 1; wanted where t = s
//
// Source      What a lane has of a matrix is for the device to choose (here, as PTX names it for
//             mma.m16n8k16): has_expected_elements() looks, and no other layout is used.

#define LEFT fcoopmatNV<16, gl_ScopeSubgroup, 16, 16>
#define RIGHT fcoopmatNV<16, gl_ScopeSubgroup, 16, 8>
#define SUM fcoopmatNV<32, gl_ScopeSubgroup, 16, 8>

// Whether this lane has the elements that it should, by matrices of their elements' numbers. All
// lanes of the work-group come here.
bool has_expected_elements() {
  bool expected = true;
  [[dont_unroll]] for (uint i = at; i < 128u; i += L) {
    pool[i / 4u][i % 4u] = packFloat2x16(f16vec2(2u * i, 2u * i + 1u));
  }
  barrier();
  LEFT left;
  coopMatLoadNV(left, pool, 0u, 2u, false);
  [[unroll]] for (uint i = 0u; i < 8u; ++i) {
    const uint column = 2u * (lane % 4u) + i % 2u + i / 2u % 2u * 8u;
    expected = expected && uint(left[i]) == (lane / 4u + i / 4u * 8u) * 16u + column;
  }
  barrier();
  [[dont_unroll]] for (uint i = at; i < 128u; i += L) {
    pool[i / 4u][i % 4u] = floatBitsToUint(float(i));
  }
  barrier();
  SUM sum;
  coopMatLoadNV(sum, pool, 0u, 2u, false);
  [[unroll]] for (uint i = 0u; i < 4u; ++i) {
    const uint column = 2u * (lane % 4u) + i % 2u;
    expected = expected && uint(sum[i]) == (lane / 4u + i / 2u * 8u) * 8u + column;
  }
  barrier();
  return expected;
}

shared vec2 folds[POOL / 8];  // of a group of 32: what its products are times, 8 * the sum of its x

uint lane_quad() { return (lane >> 2) & 1u; }
uint lane_word() { return 4u * (lane >> 3) + (lane & 3u); }

// A pair of x as halves, and what they leave. Cut off by a mask: a compiler may take what is rounded
// to a half and back for what it was.
void keep_pair(uint column, uint t, vec2 x) {
  const vec2 first = uintBitsToFloat(floatBitsToUint(x) & 0xffffe000u);
  pool[column][t] = packFloat2x16(f16vec2(first));
  pool[column + 2u][t] = packFloat2x16(f16vec2(x - first));
}

void keep_four(uint column, uint t, vec4 x) {
  keep_pair(column, t, x.xz);
  keep_pair(column + 1u, t, x.yw);
}

// Eight x into shared memory, which has room for so many words. All four lanes of a group come here
// together.
void keep_word(uint word, uint words, vec4 low, vec4 high) {
  const vec4 both = max(abs(low), abs(high));
  float most = max(max(both.x, both.y), max(both.z, both.w));
  float sum = dot(low + high, vec4(1.0));
  [[unroll]] for (uint away = 1u; away < 4u; away *= 2u) {
    most = max(most, subgroupShuffleXor(most, away));
    sum += subgroupShuffleXor(sum, away);
  }
  if (word >= words) return;
  // 2^14 over the largest power of two in the group.
  const uint exponent = clamp(floatBitsToUint(most) >> 23, 14u, 244u);
  const float up = uintBitsToFloat((268u - exponent) << 23);
  if ((word & 3u) == 0u) {
    folds[word / 4u] = vec2(uintBitsToFloat((exponent + 10u) << 23), 8.0 * sum);
  }
  // The nibbles of the second four are masked where they are: 16 times as large.
  const uint column = word / 16u * 32u + ((word >> 2) & 3u) * 4u;
  keep_four(column, word & 3u, low * up);
  keep_four(column + 16u, word & 3u, high * (up * 0.0625));
}

// The four elements of a row that a lane has.
void set_row(inout LEFT m, uint first, uint low, uint high) {
  const f16vec2 a = unpackFloat2x16(low);
  const f16vec2 b = unpackFloat2x16(high);
  m[first] = a.x;
  m[first + 1u] = a.y;
  m[first + 2u] = b.x;
  m[first + 3u] = b.y;
}

// Two rows of eight k times x.
vec2 two_products(uint first, uint second, RIGHT low, RIGHT high) {
  LEFT a, b;
  const uint first_odd = first >> 8, second_odd = second >> 8;
  set_row(a, 0u, first & 0x000f000fu, first_odd & 0x000f000fu);
  set_row(a, 4u, second & 0x000f000fu, second_odd & 0x000f000fu);
  set_row(b, 0u, first & 0x00f000f0u, first_odd & 0x00f000f0u);
  set_row(b, 4u, second & 0x00f000f0u, second_odd & 0x00f000f0u);
  const SUM sum = coopMatMulAddNV(b, high, coopMatMulAddNV(a, low, SUM(0.0)));
  return vec2(sum[0] + sum[1], sum[2] + sum[3]);
}

vec4 use_slot(uint slot, uint slice, bool live) {
  const uvec4 bits = slot_bits[slot];
  RIGHT low, high;
  coopMatLoadNV(low, pool, slice * 32u, 2u, true);
  coopMatLoadNV(high, pool, slice * 32u + 16u, 2u, true);
  const vec2 fold = live ? folds[slice * 4u + (lane >> 3)] : vec2(0.0);
  const vec4 scale = F32_SCALES ? uintBitsToFloat(slot_scale[slot])
                                : vec4(unpackHalf2x16(slot_scale[slot].x),
                                       unpackHalf2x16(slot_scale[slot].y));
  const vec4 products = vec4(two_products(bits.x, bits.y, low, high),
                             two_products(bits.z, bits.w, low, high));
  return (products * fold.x - fold.y) * scale;
}

// The sums of a team's quads, in its lanes 0 and 1.
vec4 join_lanes(vec4 sum) {
  sum = subgroupShuffle(sum, 9u * ((lane >> 1) & 3u) + 4u * (lane & 1u));
  [[unroll]] for (uint away = 2u; away < 8u; away *= 2u) sum += subgroupShuffleXor(sum, away);
  return sum;
}
