// The step buffer: what changes from step to step. 32-bit words, read by every kernel at binding 0,
// written by the host before a submit and advanced by the sample kernel. GLSL and C++ read this
// file.
#ifndef NBL_SPIRV_STEP_STATE_H
#define NBL_SPIRV_STEP_STATE_H

#define STEP_INPUT_POS 0   /* position of the first live token */
#define STEP_TOKEN_COUNT 1 /* live tokens in this step; 0 = no kernel writes anything */
#define STEP_OUT_INDEX 2   /* where the next sampled token goes in the results buffer */
#define STEP_TEMPERATURE 3 /* float bits; 0 = greedy */
#define STEP_TOP_K 4       /* 0 = off */
#define STEP_TOP_P 5       /* float bits; 1 = off */
#define STEP_SEED_LO 6
#define STEP_SEED_HI 7
#define STEP_COUNTERS 8 /* one a kv head: work-groups that are done; 0 between dispatches */
#define STEP_COUNTER_COUNT 8
#define STEP_STOPS 16 /* stop tokens: fed one, sample makes the steps after it empty */
#define STEP_STOP_COUNT 16
#define STEP_NO_STOP 0xffffffff /* in places that no stop token takes: never a token */
#define STEP_NOT_FINITE \
  0x80000000          /* no token but, plus a row of the step, where logits are not finite */
#define STEP_MIN_P 32 /* float bits; 0 = off */
#define STEP_REPEAT_PENALTY 33 /* float bits; 1 = off. Likewise, with 0 = off: */
#define STEP_PRESENCE_PENALTY 34
#define STEP_FREQUENCY_PENALTY 35
#define STEP_WINDOW 36 /* the last tokens that the penalties look at; 0 = there are none */
#define STEP_MOST_WINDOW 1024
#define STEP_BIAS_COUNT 37
#define STEP_BIAS 40 /* pairs of a token and the float bits of what its logit gets */
#define STEP_MOST_BIAS 256
#define STEP_MOST_ADJUSTED (STEP_MOST_BIAS + STEP_MOST_WINDOW)
/* Tokens in front of the step's, that at position p in place p % STEP_MOST_WINDOW: as many as the
   window has. Within a submit the sample kernel writes those that its steps evaluate. */
#define STEP_RECENT 552
#define STEP_TOKENS 1576 /* token ids from here on */

#endif
