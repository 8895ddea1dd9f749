#include "rt/kernels/fold.h"

#include "rt/kernels/variants.h"

namespace nbl {

Status fold_groups(const Caps& caps, uint64_t groups, KernelCall* call, Error* error) {
  const uint32_t axis = min_of(caps.max_grid[0], caps.max_grid[1]);
  const uint64_t limit = min_of(uint64_t{axis} * axis, uint64_t{UINT32_MAX} - axis);
  if (groups > limit) {
    return fail(error, Code::device_limit, call->variant, kVariants[call->variant].name, groups,
                limit);
  }
  set_grid_folded(call, static_cast<uint32_t>(groups), axis);
  return {};
}

Status fold_items(const Caps& caps, uint64_t items, uint32_t group_items, KernelCall* call,
                  Error* error) {
  // The grid's surplus is less than one axis of workgroups; their numbers must not wrap either.
  const uint64_t limit =
      uint64_t{UINT32_MAX} - (uint64_t{min_of(caps.max_grid[0], 65535u)} + 1) * call->spec[0];
  if (items > limit) {
    return fail(error, Code::device_limit, call->variant, kVariants[call->variant].name, items,
                limit);
  }
  return fold_groups(caps, div_up(items, uint64_t{group_items}), call, error);
}

Status fold_items(const Caps& caps, uint64_t items, KernelCall* call, Error* error) {
  return fold_items(caps, items, call->spec[0], call, error);
}

}  // namespace nbl
