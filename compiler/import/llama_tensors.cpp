#include "compiler/import/llama_tensors.h"

#include <fmt/format.h>

#include <cmath>

#include "compiler/quantize/q4_rows.h"
#include "rt/base/limits.h"

namespace nbl::compiler {
namespace {

// Far above any published model; keeps the list of expected tensors small for a hostile header.
constexpr uint32_t kMaxLayers = 1024;

void check_range(std::string_view file, const char* name, uint32_t value, uint32_t limit) {
  if (value >= 1 && value <= limit) return;
  throw ImportError(fmt::format("{}: {} is {}; it must lie in 1..{}", file, name, value, limit));
}

void check_factor(std::string_view file, const char* name, float value) {
  if (value > 0 && std::isfinite(value)) return;
  throw ImportError(fmt::format("{}: {} is {}; it must be positive", file, name, value));
}

void check_rope(std::string_view file, const Hyper& hyper) {
  if (hyper.rotary_dim == 0 || hyper.rotary_dim % 2 != 0 || hyper.rotary_dim > hyper.head_dim) {
    throw ImportError(fmt::format(
        "{}: the rotary dimension is {}; it must be even and at most the head dimension "
        "{}",
        file, hyper.rotary_dim, hyper.head_dim));
  }
  for (const auto* list :
       {&hyper.rope_inv_freq, &hyper.rope_long_inv_freq, &hyper.local_rope_inv_freq}) {
    for (size_t i = 0; i < list->size(); ++i) {
      if (std::isfinite((*list)[i]) && (*list)[i] >= 0) continue;
      throw ImportError(fmt::format(
          "{}: RoPE frequency {} is {}; it must be finite and not negative", file, i, (*list)[i]));
    }
  }
  check_factor(file, "the factor of RoPE's cosines", hyper.rope_magnitude);
}

void check_attention(std::string_view file, const Hyper& hyper) {
  if (!hyper.windows.empty() && hyper.windows.size() != hyper.layers) {
    throw ImportError(fmt::format("{}: {} layers have an attention window; the model has {} layers",
                                  file, hyper.windows.size(), hyper.layers));
  }
  const auto check_optional = [&](const char* name, float value) {
    if (value != 0) check_factor(file, name, value);
  };
  check_optional("the attention scale", hyper.attention_scale);
  check_optional("the cap of attention scores", hyper.attention_softcap);
  check_optional("the cap of logits", hyper.logit_softcap);
}

// Matrices are checked where they are quantized.
void check_vector(std::string_view file, const SourceTensor& tensor) {
  std::vector<float> values(tensor.columns);
  tensor.read_row(0, values.data());
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    throw ImportError(fmt::format("{}: tensor {} has element {} = {}; it must be finite", file,
                                  tensor.name, i, values[i]));
  }
}

struct NamedRows {
  std::string name;
  uint64_t rows;
};

// Leaves a tensor that has other rows than its parts together as it is, for check_llama_tensors().
void split_rows(const std::string& name, const std::vector<NamedRows>& parts,
                std::map<std::string, SourceTensor>* tensors) {
  uint64_t rows = 0;
  for (const NamedRows& part : parts)
    rows += part.rows;
  const auto found = tensors->find(name);
  if (found == tensors->end() || found->second.rows != rows) return;
  const SourceTensor whole = found->second;
  tensors->erase(found);
  uint64_t row = 0;
  for (const NamedRows& part : parts) {
    SourceTensor tensor = whole;
    tensor.rows = part.rows;
    if (whole.quantized) {
      tensor.quantized = std::make_shared<const Q4Rows>(slice_q4_rows(
          *whole.quantized, static_cast<uint32_t>(row), static_cast<uint32_t>(part.rows)));
    } else {
      tensor.data = whole.row_data(row);
    }
    tensors->emplace(part.name, std::move(tensor));
    row += part.rows;
  }
}

}  // namespace

void check_layer_count(std::string_view file, uint32_t layers) {
  check_range(file, "the layer count", layers, kMaxLayers);
}

void check_llama_hyper(std::string_view file, const Hyper& hyper) {
  check_range(file, "the vocabulary size", hyper.vocab, kMaxDim);
  check_range(file, "the embedding length", hyper.dim, kMaxDim);
  check_layer_count(file, hyper.layers);
  check_range(file, "the head count", hyper.heads, 65536);
  check_range(file, "the key/value head count", hyper.kv_heads, hyper.heads);
  check_range(file, "the head dimension", hyper.head_dim, 65536);
  check_range(file, "the feed-forward length", hyper.ffn, kMaxDim);
  check_range(file, "the context length", hyper.context, kMaxDim);
  if (hyper.heads % hyper.kv_heads != 0) {
    throw ImportError(fmt::format("{}: {} heads cannot share {} key/value heads evenly", file,
                                  hyper.heads, hyper.kv_heads));
  }
  if (uint64_t{hyper.heads} * hyper.head_dim > kMaxDim) {
    throw ImportError(fmt::format("{}: {} heads of {} elements are more than {}", file, hyper.heads,
                                  hyper.head_dim, kMaxDim));
  }
  if (!(hyper.eps > 0) || !std::isfinite(hyper.eps)) {
    throw ImportError(
        fmt::format("{}: the norm epsilon is {}; it must be positive", file, hyper.eps));
  }
  check_rope(file, hyper);
  check_attention(file, hyper);
}

std::vector<TensorShape> llama_tensor_shapes(const Hyper& hyper) {
  const uint64_t dim = hyper.dim;
  const uint64_t ffn = hyper.ffn;
  const uint64_t q_rows = uint64_t{hyper.heads} * hyper.head_dim;
  const uint64_t kv_rows = uint64_t{hyper.kv_heads} * hyper.head_dim;
  std::vector<TensorShape> shapes = {{"token_embd", hyper.vocab, dim, true}};
  for (uint32_t layer = 0; layer < hyper.layers; ++layer) {
    const auto add = [&](const char* name, uint64_t rows, uint64_t columns) {
      shapes.push_back({fmt::format("blk.{}.{}", layer, name), rows, columns, true});
    };
    add("attn_norm", 1, dim);
    add("attn_q", q_rows, dim);
    add("attn_k", kv_rows, dim);
    add("attn_v", kv_rows, dim);
    if (hyper.qkv_bias) {
      add("attn_q.bias", 1, q_rows);
      add("attn_k.bias", 1, kv_rows);
      add("attn_v.bias", 1, kv_rows);
    }
    if (hyper.qk_norm) {
      add("attn_q_norm", 1, hyper.head_dim);
      add("attn_k_norm", 1, hyper.head_dim);
    }
    add("attn_output", dim, q_rows);
    if (hyper.post_norms) add("post_attention_norm", 1, dim);
    add("ffn_norm", 1, dim);
    add("ffn_gate", ffn, dim);
    add("ffn_up", ffn, dim);
    add("ffn_down", dim, ffn);
    if (hyper.post_norms) add("post_ffw_norm", 1, dim);
  }
  shapes.push_back({"output_norm", 1, dim, true});
  shapes.push_back({"output", hyper.vocab, dim, false});
  return shapes;
}

void split_fused_tensors(const Hyper& hyper, std::map<std::string, SourceTensor>* tensors) {
  const uint64_t q_rows = uint64_t{hyper.heads} * hyper.head_dim;
  const uint64_t kv_rows = uint64_t{hyper.kv_heads} * hyper.head_dim;
  for (uint32_t layer = 0; layer < hyper.layers; ++layer) {
    const std::string at = fmt::format("blk.{}.", layer);
    split_rows(at + "attn_qkv",
               {{at + "attn_q", q_rows}, {at + "attn_k", kv_rows}, {at + "attn_v", kv_rows}},
               tensors);
    if (tensors->contains(at + "ffn_gate")) continue;
    split_rows(at + "ffn_up", {{at + "ffn_gate", hyper.ffn}, {at + "ffn_up", hyper.ffn}}, tensors);
  }
}

void check_llama_tensors(std::string_view file, const Hyper& hyper,
                         const std::map<std::string, SourceTensor>& tensors) {
  size_t known = 0;
  const std::vector<TensorShape> shapes = llama_tensor_shapes(hyper);
  for (const TensorShape& shape : shapes) {
    const auto found = tensors.find(shape.name);
    if (found == tensors.end()) {
      if (!shape.required) continue;
      throw ImportError(fmt::format("{}: tensor {} is missing", file, shape.name));
    }
    ++known;
    const SourceTensor& tensor = found->second;
    if (tensor.rows != shape.rows || tensor.columns != shape.columns) {
      throw ImportError(
          fmt::format("{}: tensor {} has shape [{}, {}]; the hyperparameters ask for [{}, {}]",
                      file, tensor.name, tensor.rows, tensor.columns, shape.rows, shape.columns));
    }
    if (shape.rows == 1) check_vector(file, tensor);
  }
  if (known == tensors.size()) return;
  std::map<std::string, SourceTensor> rest = tensors;
  for (const TensorShape& shape : shapes)
    rest.erase(shape.name);
  throw ImportError(fmt::format(
      "{}: tensor {} has no place in the {} architecture with {} layers that nibble knows", file,
      rest.begin()->second.name, hyper.architecture, hyper.layers));
}

bool is_byte_piece(std::string_view piece) {
  const auto is_hex = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
  };
  return piece.size() == 6 && piece.starts_with("<0x") && is_hex(piece[3]) && is_hex(piece[4]) &&
         piece[5] == '>';
}

std::string with_visible_spaces(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (const char c : text) {
    if (c == ' ') {
      result += "\xe2\x96\x81";
    } else {
      result += c;
    }
  }
  return result;
}

}  // namespace nbl::compiler
