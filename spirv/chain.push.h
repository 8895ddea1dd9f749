// The program of chain.comp: records of CHAIN_WORDS words, read by GLSL and written by C++.
#ifndef NBL_SPIRV_CHAIN_PUSH_H
#define NBL_SPIRV_CHAIN_PUSH_H

#define CHAIN_WORDS 16

/* Words of a record. Places are indices into the buffers, in elements of the type that is named;
   of a row in floats: into the activations, or where a flag says so into the messages. */
#define CHAIN_FLAGS 0 /* LINEAR_*, GEMV_NORM and the following */
/* of a linear */
#define CHAIN_WEIGHT 1   /* uvec4 */
#define CHAIN_SCALES 2   /* uvec2 */
#define CHAIN_X 3        /* row */
#define CHAIN_OUT 4      /* row; where the window's first element lies, as the following do */
#define CHAIN_NORM 5     /* vec4, of the whole row */
#define CHAIN_BIAS 6     /* float */
#define CHAIN_RESIDUAL 7 /* row */
#define CHAIN_UNITS 8    /* rows / 8: of each work-group, and how many have one more << 24 */
#define CHAIN_K_WORDS 9
#define CHAIN_SHIFTS 10 /* log2(group / 8), log2(teams that share a unit) << 8 */
#define CHAIN_COLUMNS 11
#define CHAIN_EPS 12
#define CHAIN_LIVE_ROWS 13 /* that a bias has */
#define CHAIN_TURNS 14     /* units that a team takes, one after the other */
#define CHAIN_ROUNDS 15    /* of CHAIN_SLOTS slices, for a unit */
/* of an attention */
#define CHAIN_TABLE 1       /* float */
#define CHAIN_K_CACHE 2     /* uvec4 */
#define CHAIN_V_CACHE 3     /* uvec4 */
#define CHAIN_QKV 4         /* row */
#define CHAIN_RESULT 5      /* row */
#define CHAIN_PARTS 6       /* float of the messages: of splits that are to be joined */
#define CHAIN_LONE_BLOCKS 8 /* of positions, up to which a task has one query */
#define CHAIN_SPLITS 9
#define CHAIN_CONTEXT 11
#define CHAIN_ROTARY 12 /* rotary_dim, pair_offset << 16 */
#define CHAIN_WINDOW 13
#define CHAIN_QUERY_SCALE 14
#define CHAIN_CAP 15 /* cap * log2(e), 0 = none */

/* Flags above those of linear.push.h. */
#define CHAIN_ATTENTION 0x10000u
#define CHAIN_X_MESSAGE 0x20000u /* x or qkv, and likewise: */
#define CHAIN_OUT_MESSAGE 0x40000u
#define CHAIN_RESIDUAL_MESSAGE 0x80000u

#define CHAIN_SLOTS 4 /* loads of weights that a lane has in flight */
#define CHAIN_TEAM 32 /* lanes that share a unit's slice of CHAIN_TEAM * 4 columns */

/* What passes between work-groups are messages, each with a place of its own that is 0 before the
   step: a word that is 0 has not been written yet, and what is written is never 0 (0.0 is written
   as -0.0). */
#define CHAIN_ZERO 0x80000000u /* what 0.0 is written as */

/* Words at the end of the results. */
#define CHAIN_STALLED 0      /* not 0: nothing after it is right, for one of these reasons */
#define CHAIN_APART 1        /* work-groups did not run side by side */
#define CHAIN_OTHER_LAYOUT 2 /* lanes do not have the elements of matrices that are expected */
#define CHAIN_LAYOUT 1       /* 1 = they have been looked at */
#define CHAIN_SYNC_WORDS 2

#ifdef __cplusplus
#include <cstdint>
namespace nbl {
using uint = uint32_t;
#endif

struct ChainPush {
  uint records;
  uint first;  // record of the program
  uint sync;   // where CHAIN_STALLED lies in its buffer
};

#ifdef __cplusplus
}  // namespace nbl
#endif
#endif
