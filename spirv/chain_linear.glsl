// The linears of chain.comp:
//   out[n] = inv * sum_k x[k] * norm[k] * (nibble(n, k) - 8) * scale[n][k / G]  (+ bias + residual)
// as in linear_gemv.comp. A team reads its slices through CHAIN_SLOTS slots: each is loaded again as
// soon as it has been used, for the slice CHAIN_SLOTS later or for the next record.
#include "gated.glsl"

const bool F32_SCALES = SCALES == LINEAR_F32_SCALES;

shared float eights[POOL / 2];  // 8 * the sum of the eight x of a k-word
shared float squares[TEAMS];
shared vec4 part[2 * TEAMS + 8];  // sums of units that teams share; past the end nothing is used
#ifndef SHUFFLE
shared vec4 lane_sums[L];
#endif

// Slices of one unit, from `slice` on, every `stride`th.
struct Stream {
  uint weight, scale;  // where the unit's k-word 0 lies for this lane
  uint slice, stride, slices;
  uint last_word, group_shift;
};

uvec4 slot_bits[CHAIN_SLOTS];
uvec4 slot_scale[CHAIN_SLOTS];
Stream ahead;        // what the slots hold
vec4 norm_ahead[2];  // for the first word of x that this lane stages

// The units of this work-group: the first of them have one more.
uvec2 units_of(uint which) {
  const uint each = field(which, CHAIN_UNITS) & 0xffffffu;
  const uint more = field(which, CHAIN_UNITS) >> 24;
  const uint first = group * each + min(group, more);
  return uvec2(first, first + each + (group < more ? 1u : 0u));
}

uint slices_of(uint which) { return (field(which, CHAIN_K_WORDS) + 15u) / 16u; }

// The slices that this team loads in a round of its turn; none where `wanted` is false. Loads are
// never skipped, which would cost code: those that nobody wants go to one place.
Stream stream_of(uint which, uint turn, uint round, bool wanted) {
  const uint shifts = field(which, CHAIN_SHIFTS);
  const uint k_words = field(which, CHAIN_K_WORDS);
  const uvec2 units = units_of(which);
  const uint shared_by = shifts >> 8;
  const uint unit = units.x + (team >> shared_by) + turn * (TEAMS >> shared_by);
  const bool live = wanted && unit < units.y;
  const uint read = live ? unit : 0u;
  const uint quad = 2u * (read & 1u) + (lane & 1u);
  Stream s;
  s.group_shift = shifts & 255u;
  s.stride = 1u << shared_by;
  s.slice = (team & (s.stride - 1u)) + round * CHAIN_SLOTS * s.stride;
  s.slices = live ? (k_words + 15u) / 16u : 0u;
  s.last_word = live ? k_words - 1u : 0u;
  s.weight = field(which, CHAIN_WEIGHT) + (read >> 1) * k_words * 4u + quad;
  const uint scale = (read >> 1) * (k_words >> s.group_shift) * 4u + quad;
  s.scale = field(which, CHAIN_SCALES) + (F32_SCALES ? 2u * scale : scale);
  return s;
}

void load_slot(uint slot, Stream s) {
  const uint word = min((s.slice + slot * s.stride) * 16u + (lane >> 1), s.last_word);
  slot_bits[slot] = weight[s.weight + word * 4u];
  const uint scale = word >> s.group_shift;
  if (F32_SCALES) {
    slot_scale[slot] = uvec4(scales[s.scale + scale * 8u], scales[s.scale + scale * 8u + 1u]);
  } else {
    slot_scale[slot].xy = scales[s.scale + scale * 4u];
  }
}

// For this lane's first word of x, before x is there.
void fetch_norm(uint which) {
  if ((field(which, CHAIN_FLAGS) & GEMV_NORM) == 0u) return;
  const uint last = field(which, CHAIN_COLUMNS) / 4u - 1u;
  [[unroll]] for (uint i = 0u; i < 2u; ++i) {
    norm_ahead[i] = norms[field(which, CHAIN_NORM) + min(2u * at + i, last)];
  }
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
  const uint word = slice * 16u + (lane >> 1);
  const uvec4 bits = slot_bits[slot];
  const vec4 low = pool[2u * word], high = pool[2u * word + 1u];
  const vec4 scale = F32_SCALES ? uintBitsToFloat(slot_scale[slot])
                                : vec4(unpackHalf2x16(slot_scale[slot].x),
                                       unpackHalf2x16(slot_scale[slot].y));
  const vec4 products =
      vec4(eight_products(bits.x, low, high), eight_products(bits.y, low, high),
           eight_products(bits.z, low, high), eight_products(bits.w, low, high));
  return (products * (1.0 / UNIT) - eights[word]) * scale;
}

// x, times norm, into shared memory, zero past its end.
void stage(uint which) {
  const uint flags = field(which, CHAIN_FLAGS);
  const uint words = slices_of(which) * 16u;
  const uint live_words = (field(which, CHAIN_COLUMNS) + 31u) / 32u * 4u;
  const uint last = field(which, CHAIN_COLUMNS) / 4u - 1u;
  float square = 0.0;
  [[dont_unroll]] for (uint word = at; word < words; word += L) {
    vec4 low = vec4(0.0), high = vec4(0.0);
    if (word < live_words) {
      low = read_quad(field(which, CHAIN_X), field(which, CHAIN_X_TAG), 2u * word);
      high = read_quad(field(which, CHAIN_X), field(which, CHAIN_X_TAG), 2u * word + 1u);
    }
    if ((flags & GEMV_NORM) != 0u) {
      square += dot(low, low) + dot(high, high);
      const bool ahead = word == at;
      const uint norm = field(which, CHAIN_NORM);
      low *= ahead ? norm_ahead[0] : norms[norm + min(2u * word, last)];
      high *= ahead ? norm_ahead[1] : norms[norm + min(2u * word + 1u, last)];
    }
    pool[2u * word] = low;
    pool[2u * word + 1u] = high;
    eights[word] = 8.0 * dot(low + high, vec4(1.0));
  }
  if ((flags & GEMV_NORM) == 0u) return;
#ifdef SHUFFLE
  [[unroll]] for (uint away = 1u; away < CHAIN_TEAM; away *= 2u) {
    square += subgroupShuffleXor(square, away);
  }
#else
  lane_sums[at].x = square;
  barrier();
  square = 0.0;
  for (uint i = 0u; i < CHAIN_TEAM; ++i) square += lane_sums[team * CHAIN_TEAM + i].x;
#endif
  if (lane == 0u) squares[team] = square;
}

float inverse_rms(uint which) {
  if ((field(which, CHAIN_FLAGS) & GEMV_NORM) == 0u) return 1.0;
  float sum = 0.0;
#ifdef SHUFFLE
  sum = squares[lane % TEAMS];
  [[unroll]] for (uint away = 1u; away < TEAMS; away *= 2u) sum += subgroupShuffleXor(sum, away);
#else
  for (uint i = 0u; i < TEAMS; ++i) sum += squares[i];
#endif
  return inversesqrt(sum / float(field(which, CHAIN_COLUMNS)) +
                     uintBitsToFloat(field(which, CHAIN_EPS)));
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

// What a quad's results are added to.
struct Added {
  vec4 bias, residual;
};

Added added_to(uint which, uint quad) {
  const uint flags = field(which, CHAIN_FLAGS);
  Added a = Added(vec4(0.0), vec4(0.0));
  if ((flags & LINEAR_RESIDUAL) != 0u) {
    a.residual = read_quad(field(which, CHAIN_RESIDUAL), field(which, CHAIN_RESIDUAL_TAG), quad);
  }
  if ((flags & LINEAR_BIAS) != 0u) {
    const uint rows = field(which, CHAIN_LIVE_ROWS);
    const uint bias = field(which, CHAIN_BIAS);
    [[unroll]] for (uint i = 0u; i < 4u; ++i) {
      const uint row = quad * 4u + i;
      if (row < rows) a.bias[i] = table[bias + row];
    }
  }
  return a;
}

void store_quad(uint which, uint quad, vec4 sum, Added a) {
  sum += a.bias;
  const uint out_place = field(which, CHAIN_OUT);
  const uint tag = field(which, CHAIN_OUT_TAG);
  const bool swiglu = (field(which, CHAIN_FLAGS) & LINEAR_SWIGLU) != 0u;
  if (swiglu) {
    const bool gelu = (field(which, CHAIN_FLAGS) & LINEAR_GELU) != 0u;
    sum.xy = vec2(gated(sum.x, sum.y, gelu), gated(sum.z, sum.w, gelu));
  } else {
    sum += a.residual;
  }
  write_pair(out_place + (swiglu ? 2u : 4u) * quad, tag, sum.xy);
  if (!swiglu) write_pair(out_place + 4u * quad + 2u, tag, sum.zw);
}

// One record. `primed`: its first slices are in the slots already.
void multiply(uint which, bool primed, bool has_next) {
  const uint shared_by = field(which, CHAIN_SHIFTS) >> 8;
  const uint turns = field(which, CHAIN_TURNS);
  const uint rounds = field(which, CHAIN_ROUNDS);
  const uvec2 units = units_of(which);
  const uint end = 2u * units.y;
  // The quad that this lane stores.
  const uint quads_a_turn = (2u * TEAMS) >> shared_by;
  const bool may_store = shared_by == 0u ? lane < 2u : at < quads_a_turn;
  uint quad = 2u * units.x + (shared_by == 0u ? 2u * team + lane : at);
  fetch_norm(which);
  float inv = 1.0;
  vec4 sum = vec4(0.0);
  Added added = Added(vec4(0.0), vec4(0.0));
  if (!primed) ahead.slices = 0u;
  bool filling = !primed;
  uint unit_turn = 0u;  // of the slices that are in the slots
  uint round = 0u;
  [[dont_unroll]] while (true) {
    uint next_turn = 0u;
    uint next_round = 0u;
    bool to_next = false;
    if (!filling) {
      if (round == 0u && unit_turn == 0u) {
        // A work-group without units reads nothing, so that nobody has to wait for it.
        if (units.x != units.y) stage(which);
        barrier();
        inv = inverse_rms(which);
      }
      if (round == 0u) {
        sum = vec4(0.0);
        if (may_store && quad < end) added = added_to(which, quad);
      }
      next_round = round + 1u == rounds ? 0u : round + 1u;
      next_turn = next_round == 0u ? unit_turn + 1u : unit_turn;
      to_next = next_turn == turns;
    }
    const uint slice0 = ahead.slice, stride = ahead.stride, slices = ahead.slices;
    const uint target = to_next ? which ^ 1u : which;
    const bool wanted = !to_next || (has_next && !is_attention(target));
    ahead = stream_of(wanted ? target : which, to_next ? 0u : next_turn, next_round, wanted);
    // Teams without work are many in small matrices.
    const bool loads = ahead.slice < ahead.slices;
    if (slice0 < slices || loads) {
      [[unroll]] for (uint i = 0u; i < CHAIN_SLOTS; ++i) {
        const uint slice = slice0 + i * stride;
        if (slice < slices) sum += use_slot(i, slice);
        load_slot(i, ahead);
      }
    }
    if (filling) {
      filling = false;
      continue;
    }
    if (next_round == 0u) {
      sum = join_lanes(sum);
      if (shared_by != 0u) {
        if (lane < 2u) part[2u * team + lane] = sum;
        barrier();
        if (may_store) {
          sum = vec4(0.0);
          const uint from = ((at >> 1) << shared_by) * 2u + (at & 1u);
          [[dont_unroll]] for (uint i = 0u; i < 1u << shared_by; i += 4u) {
            [[unroll]] for (uint k = i; k < i + 4u; ++k) {
              sum += k < 1u << shared_by ? part[from + 2u * k] : vec4(0.0);
            }
          }
        }
      }
      if (may_store && quad < end) store_quad(which, quad, sum * inv, added);
      quad += quads_a_turn;
    }
    if (to_next) return;
    unit_turn = next_turn;
    round = next_round;
  }
}
