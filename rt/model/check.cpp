#include "rt/model/check.h"

#include "rt/base/checked.h"
#include "rt/model/cache.h"
#include "schema_generated.h"

namespace nbl {
namespace {

std::string_view view(const flatbuffers::String* text) {
  return text == nullptr ? std::string_view() : std::string_view(text->c_str(), text->size());
}

template <size_t N>
bool known(const flatbuffers::String* text, const std::string_view (&names)[N]) {
  for (const std::string_view name : names) {
    if (name == view(text)) return true;
  }
  return false;
}

Status check_indices(const flatbuffers::Vector<int32_t>& indices, uint32_t most, uint32_t tensors,
                     std::string_view name, uint32_t where, Error* error) {
  if (indices.size() > most) {
    return fail(error, Code::bad_op, where, name, indices.size(), most);
  }
  for (const int32_t index : indices) {
    if (index < -1 || (index >= 0 && static_cast<uint32_t>(index) >= tensors)) {
      return fail(error, Code::bad_op, where, name, static_cast<uint32_t>(index), tensors);
    }
  }
  return {};
}

bool is_scale_dtype(std::string_view name) {
  return name == kDTypeNames[static_cast<size_t>(DType::f16)] ||
         name == kDTypeNames[static_cast<size_t>(DType::f32)];
}

bool is_group_size(uint32_t size) {
  return size >= kMinGroup && size <= kMaxGroup && (size & (size - 1)) == 0;
}

// Of the weights that a layout is for.
DType dtype_of(Layout layout) {
  if (layout == Layout::row_major) return DType::f32;
  return layout == Layout::q8_t16k4 ? DType::q8 : DType::q4;
}

// Bytes that the values of a weight take in its segment.
Status weight_bytes(const Tensor& t, uint32_t where, uint64_t* data, uint64_t* scales,
                    Error* error) {
  *scales = 0;
  if (is_quantized(t.dtype)) {
    if (t.rank != 2) return fail(error, Code::bad_tensor, where, t.name, t.rank, 2);
    if (!is_group_size(t.group_size)) {
      return fail(error, Code::bad_tensor, where, t.name, t.group_size, kMaxGroup);
    }
    *data = q4_format(t).data_bytes(t.shape[0], t.shape[1]);
    *scales = q4_format(t).scale_bytes(t.shape[0], t.shape[1]);
    return {};
  }
  if (t.rank > 2) return fail(error, Code::bad_tensor, where, t.name, t.rank, 2);
  // Vectors are padded to whole rows of activations.
  *data =
      t.rank == 1 ? uint64_t{row_stride(t.shape[0])} * 4 : uint64_t{t.shape[0]} * t.shape[1] * 4;
  return {};
}

Status check_weight(const Model& model, const Tensor& t, uint32_t where, Error* error) {
  if (!is_quantized(t.dtype) && t.dtype != DType::f32) {
    return fail(error, Code::unknown_layout, where, kDTypeNames[static_cast<size_t>(t.dtype)]);
  }
  if (dtype_of(t.layout) != t.dtype) {
    return fail(error, Code::unknown_layout, where, kLayoutNames[static_cast<size_t>(t.layout)]);
  }
  uint64_t data = 0;
  uint64_t scales = 0;
  NBL_TRY(weight_bytes(t, where, &data, &scales, error));
  const uint32_t segments = model.segment_count();
  if (t.data < 0 || static_cast<uint32_t>(t.data) >= segments) {
    return fail(error, Code::bad_tensor, where, t.name, static_cast<uint32_t>(t.data), segments);
  }
  const uint64_t have = model.segment(static_cast<uint32_t>(t.data)).size;
  if (have != data) return fail(error, Code::bad_tensor, where, t.name, have, data);
  if (!is_quantized(t.dtype)) return {};
  if (t.scales < 0 || static_cast<uint32_t>(t.scales) >= segments) {
    return fail(error, Code::bad_tensor, where, t.name, static_cast<uint32_t>(t.scales), segments);
  }
  const uint64_t have_scales = model.segment(static_cast<uint32_t>(t.scales)).size;
  if (have_scales != scales) {
    return fail(error, Code::bad_tensor, where, t.name, have_scales, scales);
  }
  return {};
}

Status check_shape(const Tensor& t, uint32_t where, Error* error) {
  const bool live = t.role == Role::activation || t.role == Role::input;
  uint64_t elements = 1;
  for (uint32_t i = 0; i < t.rank; ++i) {
    const uint32_t dim = t.shape[i];
    const bool token_dim = live && i == 0;
    if (dim > kMaxDim || (dim == 0) != token_dim) {
      return fail(error, Code::bad_tensor, where, t.name, dim, kMaxDim);
    }
    // Below 2^40 elements no later product of sizes can overflow 64 bits.
    if (!token_dim && (!checked_mul(elements, dim, &elements) || elements > (1ull << 40))) {
      return fail(error, Code::bad_tensor, where, t.name, dim, kMaxDim);
    }
  }
  return {};
}

}  // namespace

Status check_segments(const fb::Model& root, uint64_t first_byte, uint64_t file_bytes,
                      Error* error) {
  uint64_t end = first_byte;
  const uint32_t count = root.segments()->size();
  for (uint32_t i = 0; i < count + (root.prefix() == nullptr ? 0 : 1); ++i) {
    const fb::Segment* s = i < count ? root.segments()->Get(i) : root.prefix()->rows();
    if (s->sha256() == nullptr || s->sha256()->size() != 32) {
      return fail(error, Code::bad_segment, i, "its SHA-256 has not 32 bytes", i);
    }
    if (s->offset() % kSegmentAlignBytes != 0) {
      return fail(error, Code::bad_segment, i, "its offset is no multiple of 4096", i);
    }
    if (s->size() == 0) return fail(error, Code::bad_segment, i, "it is empty", i);
    if (s->offset() < end) {
      return fail(error, Code::bad_segment, i, "it overlaps what comes before it", i);
    }
    if (!checked_add(s->offset(), s->size(), &end) || end > file_bytes) {
      return fail(error, Code::file_truncated, i, "a weight segment", end, file_bytes);
    }
  }
  return {};
}

Status check_names(const fb::Model& root, Error* error) {
  const uint32_t tensors = root.tensors()->size();
  if (tensors > kMaxTensors) {
    return fail(error, Code::bad_header, 0, "tensor count", tensors, kMaxTensors);
  }
  if (root.ops()->size() > kMaxOps) {
    return fail(error, Code::bad_header, 0, "op count", root.ops()->size(), kMaxOps);
  }
  for (uint32_t i = 0; i < tensors; ++i) {
    const fb::Tensor* t = root.tensors()->Get(i);
    if (!known(t->role(), kRoleNames)) {
      return fail(error, Code::unknown_layout, i, view(t->role()));
    }
    if (!known(t->dtype(), kDTypeNames)) {
      return fail(error, Code::unknown_layout, i, view(t->dtype()));
    }
    if (!known(t->layout(), kLayoutNames)) {
      return fail(error, Code::unknown_layout, i, view(t->layout()));
    }
    if (t->scale_dtype() != nullptr && !is_scale_dtype(view(t->scale_dtype()))) {
      return fail(error, Code::unknown_layout, i, view(t->scale_dtype()));
    }
    const uint32_t rank = t->shape()->size();
    if (rank == 0 || rank > kMaxRank) {
      return fail(error, Code::bad_tensor, i, view(t->name()), rank, kMaxRank);
    }
  }
  for (uint32_t i = 0; i < root.ops()->size(); ++i) {
    const fb::Op* op = root.ops()->Get(i);
    if (!known(op->kind(), kOpKindNames)) {
      return fail(error, Code::unknown_op, i, view(op->kind()));
    }
    if (!known(op->function(), kFunctionNames)) {
      return fail(error, Code::unknown_op, i, view(op->function()));
    }
    NBL_TRY(check_indices(*op->inputs(), kMaxOpInputs, tensors, view(op->name()), i, error));
    NBL_TRY(check_indices(*op->outputs(), kMaxOpOutputs, tensors, view(op->name()), i, error));
  }
  return {};
}

Status check_prefix(const Model& model, Error* error) {
  if (model.root()->prefix() == nullptr) return {};
  const std::span<const uint32_t> tokens = model.prefix();
  if (tokens.empty() || tokens.size() > model.context_length()) {
    return fail(error, Code::bad_header, 0, "prefix", tokens.size(), model.context_length());
  }
  for (const uint32_t token : tokens) {
    if (token >= model.vocab_size()) {
      return fail(error, Code::bad_header, 0, "prefix token", token, model.vocab_size());
    }
  }
  const uint64_t bytes = model.prefix_rows().size();
  const uint64_t wanted = tokens.size() * model.position_bytes();
  if (bytes != wanted) return fail(error, Code::bad_header, 0, "prefix size", bytes, wanted);
  return {};
}

Status check_tensors(const Model& model, Error* error) {
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    const Tensor t = model.tensor(i);
    NBL_TRY(check_shape(t, i, error));
    switch (t.role) {
      case Role::weight:
        NBL_TRY(check_weight(model, t, i, error));
        break;
      case Role::input:
        if (t.dtype != DType::u32 || t.rank != 1) {
          return fail(error, Code::bad_tensor, i, t.name, t.rank, 1);
        }
        break;
      case Role::activation:
        if (t.dtype != DType::f32 || t.rank != 2) {
          return fail(error, Code::bad_tensor, i, t.name, t.rank, 2);
        }
        break;
      case Role::state:
        if (t.rank != 3) return fail(error, Code::bad_tensor, i, t.name, t.rank, 3);
        if (!is_cache_type(t.dtype)) {
          return fail(error, Code::unknown_layout, i, kDTypeNames[static_cast<size_t>(t.dtype)]);
        }
        if (t.shape[1] != model.context_length()) {
          return fail(error, Code::bad_tensor, i, t.name, t.shape[1], model.context_length());
        }
        if (t.shape[2] % 4 != 0 || t.shape[2] > kMaxHeadDim) {
          return fail(error, Code::bad_head_dim, i, t.name, t.shape[2], kMaxHeadDim);
        }
        break;
    }
  }
  return {};
}

}  // namespace nbl
