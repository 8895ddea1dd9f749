// token = argmax(logits), or a draw from softmax(logits / temperature) among the top k and top p
//
// Shapes      logits [rows][4 * stride4]; partial as argmax wrote it; results [steps]. Logits that
//             argmax changed are what they were in the end.
// Step        read: position, sampling parameters. Written in the end, so that the same recording
//             can be submitted again: results[out_index++] = tokens[0] = token; input_pos +=
//             token_count; token_count = 1, or 0 where the last token of this step is a stop token:
//             steps after it in the same submit do nothing, nor do they where the logits are not
//             finite: the token is STEP_NOT_FINITE + a row then. The step's one token becomes a recent
//             one; after a step of several the host tells of them.
// Order       A token's distance is (maximum - logit) / temperature in nats as a fixed-point
//             number, 32 = 2^32: its probability is exp(-distance) of the likeliest one's. Tokens
//             are ordered by (distance, index); only those equal to the maximum have distance 0,
//             and those at 32 or more (1.3e-14) and -inf have no chance. A temperature below 1e-6,
//             and a maximum that is infinite, mean argmax.
// Top k       the first k. Ties at the threshold go by index.
// Top p       of these the shortest prefix with p of their sum. Probabilities are summed as
//             integers, 2^31 = 1, so that the order of atomics does not matter.
// Min p       of these those whose probability is min p times the likeliest one's or more.
// Draw        the smallest exponential(r) / probability, of equals the lowest index. The word r of
//             token i is component i % 4 of philox(counter = (i / 4, position of the new token, 0,
//             0), key = seed).
// Work-item   every L-th vec4 of the row, in each of 1 to 9 passes (4 for each selection, fewer as
//             soon as the threshold is known, and the draw).
// Work-group  everything.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#include "step_state.h"
#include "philox.glsl"
#include "sample.push.h"

layout(local_size_x = 128, local_size_x_id = 0) in;  // a power of two, at most 128
// After the local size, which it uses.
#include "argmax_pair.glsl"

layout(set = 0, binding = 0) buffer Step { uint step[]; };
layout(set = 0, binding = 1) buffer Logits { vec4 logits[]; };
layout(set = 0, binding = 2) readonly buffer Partial { uint partial[]; };
layout(set = 0, binding = 3) writeonly buffer Results { uint results[]; };
layout(push_constant) uniform Push { SamplePush push; };

const uint kNone = 0xffffffffu;
const float kLeastChance = 1e-13;  // a min-p below it keeps all that have a chance

// By eight bits of the distance: tokens (only counted where the weight is a probability) and
// weights of two words. Sums of 16 bins.
shared uint bin_tokens[256];
shared uint bin_low[256];
shared uint bin_high[256];
shared uint group_low[16];
shared uint group_high[16];
// What lane 0 found: the bin, the tokens in it, and what must still come from it (two words).
shared uint found_bin;
shared uint found_tokens;
shared uint found_low;
shared uint found_high;
shared uint found_index;

// Uniform over the workgroup.
uint row4;
float maximum;
float inverse_temperature;
// The tokens that are in: distance < threshold, or equal and index <= last_index.
uint threshold = kNone;
uint last_index = kNone;

// kNone where the token has no chance.
uvec4 distances(vec4 values) {
  const vec4 nats = (maximum - values) * inverse_temperature;
  // As integers, so that NaN is not less than 32.
  const bvec4 far = greaterThanEqual(floatBitsToUint(nats), uvec4(floatBitsToUint(32.0)));
  const uvec4 dist = max(uvec4(mix(nats, vec4(0.0), far) * 134217728.0), 1u);
  return mix(mix(dist, uvec4(0u), equal(values, vec4(maximum))), uvec4(kNone), far);
}

uint distance_of(float value) { return distances(vec4(value)).x; }

vec4 nats_of(uvec4 dist) { return vec4(dist) * (1.0 / 134217728.0); }

uint mass_of(uint dist) { return uint(exp(-nats_of(uvec4(dist)).x) * 2147483648.0 + 0.5); }

bool is_in(uint dist, uint index) {
  return index < push.vocab && dist != kNone &&
         (dist < threshold || (dist == threshold && index <= last_index));
}

uvec2 add64(uvec2 a, uvec2 b) {
  uint carry;
  const uint low = uaddCarry(a.x, b.x, carry);
  return uvec2(low, a.y + b.y + carry);
}

uvec2 sub64(uvec2 a, uvec2 b) {
  uint borrow;
  const uint low = usubBorrow(a.x, b.x, borrow);
  return uvec2(low, a.y - b.y - borrow);
}

bool less64(uvec2 a, uvec2 b) { return a.y < b.y || (a.y == b.y && a.x < b.x); }

uvec2 mul64(uint a, uint b) {
  uvec2 product;
  umulExtended(a, b, product.y, product.x);
  return product;
}

// ceil(total * fraction), at least 1.
uvec2 part_of(uvec2 total, float fraction) {
  const uint f = uint(fraction * 4294967296.0);
  const uvec2 low = mul64(total.x, f);
  uvec2 part = add64(mul64(total.y, f), uvec2(low.y, 0u));
  if (low.x != 0u || part == uvec2(0u)) part = add64(part, uvec2(1u, 0u));
  return part;
}

// Fills the bins with the tokens whose distance begins with the bits `prefix` above shift + 8.
void count_bins(bool by_mass, uint prefix, uint shift) {
  const uint lane = gl_LocalInvocationIndex;
  for (uint i = lane; i < 256u; i += gl_WorkGroupSize.x) {
    bin_tokens[i] = 0u;
    bin_low[i] = 0u;
    bin_high[i] = 0u;
  }
  barrier();
  for (uint i = lane; 4u * i < push.vocab; i += gl_WorkGroupSize.x) {
    const uvec4 four = distances(logits[row4 + i]);
    for (uint j = 0u; j < 4u; ++j) {
      const uint dist = four[j];
      if (!is_in(dist, 4u * i + j) || (shift < 24u && (dist >> (shift + 8u)) != prefix)) continue;
      const uint bin = (dist >> shift) & 255u;
      const uint weight = by_mass ? mass_of(dist) : 1u;
      if (weight == 0u) continue;
      if (by_mass) atomicAdd(bin_tokens[bin], 1u);
      const uint before = atomicAdd(bin_low[bin], weight);
      if (before + weight < before) atomicAdd(bin_high[bin], 1u);
    }
  }
  barrier();
  for (uint group = lane; group < 16u; group += gl_WorkGroupSize.x) {
    uvec2 sum = uvec2(0u);
    for (uint i = 16u * group; i < 16u * group + 16u; ++i) {
      sum = add64(sum, uvec2(bin_low[i], bin_high[i]));
    }
    group_low[group] = sum.x;
    group_high[group] = sum.y;
  }
  barrier();
}

// Finds the bin in which the running sum reaches `need`; found_bin = kNone where it never does.
void find_bin(bool by_mass, uvec2 need) {
  uint group = 0u;
  uvec2 sum = uvec2(group_low[0], group_high[0]);
  while (group < 16u && less64(sum, need)) {
    need = sub64(need, sum);
    ++group;
    if (group < 16u) sum = uvec2(group_low[group], group_high[group]);
  }
  found_bin = kNone;
  if (group == 16u) return;
  uint bin = 16u * group;
  while (less64(uvec2(bin_low[bin], bin_high[bin]), need)) {
    need = sub64(need, uvec2(bin_low[bin], bin_high[bin]));
    ++bin;
  }
  found_bin = bin;
  found_tokens = by_mass ? bin_tokens[bin] : bin_low[bin];
  found_low = need.x;
  found_high = need.y;
}

// The least n with n * weight >= need, known to be at most `limit`.
uint tokens_for(uvec2 need, uint weight, uint limit) {
  uint low = 1u;
  while (low < limit) {
    const uint middle = low + (limit - low) / 2u;
    if (less64(mul64(middle, weight), need)) {
      low = middle + 1u;
    } else {
      limit = middle;
    }
  }
  return low;
}

// The index of the token that is the rank-th (from 1) of those at distance `dist`. Each lane counts
// a run of the row.
uint index_of_tie(uint dist, uint rank) {
  const uint lane = gl_LocalInvocationIndex;
  const uint run4 = ((push.vocab + 3u) / 4u + gl_WorkGroupSize.x - 1u) / gl_WorkGroupSize.x;
  const uint begin = 4u * run4 * lane;
  const uint end = min(begin + 4u * run4, push.vocab);
  uint ties = 0u;
  for (uint i = begin; i < end; ++i) {
    if (distance_of(logits[row4 + i / 4u][i % 4u]) == dist) ++ties;
  }
  bin_tokens[lane] = ties;
  barrier();
  uint before = 0u;
  for (uint i = 0u; i < lane; ++i) before += bin_tokens[i];
  if (before < rank && rank <= before + ties) {
    for (uint i = begin; i < end && before < rank; ++i) {
      if (distance_of(logits[row4 + i / 4u][i % 4u]) != dist) continue;
      ++before;
      found_index = i;
    }
  }
  barrier();
  return found_index;
}

// Narrows (threshold, last_index) to the shortest prefix of the order that holds `top_k` tokens, or
// with by_mass the part `top_p` of the sum of what is in. Radix selection: eight bits a pass.
void narrow(bool by_mass, uint top_k, float top_p) {
  uint prefix = 0u;
  uvec2 need = uvec2(top_k, 0u);
  for (uint shift = 24u;; shift -= 8u) {
    count_bins(by_mass, prefix, shift);
    if (gl_LocalInvocationIndex == 0u) {
      if (by_mass && shift == 24u) {
        uvec2 total = uvec2(0u);
        for (uint i = 0u; i < 16u; ++i) total = add64(total, uvec2(group_low[i], group_high[i]));
        need = part_of(total, top_p);
      }
      find_bin(by_mass, need);
    }
    barrier();
    if (found_bin == kNone) return;  // fewer than k tokens have a chance
    need = uvec2(found_low, found_high);
    prefix = (prefix << 8) | found_bin;
    const uint tokens = found_tokens;
    if (tokens == 1u || (!by_mass && need.x == tokens)) {
      // All of the bin. What an earlier selection left out of it stays out.
      const uint last = ((prefix + 1u) << shift) - 1u;
      if (last < threshold) {
        threshold = last;
        last_index = kNone;
      }
      return;
    }
    if (shift == 0u) {
      const uint rank = by_mass ? tokens_for(need, mass_of(prefix), tokens) : need.x;
      const uint index = index_of_tie(prefix, rank);
      threshold = prefix;
      last_index = index;
      return;
    }
    barrier();
  }
}

uint draw(uvec2 seed, uint position) {
  // (negated bits of the non-negative time, index): winner() then finds the earliest.
  uvec2 best = uvec2(0u, kNone);
  for (uint i = gl_LocalInvocationIndex; 4u * i < push.vocab; i += gl_WorkGroupSize.x) {
    const uvec4 dist = distances(logits[row4 + i]);
    bvec4 in_race;
    [[unroll]] for (uint j = 0u; j < 4u; ++j) in_race[j] = is_in(dist[j], 4u * i + j);
    if (!any(in_race)) continue;
    const uvec4 words = philox(uvec4(i, position, 0u, 0u), seed);
    const uvec4 times = floatBitsToUint(exponentials(words) * exp(nats_of(dist)));
    [[unroll]] for (uint j = 0u; j < 4u; ++j) {
      const uvec2 entry = uvec2(~times[j], 4u * i + j);
      if (in_race[j]) best = winner(entry, best);
    }
  }
  return best_of_workgroup(best).y;
}

void main() {
  const uint lane = gl_LocalInvocationIndex;
  const uint input_pos = step[STEP_INPUT_POS];
  const uint token_count = step[STEP_TOKEN_COUNT];
  if (token_count == 0u) return;
  const uint out_index = step[STEP_OUT_INDEX];
  const float temperature = uintBitsToFloat(step[STEP_TEMPERATURE]);
  const uint top_k = step[STEP_TOP_K];
  const float top_p = uintBitsToFloat(step[STEP_TOP_P]);
  const uvec2 seed = uvec2(step[STEP_SEED_LO], step[STEP_SEED_HI]);
  const uint last_token = step[STEP_TOKENS + token_count - 1u];
  uint next_count = 1u;
  for (uint i = 0u; i < STEP_STOP_COUNT; ++i) {
    if (step[STEP_STOPS + i] == last_token) next_count = 0u;
  }

  uvec2 best = uvec2(0u, kNone);
  for (uint i = lane; i < push.slices; i += gl_WorkGroupSize.x) {
    const uvec2 pair = uvec2(partial[2u * i], partial[2u * i + 1u]);
    best = winner(pair, best);
  }
  best = best_of_workgroup(best);
  uint token = best.y;
  if (best.x == kNotFinite) next_count = 0u;

  row4 = push.all_rows != 0u ? (token_count - 1u) * push.stride4 : 0u;
  maximum = value_of_key(best.x);
  const bool finite = (floatBitsToUint(maximum) & 0x7f800000u) != 0x7f800000u;
  // Also the barrier between the reads of the step buffer, and of best_pairs, and what follows.
  barrier();
  if (finite && temperature >= 1e-6) {
    inverse_temperature = 1.0 / temperature;
    // First by count, then by mass: a loop, so that narrow() is in the module once.
    const bvec2 wanted =
        bvec2(top_k > 0u && top_k < push.vocab, top_p > 0.0 && top_p < 1.0);
    [[dont_unroll]] for (uint pass = 0u; pass < 2u; ++pass) {
      if (pass == 0u ? wanted.x : wanted.y) narrow(pass == 1u, top_k, top_p);
      barrier();
    }
    const float min_p = uintBitsToFloat(step[STEP_MIN_P]);
    const uint limit = uint(clamp(-log(min_p), 0.0, 31.0) * 134217728.0);
    if (min_p >= kLeastChance && limit < threshold) {
      threshold = limit;
      last_index = kNone;
    }
    token = draw(seed, input_pos + token_count);
  }
  // The logits as the model made them.
  const uint adjusted =
      step[STEP_BIAS_COUNT] + min(step[STEP_WINDOW], input_pos + token_count);
  for (uint i = lane; i < adjusted; i += gl_WorkGroupSize.x) {
    const uint noted = 2u * (push.slices + i);
    const uint changed = partial[noted];
    if (changed == kNone) continue;
    logits[row4 + changed / 4u][changed % 4u] = uintBitsToFloat(partial[noted + 1u]);
  }
  if (lane == 0u) {
    if (out_index < results.length()) results[out_index] = token;
    step[STEP_RECENT + input_pos % STEP_MOST_WINDOW] = step[STEP_TOKENS];
    step[STEP_TOKENS] = token;
    step[STEP_INPUT_POS] = input_pos + token_count;
    step[STEP_TOKEN_COUNT] = next_count;
    step[STEP_OUT_INDEX] = out_index + 1u;
  }
}
