// A chain of linear_gemv.comp and sdpa_token.comp in one dispatch, for devices on which every
// dependent dispatch costs more than the work of a small matrix: work-groups that all run side by
// side walk through a program of records and wait for one another in between. What is read from
// memory for the next record is under way before they do.
//
// Shapes      program: records of CHAIN_WORDS (chain.push.h); weights, caches and activations:
//             whole blocks of memory, in which records name places.
// Layout      as in linear.glsl and sdpa_token.comp.
// Messages    chain.push.h. Reading one waits until it is there, word by word.
// Work-group  one a core; they share the units of a linear, 8 rows each, or the heads and splits of
//             an attention.
// Team        32 lanes: a slice of 16 k-words of a unit at a time, a lane the word of one quad.
//             Teams share a unit where there are fewer units than teams.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#ifdef SHUFFLE
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
#ifdef MATRIX
#extension GL_KHR_shader_subgroup_vote : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_NV_cooperative_matrix : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#endif
#include "chain.push.h"
#include "linear.push.h"
#include "step_state.h"

layout(local_size_x = 128, local_size_x_id = 0) in;
layout(constant_id = 1) const uint POOL = 512;  // uvec4s of shared memory: x, or an attention's parts
layout(constant_id = 2) const uint D = 64;      // of a head
layout(constant_id = 3) const uint R = 1;       // queries a kv head
layout(constant_id = 4) const uint SCALES = LINEAR_F16_SCALES;
layout(constant_id = 5) const uint KV_HEADS = 1;
layout(constant_id = 6) const uint GROUPS = 1;  // work-groups of the dispatch

layout(set = 0, binding = 0) readonly buffer Step { uint step[]; };
layout(set = 0, binding = 1) readonly buffer Weights { uvec4 weight[]; };
layout(set = 0, binding = 1) readonly buffer Scales { uvec2 scales[]; };
layout(set = 0, binding = 1) readonly buffer Norms { vec4 norms[]; };
layout(set = 0, binding = 1) readonly buffer Table { float table[]; };
layout(set = 0, binding = 2) buffer Caches { uvec4 cache[]; };
layout(set = 0, binding = 3) coherent buffer Values { float value[]; };
layout(set = 0, binding = 3) coherent buffer Pairs { vec2 pairs[]; };
layout(set = 0, binding = 3) coherent buffer Quads { vec4 quads[]; };
layout(set = 0, binding = 4) readonly buffer Program { uint program[]; };
// glslc makes of volatile what coherent is as well; both would be said twice.
layout(set = 0, binding = 5) volatile buffer Sync { uint sync[]; };
layout(set = 0, binding = 6) volatile buffer Messages { uvec4 messages[]; };
layout(set = 0, binding = 6) volatile buffer MessagePairs { uvec2 message_pairs[]; };
layout(set = 0, binding = 6) volatile buffer MessageWords { uint message_words[]; };
layout(push_constant) uniform Push { ChainPush push; };

const uint L = gl_WorkGroupSize.x;
const uint TEAMS = L / CHAIN_TEAM;

shared uint record[4][CHAIN_WORDS];  // this one and the three that follow it
shared uvec4 pool[POOL];
shared bool stalled;

// Of this lane.
uint group;
uint at;          // in the work-group
uint team, lane;  // lane in its team
uint position;    // of the token

// What all lanes of a team agree on, said so that the compiler sees it: with matrices it makes sure
// of who is there wherever lanes may have parted.
#ifdef MATRIX
#define agreed(x) subgroupAny(x)
#else
#define agreed(x) (x)
#endif

uint field(uint which, uint word) { return record[which][word]; }
bool has(uint which, uint flag) { return (field(which, CHAIN_FLAGS) & flag) != 0u; }
bool is_attention(uint which) { return has(which, CHAIN_ATTENTION); }

uint word_ahead;  // of the fourth record from here, for lanes below CHAIN_WORDS

// How often a message is looked for. Work-groups that have not answered after these seconds are not
// running. (CPU implementations end every loop after 65535 rounds.)
#ifdef SHUFFLE
const uint PATIENCE = 1u << 21;
#else
const uint PATIENCE = 1u << 15;
#endif

void give_up() {
  sync[push.sync + CHAIN_STALLED] = CHAIN_APART;
  stalled = true;
}

bool some_missing(uvec4 m) { return min(min(m.x, m.y), min(m.z, m.w)) == 0u; }

// Four elements of a row from 4 * index on.
vec4 read_quad(uint place, bool message, uint index) {
  if (!message) return quads[place / 4u + index];
  uvec4 m;
  uint tries = 0u;
  [[dont_unroll]] do {
    m = messages[place / 4u + index];
    if (++tries == PATIENCE) give_up();
  } while (some_missing(m) && tries < PATIENCE);
  return uintBitsToFloat(m);
}

// Eight elements of a row, 0 where they are missing.
struct Eight {
  uvec4 low, high;
};

// Elements from 8 * index on; `early` has them already where the call before asked for them. All that
// a lane waits for it asks for together: where there is `more`, what it reads next, L words on.
Eight read_word(uint place, bool message, uint index, bool more, inout Eight early) {
  Eight m = early;
  early = Eight(uvec4(0u), uvec4(0u));
  if (!message) {
    m.low = floatBitsToUint(quads[place / 4u + 2u * index]);
    m.high = floatBitsToUint(quads[place / 4u + 2u * index + 1u]);
    return m;
  }
  const uint from = place / 4u + 2u * index;
  uint tries = 0u;
  [[dont_unroll]] while (some_missing(min(m.low, m.high)) && tries < PATIENCE) {
    m.low = messages[from];
    m.high = messages[from + 1u];
    if (more) {
      early.low = messages[from + 2u * L];
      early.high = messages[from + 2u * L + 1u];
    }
    if (++tries == PATIENCE) give_up();
  }
  return m;
}

uvec2 as_message(vec2 v) {
  const uvec2 bits = floatBitsToUint(v);
  return uvec2(bits.x == 0u ? CHAIN_ZERO : bits.x, bits.y == 0u ? CHAIN_ZERO : bits.y);
}

void write_pair(uint place, bool message, vec2 v) {
  if (message) {
    message_pairs[place / 2u] = as_message(v);
  } else {
    pairs[place / 2u] = v;
  }
}

void write_quad(uint place, bool message, vec4 v) {
  if (message) {
    messages[place / 4u] = uvec4(as_message(v.xy), as_message(v.zw));
  } else {
    quads[place / 4u] = v;
  }
}

#include "chain_linear.glsl"
#include "chain_attention.glsl"

uint word_of(uint index) {
  return at < CHAIN_WORDS && index < push.records
             ? program[(push.first + index) * CHAIN_WORDS + at]
             : 0u;
}

void main() {
  group = gl_WorkGroupID.x;
#ifdef SHUFFLE
  team = gl_SubgroupID;
  lane = gl_SubgroupInvocationID;
  at = team * CHAIN_TEAM + lane;
#else
  at = gl_LocalInvocationIndex;
  team = at / CHAIN_TEAM;
  lane = at % CHAIN_TEAM;
#endif
  position = step[STEP_INPUT_POS];
  if (step[STEP_TOKEN_COUNT] == 0u) return;
  if (at == 0u) stalled = sync[push.sync + CHAIN_STALLED] != 0u;
#ifdef MATRIX
  if (agreed(sync[push.sync + CHAIN_LAYOUT] == 0u) && !has_expected_elements()) {
    sync[push.sync + CHAIN_STALLED] = CHAIN_OTHER_LAYOUT;
    stalled = true;
  }
#endif
  if (at < CHAIN_WORDS) {
    record[0][at] = word_of(0u);
    record[1][at] = word_of(1u);
    record[2][at] = word_of(2u);
  }
  word_ahead = word_of(3u);
  bool primed = false;  // the slots have the first slices of the next linear
  [[dont_unroll]] for (uint r = 0u; r < push.records; ++r) {
    const uint which = r & 3u;
    // The record is there, and what the one before it kept in shared memory has been read.
    barrier();
    if (stalled) return;
    if (at < CHAIN_WORDS) record[(r + 3u) & 3u][at] = word_ahead;
    word_ahead = word_of(r + 4u);
    if (is_attention(which)) {
      attend(which);
    } else {
      const uint next = is_attention((r + 1u) & 3u) ? r + 2u : r + 1u;
      multiply(which, next & 3u, primed, next < push.records);
      primed = true;
    }
  }
#ifdef MATRIX
  if (group == 0u && at == 0u) sync[push.sync + CHAIN_LAYOUT] = 1u;
#endif
}
