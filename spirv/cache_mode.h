// What the attention kernels are specialised for beside their shapes: a word of CACHE_* plus any of
// ATTEND_*. GLSL and C++ read this file.
#ifndef NBL_SPIRV_CACHE_MODE_H
#define NBL_SPIRV_CACHE_MODE_H

// Elements of a cache [kv_heads][context][head_dim]; rt/model/model.h says how they lie.
#define CACHE_F16 0
#define CACHE_F32 1
#define CACHE_I8 2 /* followed by f32 scales [kv_heads][context] */
#define CACHE_MASK 3

#define ATTEND_WINDOW 4  /* keys at a distance of `window` and more are not seen */
#define ATTEND_SOFTCAP 8 /* scores s become cap * tanh(s / cap) */
#define ATTEND_FULL 16   /* every live key is seen, later ones too */
#define ATTEND_MASK 32   /* a table of numbers is added to the scores */

#endif
