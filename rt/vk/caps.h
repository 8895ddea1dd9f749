// Fills Caps from a physical device. Only queries: no device is created here.
#pragma once

#include <span>

#include "rt/kernels/caps.h"
#include "rt/vk/functions.h"

namespace nbl {

// Entries of the scratch space below that no driver known to us exceeds.
inline constexpr uint32_t kExtensionScratch = 320;

// The queue family to compute on: one with compute and without graphics where there is one, since
// its work is not held up by a display.
//
// Errors  no_device (name = "a compute queue").
Status compute_queue_family(const Functions& functions, VkPhysicalDevice device, uint32_t* family,
                            Error* error);

// Describes the device.
//
// Borrows  scratch during the call: it takes the driver's list of extensions, which Vulkan hands
//          over only as a whole. Extensions past its end count as absent.
// Errors   no_device as above; vulkan_call.
Status fill_caps(const Functions& functions, VkPhysicalDevice device,
                 std::span<VkExtensionProperties> scratch, Caps* caps, Error* error);

}  // namespace nbl
