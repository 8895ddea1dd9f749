// The checks that turn hostile bytes into a Model: every name, index, shape and segment.
//
// Called by load() after the FlatBuffers verifier, in this order; each assumes that the ones before
// it passed.
#pragma once

#include <cstdint>

#include "rt/base/status.h"
#include "rt/model/model.h"

namespace nbl {

// Segments, the prefix's rows behind them, lie in the file, aligned, ascending and without overlap.
Status check_segments(const fb::Model& root, uint64_t first_byte, uint64_t file_bytes,
                      Error* error);

// Names of kinds, roles, types and layouts are known; ranks, counts and indices are in range. After
// this the accessors of Model are safe.
Status check_names(const fb::Model& root, Error* error);

// Tensors have possible shapes, and weights have segments of exactly the size of their layout.
Status check_tensors(const Model& model, Error* error);

// The prefix, if there is one: its tokens are in the vocabulary and fit into the context, and its
// rows are as many.
Status check_prefix(const Model& model, Error* error);

// True for ops that also work where a last_row linear has left one row: between it and sample there
// are no others, and they read nothing from before it.
bool is_row_op(OpKind kind);

// Ops have the operands of their kind with fitting shapes; every activation is written once, by an
// op before those that read it; the graph ends in its one sample op.
Status check_ops(const Model& model, Error* error);

}  // namespace nbl
