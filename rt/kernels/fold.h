// The grid of a dispatch whose workgroups have one number each, however many they are.
#pragma once

#include <cstdint>

#include "rt/base/status.h"
#include "rt/kernels/call.h"
#include "rt/kernels/caps.h"

namespace nbl {

// Sets call->grid to at least `groups` workgroups, folded over x and y (call.h).
//
// Errors  device_limit (name = the variant's): more than the device's grid holds.
Status fold_groups(const Caps& caps, uint64_t groups, KernelCall* call, Error* error);

// The same for `items` work-items, `group_items` of them in each workgroup, which kernels number
// with 32 bits.
Status fold_items(const Caps& caps, uint64_t items, uint32_t group_items, KernelCall* call,
                  Error* error);

// The same for workgroups of call->spec[0].
Status fold_items(const Caps& caps, uint64_t items, KernelCall* call, Error* error);

}  // namespace nbl
