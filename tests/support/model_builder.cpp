#include "tests/support/model_builder.h"

#include "schema_generated.h"

namespace nbl::test {
namespace {

std::string name_of(std::string_view view) {
  return std::string(view);
}

OpKind embedding_of(const Q4Format& table) {
  return table.eight_bits() ? OpKind::embedding_q8gsw : OpKind::embedding_q4gsw;
}

}  // namespace

int32_t ModelBuilder::add(Entry entry) {
  tensors_.push_back(std::move(entry));
  return static_cast<int32_t>(tensors_.size()) - 1;
}

int32_t ModelBuilder::segment(uint64_t bytes) {
  segments_.push_back(bytes);
  return static_cast<int32_t>(segments_.size()) - 1;
}

int32_t ModelBuilder::tokens() {
  return add({"input", "u32", "row_major", {0}});
}
int32_t ModelBuilder::activation(uint32_t columns) {
  return add({"activation", "f32", "row_major", {0, columns}});
}
int32_t ModelBuilder::q4(uint32_t rows, uint32_t columns, uint32_t group_size) {
  return q4(rows, columns, {eight_ ? Layout::q8_t16k4 : Layout::q4_t16k8, group_size, f32_scales_});
}
int32_t ModelBuilder::q4(uint32_t rows, uint32_t columns, const Q4Format& format) {
  const int32_t data = segment(format.data_bytes(rows, columns));
  const int32_t scales = segment(format.scale_bytes(rows, columns));
  return add({"weight",
              format.eight_bits() ? "q8" : "q4",
              name_of(kLayoutNames[static_cast<size_t>(format.layout)]),
              {rows, columns},
              format.group_size,
              data,
              scales,
              format.f32_scales});
}
int32_t ModelBuilder::vector(uint32_t columns) {
  return add({"weight", "f32", "row_major", {columns}, 0, segment(row_stride(columns) * 4), -1});
}
int32_t ModelBuilder::same_segments(int32_t weight) {
  return add(Entry(tensors_[static_cast<size_t>(weight)]));
}
int32_t ModelBuilder::vector_over(int32_t weight, uint32_t columns) {
  const int32_t data = tensors_[static_cast<size_t>(weight)].data;
  return add({"weight", "f32", "row_major", {columns}, 0, data, -1});
}
int32_t ModelBuilder::rope_table(uint32_t rotary_dim) {
  const uint32_t rows = kRopeFineRows + (context_ + kRopeFineRows - 1) / kRopeFineRows;
  return add({"weight",
              "f32",
              "row_major",
              {rows, rotary_dim},
              0,
              segment(uint64_t{rows} * rotary_dim * 4),
              -1});
}
int32_t ModelBuilder::cache(uint32_t kv_heads, uint32_t head_dim, DType type) {
  const std::string dtype = name_of(kDTypeNames[static_cast<size_t>(type)]);
  return add({"state", dtype, "row_major", {kv_heads, context_, head_dim}});
}
int32_t ModelBuilder::mask() {
  const uint64_t bytes = uint64_t{context_} * context_ * 4;
  return add({"weight", "f32", "row_major", {context_, context_}, 0, segment(bytes), -1});
}

int32_t ModelBuilder::norm(int32_t x, uint32_t heads) {
  const int32_t weight = vector(columns(x) / heads);
  const int32_t out = activation(columns(x));
  op({.kind = OpKind::rms_norm, .inputs = {x, weight}, .outputs = {out}, .heads = heads});
  return out;
}

// One of the general ops on x; partner is as wide as x.
int32_t ModelBuilder::general(Random* random, int32_t x, int32_t partner) {
  const uint32_t width = columns(x);
  uint32_t heads = 1 + random->below(8);
  while (width % heads != 0)
    --heads;
  OpSpec spec{.inputs = {x}, .heads = heads, .head_dim = width / heads};
  uint32_t out = width;
  switch (random->below(6)) {
    case 0:
      return norm(x, heads);
    case 1:
      spec.kind = OpKind::slice;
      out = 1 + random->below(width);
      spec.offset = random->below(width - out + 1);
      break;
    case 2:
      spec.kind = OpKind::cat;
      spec.inputs.assign(2 + random->below(3), x);
      spec.inputs.back() = partner;
      out = static_cast<uint32_t>(spec.inputs.size()) * width;
      break;
    case 3:
      spec.kind = OpKind::permute;
      break;
    case 4:
      spec.kind = OpKind::softmax;
      break;
    default: {
      spec.kind = OpKind::elementwise;
      spec.function = static_cast<Function>(1 + random->below(kFunctionCount - 1));
      const uint32_t operand = is_binary(spec.function) ? random->below(3) : 0;
      spec.alpha = is_binary(spec.function) ? 1.0f : 0.0f;
      if (operand == 1) spec.inputs.push_back(partner);
      if (operand == 2) spec.inputs.push_back(vector(width / heads));
      break;
    }
  }
  spec.outputs = {activation(out)};
  op(spec);
  return spec.outputs[0];
}

int32_t ModelBuilder::linear(int32_t x, uint32_t rows, uint32_t group, bool norm, int32_t residual,
                             bool swiglu, bool last_row) {
  const int32_t weight = q4(swiglu ? 2 * row_stride(rows) : rows, columns(x), group);
  const int32_t gain = norm ? vector(columns(x)) : -1;
  const int32_t out = activation(rows);
  const OpKind four = int8_ ? OpKind::linear_dq8ca_q4gsw : OpKind::linear_q4gsw;
  op({.kind = eight_ ? OpKind::linear_q8gsw : four,
      .inputs = {x, weight, gain, -1, residual},
      .outputs = {out},
      .swiglu = swiglu,
      .last_row = last_row});
  return out;
}

int32_t ModelBuilder::layer_attention(const Decoder& d, int32_t x, int32_t table) {
  const uint32_t width = d.heads * d.head_dim;
  const uint32_t kv = d.kv_heads * d.head_dim;
  const int32_t k_cache = cache(d.kv_heads, d.head_dim, d.cache);
  const int32_t v_cache = cache(d.kv_heads, d.head_dim, d.cache);
  const OpSpec shape{.heads = d.heads, .kv_heads = d.kv_heads, .head_dim = d.head_dim};
  int32_t q = -1;
  if (d.fused) {
    const int32_t qkv = linear(x, width + 2 * kv, d.group, true, -1, false, false);
    q = activation(width);
    OpSpec fused = shape;
    fused.kind = OpKind::rope_update_cache;
    fused.inputs = {qkv, table};
    fused.outputs = {q, k_cache, v_cache};
    op(fused);
  } else {
    const int32_t normed = norm(x);
    const int32_t raw_q = linear(normed, width, d.group, false, -1, false, false);
    const int32_t raw_k = linear(normed, kv, d.group, false, -1, false, false);
    const int32_t v = linear(normed, kv, d.group, false, -1, false, false);
    q = activation(width);
    OpSpec rope = shape;
    rope.kind = OpKind::rope;
    rope.inputs = {raw_q, table};
    rope.outputs = {q};
    op(rope);
    const int32_t k = activation(kv);
    rope.heads = d.kv_heads;
    rope.inputs = {raw_k, table};
    rope.outputs = {k};
    op(rope);
    op({.kind = OpKind::update_cache, .inputs = {k}, .outputs = {k_cache}});
    op({.kind = OpKind::update_cache, .inputs = {v}, .outputs = {v_cache}});
  }
  const int32_t attended = activation(width);
  OpSpec sdpa = shape;
  sdpa.kind = OpKind::sdpa_with_kv_cache;
  sdpa.inputs = {q, k_cache, v_cache};
  if (d.mask) sdpa.inputs.push_back(mask());
  sdpa.window = d.window;
  sdpa.softcap = d.softcap;
  sdpa.full = d.full;
  sdpa.outputs = {attended};
  op(sdpa);
  const int32_t out = linear(attended, d.dim, d.group, false, d.fused ? x : -1, false, false);
  if (d.fused) return out;
  const int32_t sum = activation(d.dim);
  op({.kind = OpKind::add, .inputs = {x, out}, .outputs = {sum}});
  return sum;
}

int32_t ModelBuilder::layer_ffn(const Decoder& d, int32_t x) {
  if (d.fused) {
    const int32_t hidden = linear(x, d.ffn, d.group, true, -1, true, false);
    return linear(hidden, d.dim, d.group, false, x, false, false);
  }
  const int32_t normed = norm(x);
  const int32_t gate = linear(normed, d.ffn, d.group, false, -1, false, false);
  const int32_t up = linear(normed, d.ffn, d.group, false, -1, false, false);
  const int32_t hidden = activation(d.ffn);
  op({.kind = OpKind::swiglu, .inputs = {gate, up}, .outputs = {hidden}});
  const int32_t down = linear(hidden, d.dim, d.group, false, -1, false, false);
  const int32_t sum = activation(d.dim);
  op({.kind = OpKind::add, .inputs = {x, down}, .outputs = {sum}});
  return sum;
}

void ModelBuilder::finish(int32_t x, bool last_row, bool capped) {
  int32_t logits = linear(x, vocab_, 32, true, -1, false, last_row);
  if (capped) {
    const int32_t out = activation(vocab_);
    op({.kind = OpKind::elementwise,
        .inputs = {logits},
        .outputs = {out},
        .function = Function::tanh});
    logits = out;
  }
  op({.kind = OpKind::sample, .inputs = {logits}, .outputs = {}});
}

void ModelBuilder::decoder(const Decoder& d) {
  const int32_t ids = tokens();
  const int32_t table = rope_table(d.head_dim);
  f32_scales_ = d.f32_scales;
  Q4Format table_format = d.table;
  table_format.group_size = d.group;
  const int32_t weight = q4(vocab_, d.dim, table_format);
  int32_t x = activation(d.dim);
  op({.kind = embedding_of(table_format), .inputs = {ids, weight}, .outputs = {x}});
  for (uint32_t i = 0; i < d.layers; ++i) {
    x = layer_attention(d, x, table);
    x = layer_ffn(d, x);
  }
  finish(x);
}

void ModelBuilder::random_graph(Random* random, uint32_t op_count) {
  constexpr uint32_t kGroups[] = {8, 16, 32, 64, 128, 256};
  constexpr DType kCaches[] = {DType::f16, DType::f32, DType::i8};
  const auto format = [&] {
    return Q4Format{static_cast<Layout>(1 + random->below(4)), kGroups[random->below(6)],
                    random->below(2) == 0};
  };
  f32_scales_ = random->below(2) == 0;
  const auto width = [&] { return 1 + random->below(300); };
  const int32_t ids = tokens();
  const uint32_t dim = width();
  const Q4Format table = format();
  const int32_t weight = q4(vocab_, dim, table);
  std::vector<int32_t> alive{activation(dim)};
  op({.kind = embedding_of(table), .inputs = {ids, weight}, .outputs = {alive[0]}});
  const auto any = [&] { return alive[random->below(static_cast<uint32_t>(alive.size()))]; };
  // Something of the same width as x, x itself where there is nothing else.
  const auto partner = [&](int32_t x) {
    for (uint32_t i = 0; i < 8; ++i) {
      const int32_t other = any();
      if (columns(other) == columns(x)) return other;
    }
    return x;
  };
  for (uint32_t i = 0; i < op_count; ++i) {
    const int32_t x = any();
    const uint32_t group = kGroups[random->below(6)];
    int8_activations(random->below(3) == 0);
    eight_bits(random->below(4) == 0);
    switch (random->below(9)) {
      case 0:
        alive.push_back(norm(x));
        break;
      case 1:
      case 2:
        alive.push_back(
            linear(x, width(), group, random->below(2) == 0, -1, random->below(3) == 0, false));
        break;
      case 3: {
        const int32_t other = any();
        alive.push_back(
            linear(x, columns(other), group, random->below(2) == 0, other, false, false));
        break;
      }
      case 4:
      case 5: {
        const int32_t other = partner(x);
        const int32_t out = activation(columns(x));
        const OpKind kind = random->below(2) == 0 ? OpKind::add : OpKind::swiglu;
        op({.kind = kind, .inputs = {x, other}, .outputs = {out}});
        alive.push_back(out);
        break;
      }
      case 6:
      case 7:
        if (columns(x) < 2000) alive.push_back(general(random, x, partner(x)));
        break;
      default: {
        const Decoder d{.dim = columns(x),
                        .heads = 4,
                        .kv_heads = 1u << random->below(3),
                        .head_dim = 4 + 4 * random->below(8),
                        .group = group,
                        .fused = random->below(2) == 0,
                        .cache = kCaches[random->below(3)],
                        .window = random->below(2) == 0 ? 0 : 1 + random->below(2 * context_),
                        .softcap = random->below(2) == 0 ? 0.0f : 30.0f,
                        .full = random->below(2) == 0,
                        .mask = random->below(3) == 0};
        alive.push_back(layer_attention(d, x, rope_table(d.head_dim)));
        break;
      }
    }
  }
  finish(any(), random->below(4) != 0, random->below(4) == 0);
}

Model ModelBuilder::build() {
  flatbuffers::FlatBufferBuilder b;
  std::vector<flatbuffers::Offset<fb::Segment>> segments;
  const std::vector<uint8_t> hash(32);
  uint64_t offset = 1u << 20;
  for (const uint64_t bytes : segments_) {
    segments.push_back(fb::CreateSegmentDirect(b, offset, bytes, &hash, "segment"));
    offset += (bytes + kSegmentAlignBytes - 1) / kSegmentAlignBytes * kSegmentAlignBytes;
  }
  std::vector<flatbuffers::Offset<fb::Tensor>> tensors;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Entry& t = tensors_[i];
    const std::string name = "tensor" + std::to_string(i);
    tensors.push_back(fb::CreateTensorDirect(b, name.c_str(), t.role.c_str(), t.dtype.c_str(),
                                             t.layout.c_str(), &t.shape, t.group, t.data, t.scales,
                                             t.f32_scales ? "f32" : nullptr));
  }
  std::vector<flatbuffers::Offset<fb::Op>> ops;
  for (size_t i = 0; i < ops_.size(); ++i) {
    const OpSpec& op = ops_[i];
    const std::string kind = name_of(kOpKindNames[static_cast<size_t>(op.kind)]);
    const std::string name = "op" + std::to_string(i);
    const std::string function = name_of(kFunctionNames[static_cast<size_t>(op.function)]);
    ops.push_back(fb::CreateOpDirect(b, kind.c_str(), name.c_str(), &op.inputs, &op.outputs, 1e-5f,
                                     0.25f, op.heads, op.kv_heads, op.head_dim, op.head_dim, false,
                                     op.swiglu, op.last_row,
                                     function.empty() ? nullptr : function.c_str(), op.alpha,
                                     op.offset, op.window, op.softcap, op.full));
  }
  b.Finish(fb::CreateModelDirect(b, "test", "llama", vocab_, context_, chunk_, nullptr, &segments,
                                 &tensors, &ops),
           fb::ModelIdentifier());
  bytes_.assign(b.GetBufferPointer(), b.GetBufferPointer() + b.GetSize());
  return Model(fb::GetModel(bytes_.data()), {});
}

}  // namespace nbl::test
