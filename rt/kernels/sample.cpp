#include "rt/kernels/sample.h"

#include "rt/kernels/fold.h"
#include "rt/kernels/variants.h"
#include "rt/model/model.h"
#include "spirv/argmax.push.h"
#include "spirv/sample.push.h"

namespace nbl {
namespace {

// A slice smaller than this costs more as a workgroup than as work.
constexpr uint32_t kSliceElements = 1024;
constexpr uint32_t kMaxSlices = 256;

// CPU implementations pay for every lane that waits at a barrier.
uint32_t lanes_of(const Caps& caps) {
  return (caps.features & kScalarLoads) != 0 ? 8 : 128;
}

uint32_t stride4_of(const SampleArgs& args) {
  return row_stride(args.vocab) / 4;
}

}  // namespace

// As many as fill the device. Rounding a slice up to whole vec4s can leave slices at the end empty;
// they are cut off.
uint32_t argmax_slices(const Caps& caps, uint32_t vocab) {
  const uint32_t wanted = max_of(1u, caps.lanes / lanes_of(caps));
  const uint32_t useful = div_up(vocab, kSliceElements);
  const uint32_t slices = min_of(min_of(wanted, useful), kMaxSlices);
  const uint32_t used4 = div_up(vocab, 4u);
  return div_up(used4, div_up(used4, slices));
}

Status call_argmax(const Caps& caps, const SampleArgs& args, KernelCall* call, Error* error) {
  NBL_ASSERT(args.vocab > 0);
  const uint32_t lanes = lanes_of(caps);
  const uint32_t slices = argmax_slices(caps, args.vocab);
  const uint32_t slice4 = div_up(div_up(args.vocab, 4u), slices);
  KernelCall made;
  NBL_TRY(pick(Family::argmax, caps, lanes, 0, &made.variant, error));
  made.spec_count = 1;
  made.spec[0] = lanes;
  set_push(&made,
           ArgmaxPush{args.vocab, stride4_of(args), args.all_rows ? 1u : 0u, slices, slice4});
  NBL_TRY(fold_groups(caps, slices, &made, error));
  *call = made;
  return {};
}

Status call_sample(const Caps& caps, const SampleArgs& args, KernelCall* call, Error* error) {
  NBL_ASSERT(args.vocab > 0);
  const uint32_t lanes = lanes_of(caps);
  KernelCall made;
  NBL_TRY(pick(Family::sample, caps, lanes, 0, &made.variant, error));
  made.spec_count = 1;
  made.spec[0] = lanes;
  set_push(&made, SamplePush{args.vocab, stride4_of(args), args.all_rows ? 1u : 0u,
                             argmax_slices(caps, args.vocab)});
  *call = made;
  return {};
}

}  // namespace nbl
