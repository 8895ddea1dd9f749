// Buffers that the graph writes at the step's positions: the KV state.
#pragma once

#include "compiler/import/pt2/context.h"

namespace nbl::compiler::pt2 {

// Writes `from` into the elements of a buffer that `into` shows, both of the same dims, and returns
// the whole buffer as it is then.
//
// Errors  NodeError, where that is no write of the step's tokens at the step's positions.
Elements write_cache(Context& context, const Elements& into, const Elements& from);

// The buffer that a constant of the program becomes where the graph writes it.
//
// Errors  NodeError, where it does not begin as zeros.
Elements cache_buffer(Context& context, const std::string& name, const ConstantTensor& initial);

// A view [heads..., head_dim, length] (keys, transposed) or [heads..., length, head_dim] (values)
// as what the attention kernel reads: kv_heads of it, each for heads / kv_heads in turn, from
// position 0 on.
//
// In a graph without a cache, where every step begins at position 0, the keys or values of the
// step's own tokens are given one.
struct CacheView {
  int32_t source = 0;
  uint32_t kv_heads = 0;
};
CacheView cache_view(Context& context, const Elements& view, uint32_t heads, bool keys);

}  // namespace nbl::compiler::pt2
