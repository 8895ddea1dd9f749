// The linears of chain.comp:
//   out[n] = inv * sum_k x[k] * norm[k] * (nibble(n, k) - 8) * scale[n][k / G]  (+ bias + residual)
// as in linear_gemv.comp. A team reads its slices through CHAIN_SLOTS slots: each is loaded again as
// soon as it has been used, for a later slice or for the next record.
#include "gated.glsl"

const bool F32_SCALES = SCALES == LINEAR_F32_SCALES;

shared vec4 squares[TEAMS / 4];
shared vec4 part[2 * TEAMS + 8];  // sums of units that teams share; past the end nothing is used
#ifndef SHUFFLE
shared vec4 lane_sums[L];
#endif

uvec4 slot_bits[CHAIN_SLOTS];
uvec4 slot_scale[CHAIN_SLOTS];

#ifdef MATRIX
#include "chain_dot_matrix.glsl"
#else
#include "chain_dot.glsl"
#endif

// Slices of one unit, from `slice` on, every `stride`th.
struct Stream {
  uint weight, scale;  // where the unit's k-word 0 lies for this lane
  uint slice, stride, slices;
  uint last_word, group_shift;
};

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
  const uint quad = 2u * (read & 1u) + lane_quad();
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
  const uint word = min((s.slice + slot * s.stride) * 16u + lane_word(), s.last_word);
  slot_bits[slot] = weight[s.weight + word * 4u];
  const uint scale = word >> s.group_shift;
  if (F32_SCALES) {
    slot_scale[slot] = uvec4(scales[s.scale + scale * 8u], scales[s.scale + scale * 8u + 1u]);
  } else {
    slot_scale[slot].xy = scales[s.scale + scale * 4u];
  }
}

#ifdef MATRIX
// Uses the slots and loads them again, without a branch in between: what one waits for is hidden by
// the others.
vec4 turn_over(uint first, uint stride, uint slices) {
  vec4 sum = vec4(0.0);
  if (agreed(first < slices)) {
    [[unroll]] for (uint i = 0u; i < CHAIN_SLOTS; ++i) {
      const uint slice = first + i * stride;
      sum += use_slot(i, min(slice, slices - 1u), slice < slices);
      load_slot(i, ahead);
    }
  } else {
    [[unroll]] for (uint i = 0u; i < CHAIN_SLOTS; ++i) load_slot(i, ahead);
  }
  return sum;
}
#endif

// For this lane's first word of x, before x is there.
void fetch_norm(uint which) {
  if ((field(which, CHAIN_FLAGS) & GEMV_NORM) == 0u) return;
  const uint last = field(which, CHAIN_COLUMNS) / 4u - 1u;
  [[unroll]] for (uint i = 0u; i < 2u; ++i) {
    norm_ahead[i] = norms[field(which, CHAIN_NORM) + min(2u * at + i, last)];
  }
}

// x, times norm, into shared memory, zero past its end.
void stage(uint which) {
  const uint flags = field(which, CHAIN_FLAGS);
  const uint words = slices_of(which) * 16u;
  const uint live_words = (field(which, CHAIN_COLUMNS) + 31u) / 32u * 4u;
  const uint last = field(which, CHAIN_COLUMNS) / 4u - 1u;
  float square = 0.0;
  Eight early = Eight(uvec4(0u), uvec4(0u));
#ifdef MATRIX
  // Whole teams: four lanes work together.
  [[dont_unroll]] for (uint from = 0u; agreed(from + team * CHAIN_TEAM < words); from += L) {
    const uint word = from + at;
#else
  [[dont_unroll]] for (uint word = at; word < words; word += L) {
#endif
    vec4 low = vec4(0.0), high = vec4(0.0);
    if (word < live_words) {
      const Eight m = read_word(field(which, CHAIN_X), (flags & CHAIN_X_MESSAGE) != 0u, word,
                                word + L < live_words, early);
      low = uintBitsToFloat(m.low);
      high = uintBitsToFloat(m.high);
    }
    if ((flags & GEMV_NORM) != 0u) {
      square += dot(low, low) + dot(high, high);
      const bool ahead = word == at;
      const uint norm = field(which, CHAIN_NORM);
      low *= ahead ? norm_ahead[0] : norms[norm + min(2u * word, last)];
      high *= ahead ? norm_ahead[1] : norms[norm + min(2u * word + 1u, last)];
    }
    keep_word(word, words, low, high);
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
  if (lane == 0u) squares[team / 4u][team % 4u] = square;
}

// 1 / rms(x), or 1 where there is no norm.
float inverse_rms(uint which) {
  vec4 sum = vec4(0.0);
  [[unroll]] for (uint i = 0u; i < TEAMS / 4u; ++i) sum += squares[i];
  const float mean = dot(sum, vec4(1.0)) / float(field(which, CHAIN_COLUMNS));
  const float inv = inversesqrt(mean + uintBitsToFloat(field(which, CHAIN_EPS)));
  return (field(which, CHAIN_FLAGS) & GEMV_NORM) != 0u ? inv : 1.0;
}

// What is added to a quad's sums: its bias, or residual, or both.
vec4 added_to(uint which, uint quad) {
  const uint flags = field(which, CHAIN_FLAGS);
  vec4 added = vec4(0.0);
  if ((flags & LINEAR_RESIDUAL) != 0u) {
    added = read_quad(field(which, CHAIN_RESIDUAL), (flags & CHAIN_RESIDUAL_MESSAGE) != 0u, quad);
  }
  if ((flags & LINEAR_BIAS) != 0u) {
    const uint rows = field(which, CHAIN_LIVE_ROWS);
    const uint bias = field(which, CHAIN_BIAS);
    [[unroll]] for (uint i = 0u; i < 4u; ++i) {
      const uint row = quad * 4u + i;
      if (row < rows) added[i] += table[bias + row];
    }
  }
  return added;
}

// Where a record's results go.
struct Out {
  uint place, flags;
};

Out out_of(uint which) { return Out(field(which, CHAIN_OUT), field(which, CHAIN_FLAGS)); }

// A gate has no residual.
void store_quad(Out o, uint quad, vec4 sum) {
  const bool message = (o.flags & CHAIN_OUT_MESSAGE) != 0u;
  if ((o.flags & LINEAR_SWIGLU) != 0u) {
    const bool gelu = (o.flags & LINEAR_GELU) != 0u;
    write_pair(o.place + 2u * quad, message,
               vec2(gated(sum.x, sum.y, gelu), gated(sum.z, sum.w, gelu)));
  } else {
    write_quad(o.place + 4u * quad, message, sum);
  }
}

// One record. `primed`: its first slices are in the slots already.
void multiply(uint which, uint next, bool primed, bool has_next) {
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
  vec4 sum = vec4(0.0);
  vec4 added = vec4(0.0);
  if (!primed) ahead.slices = 0u;
  bool filling = !primed;
  uint unit_turn = 0u;  // of the slices that are in the slots
  uint round = 0u;
  [[dont_unroll]] while (true) {
    uint next_turn = 0u;
    uint next_round = 0u;
    bool to_next = false;
    if (!filling) {
      next_round = round + 1u == rounds ? 0u : round + 1u;
      next_turn = next_round == 0u ? unit_turn + 1u : unit_turn;
      to_next = (next_turn == turns);
    }
    // What need not wait for x is done before.
    const uint target = to_next ? next : which;
    const bool wanted = !to_next || has_next;
    const Stream following =
        stream_of(wanted ? target : which, to_next ? 0u : next_turn, next_round, wanted);
    if (!filling && round == 0u) {
      sum = vec4(0.0);
      if (may_store && quad < end) added = added_to(which, quad);
      if (unit_turn == 0u) {
        // A work-group without units reads nothing, so that nobody has to wait for it.
        if (units.x != units.y) stage(which);
        barrier();
      }
    }
    const uint slice0 = ahead.slice, stride = ahead.stride, slices = ahead.slices;
    ahead = following;
    // Teams without work are many in small matrices.
    const bool loads = agreed(ahead.slice < ahead.slices);
    if (agreed(slice0 < slices || loads)) {
#ifdef MATRIX
      sum += turn_over(slice0, stride, slices);
#else
      [[unroll]] for (uint i = 0u; i < CHAIN_SLOTS; ++i) {
        const uint slice = slice0 + i * stride;
        if (slice < slices) sum += use_slot(i, slice);
        load_slot(i, ahead);
      }
#endif
    }
    if (filling) {
      filling = false;
      continue;
    }
    if (next_round == 0u) {
      const Out place = out_of(which);
      const float inv = inverse_rms(which);
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
      if (may_store && quad < end) store_quad(place, quad, sum * inv + added);
      quad += quads_a_turn;
    }
    if (to_next) return;
    unit_turn = next_turn;
    round = next_round;
  }
}
