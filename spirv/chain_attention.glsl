// The attention of chain.comp, for one token: RoPE, cache write and softmax(q k) v as in
// sdpa_token.comp, with caches of f16. A task is the queries of a kv head, or as long as there are
// work-groups for that, one of them. Work-groups take a split of the positions for a task each; that
// of the first split joins the others, which it gets as messages. There are no more splits than
// work-groups, so none waits for one that it has to make itself.
//
// Parts       of split k > 0 and a head: D sums, the largest score, the sum of the weights; row
//             (k - 1) * HEADS + head of those.
//
// Work-item   a pair of elements to rotate; the score of one position in a block of POSITIONS, over
//             every LANES_th chunk of 8 dimensions; the sums of one chunk over every SHARES-th
//             position.
// Loops that need not be unrolled are not: all of this is fetched anew for each record.

#include "half_pack.glsl"
#define T float
#include "softcap.glsl"

const uint D4 = D / 4;
const uint CHUNKS = D / 8;                     // a power of two, at most CHAIN_TEAM
#ifdef SHUFFLE
const uint LANES = 2;  // of a position
#else
const uint LANES = 1;
#endif
const uint POSITIONS = L / LANES;              // of a block
const uint KEYS = CHUNKS / LANES;              // chunks of a key in a lane
const uint SHARES = L / CHUNKS;                // lanes of a chunk
const uint VALUES = POSITIONS / SHARES;        // positions of a lane
const uint PAIRS = (R + 2) * D / 2;            // of elements of queries, key and value, at most
const uint TURNS = (PAIRS + L - 1) / L;
const uint HEADS = R * KV_HEADS;
const float LOWEST = -1e38;
#ifdef SHUFFLE
const uint PARTS = TEAMS;
#else
const uint PARTS = SHARES;
#endif

shared vec4 queries[R * D4];  // scaled
shared vec4 fresh[2 * D4];    // the new key and value as the cache has them
shared float weights[2][R * POSITIONS];  // scores of a block, by its parity
shared float tops[2][R * TEAMS];
shared float part_totals[R * PARTS];
shared float split_tops[2][R];

uvec4 keys[KEYS];
uvec4 values[VALUES];
vec2 angles[TURNS];

// A work-group's share of a task's positions.
struct Split {
  uint kv, head, queries;  // the first head, and how many
  uint index, used, begin, end;
};

Split split_of(uint which, uint task) {
  const uint window = field(which, CHAIN_WINDOW);
  const uint oldest = window != 0u ? max(position + 1u, window) - window : 0u;
  const uint blocks = (position - oldest) / POSITIONS + 1u;
  const bool lone = blocks <= field(which, CHAIN_LONE_BLOCKS);
  const uint splits = field(which, CHAIN_SPLITS);
  const uint size = (blocks + splits - 1u) / splits;
  Split s;
  s.kv = task % KV_HEADS;
  s.head = s.kv * R;
  s.queries = R;
  s.index = task / KV_HEADS;
  if (lone) {
    s.head += s.index % R;
    s.queries = 1u;
    s.index /= R;
  }
  s.used = (blocks + size - 1u) / size;
  s.begin = oldest + s.index * size * POSITIONS;
  s.end = min(s.begin + size * POSITIONS, position + 1u);
  return s;
}

uint cache_row(uint which, uint kv) { return kv * field(which, CHAIN_CONTEXT) * CHUNKS; }

// The keys and values of a block, as far as they are in the caches.
void load_block(uint which, Split s, uint base) {
  const uint newest = max(position, 1u) - 1u;  // position of the last old key
  const uint row = cache_row(which, s.kv);
  const uint k_at = field(which, CHAIN_K_CACHE) + row + at % LANES +
                    min(base + at / LANES, newest) * CHUNKS;
  [[unroll]] for (uint i = 0u; i < KEYS; ++i) keys[i] = cache[k_at + i * LANES];
  const uint v_at = field(which, CHAIN_V_CACHE) + row + at % CHUNKS;
  [[unroll]] for (uint i = 0u; i < VALUES; ++i) {
    values[i] = cache[v_at + min(base + at / CHUNKS + i * SHARES, newest) * CHUNKS];
  }
}

// Where pair i of a head lies, first and second element.
uvec2 pair_place(uint which, uint i) {
  const uint rotary_dim = field(which, CHAIN_ROTARY) & 0xffffu;
  const uint offset = field(which, CHAIN_ROTARY) >> 16;
  const bool apart = offset != 1u && 2u * i < rotary_dim;
  return apart ? uvec2(i, i + offset) : uvec2(2u * i, 2u * i + 1u);
}

// Cosines and sines of this lane's pairs; (1, 0) where they are not rotated.
void fetch_angles(uint which) {
  const uint rotary_dim = field(which, CHAIN_ROTARY) & 0xffffu;
  [[unroll]] for (uint n = 0u; n < TURNS; ++n) {
    const uint pair = (at + n * L) % (D / 2u);
    const uint first = field(which, CHAIN_TABLE) + 2u * pair;
    const uint fine = first + (position & 63u) * rotary_dim;
    const uint coarse = first + (64u + (position >> 6)) * rotary_dim;
    angles[n] = vec2(1.0, 0.0);
    if (2u * pair < rotary_dim && at + n * L < (R + 1u) * (D / 2u)) {
      const vec2 a = vec2(table[fine], table[fine + 1u]);
      const vec2 b = vec2(table[coarse], table[coarse + 1u]);
      angles[n] = vec2(a.x * b.x - a.y * b.y, a.y * b.x + a.x * b.y);
    }
  }
}

// Two elements of the row.
vec2 read_elements(uint which, uvec2 place) {
  if (!has(which, CHAIN_X_MESSAGE)) return vec2(value[place.x], value[place.y]);
  uint first, second;
  uint tries = 0u;
  [[dont_unroll]] do {
    first = message_words[place.x];
    second = message_words[place.y];
    if (++tries == PATIENCE) give_up();
  } while ((first == 0u || second == 0u) && tries < PATIENCE);
  return uintBitsToFloat(uvec2(first, second));
}

void write_result(uint which, uint index, vec2 v) {
  write_pair(field(which, CHAIN_RESULT) + index, has(which, CHAIN_OUT_MESSAGE), v);
}

// Queries, the new key and the new value into shared memory.
void prepare(uint which, Split s) {
  const float scale = uintBitsToFloat(field(which, CHAIN_QUERY_SCALE));
  [[unroll]] for (uint n = 0u; n < TURNS; ++n) {
    const uint i = at + n * L;
    const uint vector = i / (D / 2u);  // queries, key, value
    const uint head = vector < s.queries ? s.head + vector
                                         : HEADS + (vector == s.queries ? s.kv : KV_HEADS + s.kv);
    const uvec2 place = pair_place(which, i % (D / 2u));
    const uint from = field(which, CHAIN_QKV) + head * D;
    if (i < (s.queries + 2u) * (D / 2u)) {
      const vec2 v = read_elements(which, from + place);
      vec2 turned = v;
      if (vector <= s.queries) {
        turned = vec2(v.x * angles[n].x - v.y * angles[n].y, v.y * angles[n].x + v.x * angles[n].y);
      }
      if (vector < s.queries) {
        turned *= scale;
        queries[vector * D4 + place.x / 4u][place.x % 4u] = turned.x;
        queries[vector * D4 + place.y / 4u][place.y % 4u] = turned.y;
      } else {
        turned = round_to_half(turned.xyxy).xy;
        fresh[(vector - s.queries) * D4 + place.x / 4u][place.x % 4u] = turned.x;
        fresh[(vector - s.queries) * D4 + place.y / 4u][place.y % 4u] = turned.y;
      }
    }
  }
}

void unpack(uvec4 w, out vec4 low, out vec4 high) {
  low = vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y));
  high = vec4(unpackHalf2x16(w.z), unpackHalf2x16(w.w));
}

uvec4 pack(vec4 low, vec4 high) {
  return uvec4(packHalf2x16(low.xy), packHalf2x16(low.zw), packHalf2x16(high.xy),
               packHalf2x16(high.zw));
}

// The scores of a block into weights[parity], and the largest of each team into tops[parity].
void score(uint which, Split s, uint base, uint parity) {
  const uint p = base + at / LANES;
  vec4 low[KEYS], high[KEYS];
  [[unroll]] for (uint i = 0u; i < KEYS; ++i) {
    const uint chunk = at % LANES + i * LANES;
    unpack(keys[i], low[i], high[i]);
    if (p >= position) {
      low[i] = fresh[2u * chunk];
      high[i] = fresh[2u * chunk + 1u];
    }
  }
  const float cap = uintBitsToFloat(field(which, CHAIN_CAP));
  [[dont_unroll]] for (uint r = 0u; r < s.queries; ++r) {
    vec4 products = vec4(0.0);
    [[unroll]] for (uint i = 0u; i < KEYS; ++i) {
      const uint chunk = at % LANES + i * LANES;
      products += low[i] * queries[r * D4 + 2u * chunk];
      products += high[i] * queries[r * D4 + 2u * chunk + 1u];
    }
    float sum = (products.x + products.y) + (products.z + products.w);
#ifdef SHUFFLE
    [[unroll]] for (uint away = 1u; away < LANES; away *= 2u) {
      sum += subgroupShuffleXor(sum, away);
    }
#endif
    if (cap > 0.0) sum = capped(sum) * cap;
    if (p >= s.end) sum = LOWEST;
    if (at % LANES == 0u) weights[parity][r * POSITIONS + at / LANES] = sum;
#ifdef SHUFFLE
    [[unroll]] for (uint away = LANES; away < CHAIN_TEAM; away *= 2u) {
      sum = max(sum, subgroupShuffleXor(sum, away));
    }
    if (lane == 0u) tops[parity][r * TEAMS + team] = sum;
#endif
  }
}

float top_of(uint r, uint parity) {
#ifdef SHUFFLE
  float top = tops[parity][r * TEAMS + lane % TEAMS];
  [[unroll]] for (uint away = 1u; away < TEAMS; away *= 2u) {
    top = max(top, subgroupShuffleXor(top, away));
  }
#else
  float top = LOWEST;
  for (uint i = 0u; i < POSITIONS; ++i) {
    top = max(top, weights[parity][r * POSITIONS + i]);
  }
#endif
  return top;
}

// Adds a block to the sums of this team, or of this lane, in shared memory.
void add_block(uint which, Split s, uint base, uint parity) {
  const uint chunk = at % CHUNKS;
  const uint share = at / CHUNKS;
  vec4 low[VALUES], high[VALUES];
  [[unroll]] for (uint i = 0u; i < VALUES; ++i) {
    unpack(values[i], low[i], high[i]);
    if (base + share + i * SHARES >= position) {
      low[i] = fresh[D4 + 2u * chunk];
      high[i] = fresh[D4 + 2u * chunk + 1u];
    }
  }
#ifdef SHUFFLE
  const uint row = team;
  const bool writes = lane < CHUNKS;
#else
  const uint row = share;
  const bool writes = true;
#endif
  [[dont_unroll]] for (uint r = 0u; r < s.queries; ++r) {
    const float old_top = base == s.begin ? LOWEST : split_tops[parity][r];
    const float top = max(old_top, top_of(r, parity));
    float total = 0.0;
    vec4 sum_low = vec4(0.0), sum_high = vec4(0.0);
    [[unroll]] for (uint i = 0u; i < VALUES; ++i) {
      const uint p = share + i * SHARES;
      // A weight past the end is 0, as its score is LOWEST.
      const float w = exp2(weights[parity][r * POSITIONS + p] - top);
      total += w;
      sum_low += w * low[i];
      sum_high += w * high[i];
    }
#ifdef SHUFFLE
    [[unroll]] for (uint away = CHUNKS; away < CHAIN_TEAM; away *= 2u) {
      total += subgroupShuffleXor(total, away);
      sum_low += subgroupShuffleXor(sum_low, away);
      sum_high += subgroupShuffleXor(sum_high, away);
    }
#endif
    if (writes) {
      const uint to = (row * R + r) * D4 + 2u * chunk;
      const uint to_total = row * R + r;
      if (base != s.begin) {
        const float shrink = exp2(old_top - top);
        sum_low += shrink * uintBitsToFloat(pool[to]);
        sum_high += shrink * uintBitsToFloat(pool[to + 1u]);
        total += shrink * part_totals[to_total];
      }
      pool[to] = floatBitsToUint(sum_low);
      pool[to + 1u] = floatBitsToUint(sum_high);
      if (chunk == 0u) part_totals[to_total] = total;
    }
    if (at == 0u) split_tops[parity ^ 1u][r] = top;
  }
}

// A pair of elements of the sums over a split.
struct Part {
  vec2 sums;
  float top, total;
};

const uint AT_ONCE = 4;  // parts that are waited for together

uint part_place(uint which, uint split, uint head) {
  return field(which, CHAIN_PARTS) + ((split - 1u) * HEADS + head) * (D + 2u);
}

// Adds the parts of the splits from `first` on.
void join_parts(uint which, Split s, uint first, uint head, uint pair, inout Part part) {
  uvec2 sums[AT_ONCE], ends[AT_ONCE];
  uint tries = 0u;
  bool missing;
  [[dont_unroll]] do {
    missing = false;
    [[unroll]] for (uint k = 0u; k < AT_ONCE; ++k) {
      const uint from = part_place(which, min(first + k, s.used - 1u), head) / 2u;
      sums[k] = message_pairs[from + pair];
      ends[k] = message_pairs[from + D / 2u];
    }
    [[unroll]] for (uint k = 0u; k < AT_ONCE; ++k) {
      missing = missing || some_missing(uvec4(sums[k], ends[k]));
    }
    if (++tries == PATIENCE) give_up();
  } while (missing && tries < PATIENCE);
  [[unroll]] for (uint k = 0u; k < AT_ONCE; ++k) {
    const vec2 end = uintBitsToFloat(ends[k]);
    const float top = first + k < s.used ? end.x : LOWEST;
    const float new_top = max(part.top, top);
    const float shrink = exp2(part.top - new_top);
    const float factor = first + k < s.used ? exp2(top - new_top) : 0.0;
    part.sums = part.sums * shrink + uintBitsToFloat(sums[k]) * factor;
    part.total = part.total * shrink + end.y * factor;
    part.top = new_top;
  }
}

// What follows the last block of a split. `parity`: of the block that would come next.
void finish_split(uint which, Split s, uint parity) {
  if (s.end == position + 1u && s.head == s.kv * R && at < 2u * CHUNKS) {
    const uint to = cache_row(which, s.kv) + position * CHUNKS + at % CHUNKS;
    cache[field(which, at < CHUNKS ? CHAIN_K_CACHE : CHAIN_V_CACHE) + to] =
        pack(fresh[2u * at], fresh[2u * at + 1u]);
  }
  barrier();
  [[dont_unroll]] for (uint i = at; i < s.queries * (D / 2u); i += L) {
    const uint r = i / (D / 2u);
    const uint pair = i % (D / 2u);
    Part part = Part(vec2(0.0), split_tops[parity][r], 0.0);
    [[unroll]] for (uint k = 0u; k < PARTS; ++k) {
      const vec4 four = uintBitsToFloat(pool[(k * R + r) * D4 + pair / 2u]);
      part.sums += (pair & 1u) == 0u ? four.xy : four.zw;
      part.total += part_totals[k * R + r];
    }
    if (s.index == 0u) {
      [[dont_unroll]] for (uint k = 1u; k < s.used; k += AT_ONCE) {
        join_parts(which, s, k, s.head + r, pair, part);
      }
      write_result(which, s.head * D + 2u * i, part.sums / part.total);
    } else {
      const uint to = part_place(which, s.index, s.head + r);
      write_pair(to + 2u * pair, true, part.sums);
      if (pair == 0u) write_pair(to + D, true, vec2(part.top, part.total));
    }
  }
}

// One record.
void attend(uint which) {
  uint parity = 0u;
  uint task = group;
  Split s = split_of(which, task);
  if (s.index >= s.used) return;
  fetch_angles(which);
  uint base = s.begin;
  [[dont_unroll]] while (s.index < s.used) {
    load_block(which, s, base);
    if (base == s.begin) {
      prepare(which, s);
      barrier();
    }
    score(which, s, base, parity);
    barrier();
    add_block(which, s, base, parity);
    parity ^= 1u;
    base += POSITIONS;
    if (base < s.end) continue;
    finish_split(which, s, parity);
    task += GROUPS;
    // Work-groups that have one task are those that everybody waits for: no further look.
    if (task >= s.used * KV_HEADS * (s.queries == R ? 1u : R)) return;
    s = split_of(which, task);
    base = s.begin;
    barrier();  // what is in shared memory has been read
  }
}
