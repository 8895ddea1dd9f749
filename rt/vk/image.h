// Images of weights: two-dimensional, TEXTURE_WIDTH texels wide (spirv/texture.h), sampled and
// copied to, nothing else. Every device has them: format and usage are core Vulkan 1.1.
#pragma once

#include "rt/vk/memory.h"

namespace nbl {

// Finds out what images take: Vulkan tells only of one image at a time, and plan needs to know any
// height. Throw-away images without memory are made of heights that are multiples of 8, 16, ...,
// 256 rows, and the first step is taken of which no image takes more than its steps do. Fills the
// image_* fields of device->caps; image_rows stays 0 where even 256 rows say nothing of more.
//
// Errors  vulkan_call, device_lost, driver_pool_full.
Status probe_images(Device* device, Error* error);

// Makes an image so high, its view, and an allocation of exactly `bytes`.
//
// Errors  image_refused: the driver wants more than `bytes`; as allocate_block() otherwise.
//         free_block() is due in any case.
Status allocate_image(const Device& device, uint32_t rows, uint64_t bytes, uint32_t memory_type,
                      DeviceBlock* block, Error* error);

}  // namespace nbl
