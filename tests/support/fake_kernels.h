// What dispatches do on the fake driver: not a model's arithmetic but its flow of data. Every
// output is a mixture of bits of what the kernel reads, caches get a row for each position, rows of
// caches move as they do on a GPU, and the token that comes out depends on all of it. So whatever
// is lost, comes too early or goes astray on its way changes the tokens.
#pragma once

#include "boards/fake/fake_vulkan.h"
#include "rt/kernels/variants.h"

namespace nbl::test {

// The variant that a dispatch runs; null where it is none of the runtime's.
const Variant* variant_of(const fake::Dispatch& dispatch);

void run_fake_kernel(const fake::Dispatch& dispatch);

// What kernels touch of a binding where that is less than its range, by kernel:
//   cache_rows, binding 2 (the window): `row_words` and `scales` words from word `offset` of every
//   `stride` words, since each cache has columns of its own in the window (cache_rows.push.h).
fake::Pattern fake_pattern(const fake::Dispatch& dispatch, uint32_t binding);

}  // namespace nbl::test
