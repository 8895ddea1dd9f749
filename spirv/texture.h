// The shape of weights in sampled images, for GLSL and C++.
#ifndef NBL_SPIRV_TEXTURE_H
#define NBL_SPIRV_TEXTURE_H

// Texels are uvec4s, numbered along the rows of an image of this fixed width: texel i lies in
// column i % width of row i / width. A quarter of the width that every device has, so that an
// image's height can follow its weights closely.
#define TEXTURE_WIDTH_LOG2 10
#define TEXTURE_TEXEL_BYTES 16

#endif
