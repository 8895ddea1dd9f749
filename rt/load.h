// load: bytes -> Model. The first of the four stages.
//
// Bytes are hostile until load() returns; afterwards nothing re-checks.
#pragma once

#include <cstddef>
#include <span>

#include "rt/base/status.h"
#include "rt/model/model.h"

namespace nbl {

// Checks the whole file except the contents of the weight segments and gives a view of it.
//
// Borrows  `file` for as long as the Model is in use. May be longer than the model (a flash
//          partition); starts at a multiple of 64.
// Errors   unaligned_model, file_truncated, bad_magic, unknown_version, bad_checksum, bad_header,
//          bad_flatbuffer, bad_segment, bad_tensor, bad_op, unknown_op, unknown_layout,
//          bad_tokenizer; *model is then untouched.
Status load(std::span<const std::byte> file, Model* model, Error* error);

// Compares the SHA-256 of every weight segment with the one in the file: one pass over all bytes.
//
// Errors   bad_checksum (where = segment).
Status verify_hashes(const Model& model, Error* error);

}  // namespace nbl
