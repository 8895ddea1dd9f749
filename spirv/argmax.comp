// partial[w] = (order key, index) of the largest logit in slice w of one row
//
// Shapes      logits [rows][4 * stride4]; partial [slices] pairs of words, behind them a pair an
//             entry of the list of tokens whose logits change: the token, or none where an earlier
//             entry has it, and the logit as it was. The row is that of the last live token, or 0
//             where there is only one.
// Changes     are made in place before the largest is looked for; sample takes them back. A token with
//             a bias: logit += bias. Then a token that is n > 0 times among the last STEP_WINDOW of
//             the context, this step's included: logit = logit > 0 ? logit / repeat : logit * repeat,
//             logit -= presence + n * frequency.
// Ties        the lowest index.
// Not finite  NaN and infinities win against every number, as the pair (kNotFinite,
//             STEP_NOT_FINITE + row): the first row of the live ones that has one. Where tokens have
//             biases, -infinity is a number: it is how they are banned.
// Work-item   every L-th vec4 of the slice.
// Work-group  one slice; the winners meet in shared memory.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "argmax.push.h"

layout(local_size_x = 128, local_size_x_id = 0) in;  // a power of two, at most 128
// After the local size, which it uses.
#include "argmax_pair.glsl"

layout(set = 0, binding = 1) buffer Logits { vec4 logits[]; };
layout(set = 0, binding = 2) buffer Partial { uint partial[]; };
layout(push_constant) uniform Push { ArgmaxPush push; };

const uint kNone = 0xffffffffu;
const uint kInfinity = 0x7f800000u;
const uint kMinusInfinity = 0xff800000u;
// Plus n: in place of a logit whose token was met n times in the window. About 3.4e38, as a float
// that no driver has a reason to change.
const uint kMet = 0x7f7f0000u;

shared uint listed[STEP_MOST_ADJUSTED];

// Changes the logits in vec4s [first, first + count4) of the row. Listed are the tokens that have a
// bias, then those in the window; the lane that will look at a logit changes it, as none of the
// others would have to see that in this dispatch.
void adjust(uint row4, uint first, uint count4, uint biased, uint window) {
  const uint lane = gl_LocalInvocationIndex;
  const uint input_pos = step[STEP_INPUT_POS];
  const uint begin = input_pos + step[STEP_TOKEN_COUNT] - window;
  const uint count = biased + window;
  for (uint i = lane; i < count; i += gl_WorkGroupSize.x) {
    const uint position = begin + i - biased;
    listed[i] = i < biased             ? step[STEP_BIAS + 2u * i]
                : position < input_pos ? step[STEP_RECENT + position % STEP_MOST_WINDOW]
                                       : step[STEP_TOKENS + position - input_pos];
  }
  barrier();
  // Twice over the list: counting, and changing where a token is met first.
  for (uint k = 0u; k < 2u * count; ++k) {
    const uint i = k < count ? k : k - count;
    const uint token = listed[i];
    const uint at = token / 4u - first;
    if (at >= count4 || at % gl_WorkGroupSize.x != lane) continue;
    const uint noted = 2u * (push.slices + i);
    const uint bits = floatBitsToUint(logits[row4 + token / 4u][token % 4u]);
    const bool met = bits >> 16 == kMet >> 16;
    float logit;
    if (k < count) {
      partial[noted] = met ? kNone : token;
      partial[noted + 1u] = bits;
      logit = uintBitsToFloat((met ? bits : kMet) + uint(i >= biased));
    } else {
      if (!met) continue;
      logit = uintBitsToFloat(partial[noted + 1u]);
      if (i < biased) logit += uintBitsToFloat(step[STEP_BIAS + 2u * i + 1u]);
      if (bits != kMet) {
        const float repeat = uintBitsToFloat(step[STEP_REPEAT_PENALTY]);
        logit = (logit > 0.0 ? logit / repeat : logit * repeat) -
                uintBitsToFloat(step[STEP_PRESENCE_PENALTY]) -
                float(bits - kMet) * uintBitsToFloat(step[STEP_FREQUENCY_PENALTY]);
      }
    }
    logits[row4 + token / 4u][token % 4u] = logit;
  }
}

void main() {
  const uint slice = folded_group();
  const uint live = step[STEP_TOKEN_COUNT];
  if (slice >= push.slices || live == 0u) return;
  const uint last_row = live - 1u;
  const uint stride4 = push.all_rows != 0u ? push.stride4 : 0u;
  const uint first = slice * push.slice4;
  const uint end = min(first + push.slice4, (push.vocab + 3u) / 4u);
  const uint biased = step[STEP_BIAS_COUNT];
  const uint window = min(step[STEP_WINDOW], step[STEP_INPUT_POS] + live);
  if ((biased | window) != 0u) adjust(last_row * stride4, first, end - first, biased, window);
  const uint banned = biased != 0u ? kMinusInfinity : 0u;

  uvec2 best = uvec2(0u, kNone);
  uint bad_row = kNone;
  for (uint row = push.all_rows != 0u ? 0u : last_row; row <= last_row; ++row) {
    for (uint i = first + gl_LocalInvocationIndex; i < end; i += gl_WorkGroupSize.x) {
      const uvec4 bits = floatBitsToUint(logits[row * stride4 + i]);
      const uvec4 index = 4u * i + uvec4(0u, 1u, 2u, 3u);
      const uvec4 magnitude = mix(bits & 0x7fffffffu, uvec4(0u), equal(bits, uvec4(banned)));
      const uvec4 in_row = mix(uvec4(0u), magnitude, lessThan(index, uvec4(push.vocab)));
      if (any(greaterThanEqual(in_row, uvec4(kInfinity)))) bad_row = min(bad_row, row);
      if (row != last_row) continue;
      const uvec4 keys = order_keys(bits);
      for (uint j = 0u; j < 4u; ++j) {
        if (index[j] < push.vocab) best = winner(uvec2(keys[j], index[j]), best);
      }
    }
  }
  if (bad_row != kNone) best = uvec2(kNotFinite, STEP_NOT_FINITE + bad_row);
  best = best_of_workgroup(best);
  if (gl_LocalInvocationIndex == 0u) {
    partial[2u * slice] = best.x;
    partial[2u * slice + 1u] = best.y;
  }
}
