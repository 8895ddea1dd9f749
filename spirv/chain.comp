// A chain of linear_gemv.comp and sdpa_token.comp in one dispatch, for devices on which every
// dependent dispatch costs more than the work of a small matrix: work-groups that all run side by
// side walk through a program of records and wait for one another in between. What is read from
// memory for the next record is under way before they do.
//
// Shapes      program: records of CHAIN_WORDS (chain.push.h); weights, caches and activations:
//             whole blocks of memory, in which records name places.
// Layout      as in linear.glsl and sdpa_token.comp.
// Messages    chain.push.h. Reading one waits until it is there. That a slot is free again needs no
//             sign either: whoever writes to a record's row has read all of the row before it, which
//             nobody wrote to before having read all that the record before this one reads.
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
layout(set = 0, binding = 6) volatile buffer Messages { uvec4 messages[]; };  // two each
layout(set = 0, binding = 6) volatile buffer Message { uvec2 message[]; };
layout(push_constant) uniform Push { ChainPush push; };

const uint L = gl_WorkGroupSize.x;
const uint TEAMS = L / CHAIN_TEAM;

shared uint record[3][CHAIN_WORDS];  // this one, the next, and the one after it
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
bool is_attention(uint which) { return (field(which, CHAIN_FLAGS) & CHAIN_ATTENTION) != 0u; }

uint word_ahead;  // of the third record from here, for lanes below CHAIN_WORDS
uint serial;      // of the dispatch, times CHAIN_MOST_TAGS

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

// Elements of a row, of a message (tag not 0) or a plain one: four from element 4 * index on, or
// eight from 8 * index on. All that a lane waits for it asks for together.
vec4 read_quad(uint place, uint tag, uint index) {
  if (tag == 0u) return quads[place / 4u + index];
  const uint expected = serial + tag;
  const uint from = place / 2u + 2u * index;
  uvec4 low, high;
  uint tries = 0u;
  [[dont_unroll]] do {
    low = messages[from];
    high = messages[from + 1u];
    if (++tries == PATIENCE) give_up();
  } while ((low.y != expected || low.w != expected || high.y != expected || high.w != expected) &&
           tries < PATIENCE);
  return uintBitsToFloat(uvec4(low.xz, high.xz));
}

void read_word(uint place, uint tag, uint index, out vec4 low, out vec4 high) {
  if (tag == 0u) {
    low = quads[place / 4u + 2u * index];
    high = quads[place / 4u + 2u * index + 1u];
    return;
  }
  const uint expected = serial + tag;
  const uint from = place / 2u + 4u * index;
  uvec4 m[4];
  uint tries = 0u;
  uint wrong;
  [[dont_unroll]] do {
    [[unroll]] for (uint i = 0u; i < 4u; ++i) m[i] = messages[from + i];
    if (++tries == PATIENCE) give_up();
    wrong = 0u;
    [[unroll]] for (uint i = 0u; i < 4u; ++i) wrong |= (m[i].y ^ expected) | (m[i].w ^ expected);
  } while (wrong != 0u && tries < PATIENCE);
  low = uintBitsToFloat(uvec4(m[0].xz, m[1].xz));
  high = uintBitsToFloat(uvec4(m[2].xz, m[3].xz));
}

void write_pair(uint place, uint tag, vec2 v) {
  if (tag == 0u) {
    pairs[place / 2u] = v;
  } else {
    const uvec2 bits = floatBitsToUint(v);
    messages[place / 2u] = uvec4(bits.x, serial + tag, bits.y, serial + tag);
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
  serial = sync[push.sync + CHAIN_SERIAL] * CHAIN_MOST_TAGS;
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
  }
  word_ahead = word_of(2u);
  bool primed = false;
  uint which = 0u;  // of the records in shared memory
  [[dont_unroll]] for (uint r = 0u; r < push.records; ++r) {
    const uint next = which == 2u ? 0u : which + 1u;
    const uint last = 3u - which - next;
    // The record is there, and what the one before it kept in shared memory has been read.
    barrier();
    if (stalled) return;
    if (at < CHAIN_WORDS) record[last][at] = word_ahead;
    word_ahead = word_of(r + 3u);
    if (is_attention(which)) {
      attend(which);
      primed = false;
    } else {
      multiply(which, next, primed, r + 1u < push.records);
      primed = true;
    }
    which = next;
  }
  barrier();
  if (at == 0u && atomicAdd(sync[push.sync + CHAIN_DONE], 1u) + 1u == GROUPS) {
    sync[push.sync + CHAIN_DONE] = 0u;
    sync[push.sync + CHAIN_LAYOUT] = 1u;
    sync[push.sync + CHAIN_SERIAL] = serial / CHAIN_MOST_TAGS + 1u;
  }
}
