/* nibble: GPU time of every dispatch of a step. Part of rt/nibble.h, which includes it.
 *
 *   config.flags |= NBL_FLAG_TIMESTAMPS;
 *   nbl_open(&config, &engine, &error);
 *   nbl_evaluate(engine, prompt, prompt_count, &error);
 *   nbl_generate(engine, 32, tokens, &count, &error);
 *   nbl_get_info(engine, &info);                 // info.decode_dispatches: the timings' number
 *   nbl_timings(engine, 0, timings, info.decode_dispatches, &count, &error);
 *
 * Without the flag an engine makes the same Vulkan calls as if this did not exist. With it, the
 * device takes the time before and after each dispatch, which makes a step slower; an engine on a
 * device that has no timestamps opens all the same and says so through nbl_config.log.
 */
#ifndef NBL_TIMINGS_H
#define NBL_TIMINGS_H

#include "rt/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One dispatch. Strings are valid until nbl_close(); none is NULL.
 *
 * Times are nanoseconds since the step's first timestamp, which is taken when everything before the
 * step has ended; from VkPhysicalDeviceLimits' timestampPeriod as it is, never rounded. The device
 * is asked for the time where it comes by the dispatch, past the barrier before it (top of pipe),
 * and where the dispatch and everything before it has ended (bottom of pipe). Dispatches may
 * overlap, and some drivers take all times of the first kind when a submit starts, also for the
 * last step of a burst; so a dispatch counts from when all before it has ended:
 *
 *   start = max(first timestamp, start of the step, ends of all earlier dispatches)
 *   end = max(start, second timestamp),  duration = end - start
 *
 * Times never overlap, and durations add up to no more than the step took. What is left between
 * them is waiting: barriers and launches, where the driver does not hide it in the first kind. */
typedef struct nbl_timing {
  uint32_t index;     /* in the step: 0, 1, 2, ... */
  const char* kernel; /* the SPIR-V variant, as in docs/kernels.md: "gemv_floor" */
  const char* node;   /* the op's name in the model: "layers.0.attn.qkv"; "" where it has none */
  const char* op;     /* the op's kind: "linear_q4gsw". A dispatch that does the work of two ops
                         names the first */
  uint32_t grid[3];   /* workgroups */
  uint32_t local_size[3];  /* invocations in a workgroup */
  uint64_t global_size[3]; /* grid * local_size */
  uint64_t start_ns;
  uint64_t end_ns;
  uint64_t duration_ns; /* end_ns - start_ns */
  uint64_t bytes;       /* weights, caches and activations it reads and writes, estimated */
} nbl_timing;

/* The dispatches of the last decode step (prefill = 0) or prefill step (otherwise; of a decode step
 * where prefill_chunk is 1), in the order they were recorded in. Of a burst, that is the last step
 * that was submitted, also where a stop token ended the text before it: such a step has nothing to
 * do, and `bytes` is what it would have moved. An evaluation of one token is a decode step. Does
 * not wait for the device: every step has ended when its call returned.
 *
 * Writes info.decode_dispatches (info.prefill_dispatches) of them; *count says how many.
 * Errors: no_timestamps (opened without the flag; none on this device; no such step has run),
 * output_too_small. */
nbl_status nbl_timings(nbl_engine* engine, int prefill, nbl_timing* timings, uint32_t capacity,
                       uint32_t* count, nbl_error* error);

#ifdef __cplusplus
}
#endif

#endif /* NBL_TIMINGS_H */
