// With TEXTURE, the packed words of a weight come from a sampled image (texture.h) at binding
// TEXTURE_BINDING. Such a kernel's push constants end in the number of the window's first texel.
#extension GL_EXT_samplerless_texture_functions : require
#include "texture.h"

layout(set = 0, binding = TEXTURE_BINDING) uniform utexture2D texels;

uvec4 texel_at(uint index) {
  return texelFetch(texels, ivec2(index & ((1u << TEXTURE_WIDTH_LOG2) - 1u),
                                  index >> TEXTURE_WIDTH_LOG2), 0);
}
