// The work of fma_peak.comp, read by GLSL and C++.
#ifndef NBL_SPIRV_FMA_PEAK_H
#define NBL_SPIRV_FMA_PEAK_H

#define FMA_PEAK_LOCAL 64
#define FMA_PEAK_STEPS 8   /* multiply-adds of each float in a round */
#define FMA_PEAK_FLOATS 12 /* of a work-item */

#endif
