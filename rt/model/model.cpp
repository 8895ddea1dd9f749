#include "rt/model/model.h"

#include "rt/base/checked.h"
#include "rt/model/cache.h"
#include "schema_generated.h"

namespace nbl {
namespace {

std::string_view view(const flatbuffers::String* text) {
  return text == nullptr ? std::string_view() : std::string_view(text->c_str(), text->size());
}

// load() has refused unknown names, so the search ends.
template <typename Enum, size_t N>
Enum from_name(const flatbuffers::String* text, const std::string_view (&names)[N]) {
  const std::string_view name = view(text);
  size_t index = 0;
  while (index + 1 < N && names[index] != name)
    ++index;
  return static_cast<Enum>(index);
}

}  // namespace

uint32_t Model::tensor_count() const {
  return root_->tensors()->size();
}
uint32_t Model::op_count() const {
  return root_->ops()->size();
}
uint32_t Model::segment_count() const {
  return root_->segments()->size();
}

Tensor Model::tensor(uint32_t index) const {
  const fb::Tensor* t = root_->tensors()->Get(index);
  Tensor tensor{};
  tensor.name = view(t->name());
  tensor.role = from_name<Role>(t->role(), kRoleNames);
  tensor.dtype = from_name<DType>(t->dtype(), kDTypeNames);
  tensor.layout = from_name<Layout>(t->layout(), kLayoutNames);
  tensor.rank = static_cast<uint8_t>(t->shape()->size());
  for (uint32_t i = 0; i < tensor.rank; ++i)
    tensor.shape[i] = t->shape()->Get(i);
  tensor.group_size = t->group_size();
  tensor.data = t->data();
  tensor.scales = t->scales();
  tensor.f32_scales = view(t->scale_dtype()) == kDTypeNames[static_cast<size_t>(DType::f32)];
  return tensor;
}

Op Model::op(uint32_t index) const {
  const fb::Op* o = root_->ops()->Get(index);
  Op op{};
  op.kind = from_name<OpKind>(o->kind(), kOpKindNames);
  op.name = view(o->name());
  op.input_count = static_cast<uint8_t>(o->inputs()->size());
  op.output_count = static_cast<uint8_t>(o->outputs()->size());
  for (uint32_t i = 0; i < kMaxOpInputs; ++i) {
    op.inputs[i] = i < op.input_count ? o->inputs()->Get(i) : -1;
  }
  for (uint32_t i = 0; i < kMaxOpOutputs; ++i) {
    op.outputs[i] = i < op.output_count ? o->outputs()->Get(i) : -1;
  }
  op.eps = o->eps();
  op.scale = o->scale();
  op.heads = o->heads();
  op.kv_heads = o->kv_heads();
  op.head_dim = o->head_dim();
  op.rotary_dim = o->rotary_dim();
  op.rope_half = o->rope_half();
  op.swiglu = o->swiglu();
  op.last_row = o->last_row();
  op.function = from_name<Function>(o->function(), kFunctionNames);
  op.alpha = o->alpha();
  op.offset = o->offset();
  op.window = o->window();
  op.softcap = o->softcap();
  op.full = o->full();
  return op;
}

Segment Model::segment(uint32_t index) const {
  const fb::Segment* s = root_->segments()->Get(index);
  return {s->offset(), s->size(), s->sha256()->data()};
}

std::span<const std::byte> Model::segment_bytes(uint32_t index) const {
  const Segment s = segment(index);
  return file_.subspan(in_memory(s.offset), in_memory(s.size));
}

// Looks at few fields of each tensor and op: plan asks once a window.
bool Model::serves_only(uint32_t segment, uint32_t op_kinds) const {
  const int32_t wanted = static_cast<int32_t>(segment);
  bool used = false;
  for (const fb::Tensor* t : *root_->tensors()) {
    if (t->scales() == wanted) return false;
    if (t->data() != wanted) continue;
    if (from_name<Role>(t->role(), kRoleNames) != Role::weight) return false;
    if (from_name<Layout>(t->layout(), kLayoutNames) != Layout::q4_t16k8) return false;
    used = true;
  }
  for (const fb::Op* op : *root_->ops()) {
    for (const int32_t input : *op->inputs()) {
      if (input < 0 || root_->tensors()->Get(static_cast<uint32_t>(input))->data() != wanted) {
        continue;
      }
      const OpKind kind = from_name<OpKind>(op->kind(), kOpKindNames);
      if ((op_kinds >> static_cast<uint32_t>(kind) & 1u) == 0) return false;
    }
  }
  return used;
}

std::string_view Model::name() const {
  return view(root_->name());
}
std::string_view Model::architecture() const {
  return view(root_->architecture());
}
uint32_t Model::vocab_size() const {
  return root_->vocab_size();
}
uint32_t Model::context_length() const {
  return root_->context_length();
}
uint32_t Model::prefill_chunk() const {
  return root_->prefill_chunk();
}

std::span<const uint32_t> Model::stop_tokens() const {
  const auto* tokens = root_->stop_tokens();
  if (tokens == nullptr) return {};
  return {tokens->data(), tokens->size()};
}

uint64_t Model::position_bytes() const {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < tensor_count(); ++i) {
    const Tensor t = tensor(i);
    if (t.role == Role::state) bytes += uint64_t{t.shape[0]} * cache_row_bytes(t.dtype, t.shape[2]);
  }
  return bytes;
}

std::span<const uint32_t> Model::prefix() const {
  const fb::Prefix* prefix = root_->prefix();
  if (prefix == nullptr) return {};
  return {prefix->tokens()->data(), prefix->tokens()->size()};
}

std::span<const std::byte> Model::prefix_rows() const {
  if (root_->prefix() == nullptr) return {};
  const fb::Segment* rows = root_->prefix()->rows();
  return file_.subspan(in_memory(rows->offset()), in_memory(rows->size()));
}

bool Model::tokenizer(TokenizerTables* tables) const {
  const fb::Tokenizer* t = root_->tokenizer();
  if (t == nullptr) return false;
  tables->count = t->types()->size();
  tables->pieces = t->pieces()->data();
  tables->offsets = t->offsets()->data();
  tables->scores = t->scores()->data();
  tables->types = t->types()->data();
  tables->sorted = t->sorted()->data();
  tables->byte_tokens = t->byte_tokens()->data();
  tables->bos = t->bos();
  tables->eos = t->eos();
  tables->unknown = t->unknown();
  tables->add_bos = t->add_bos();
  tables->add_space_prefix = t->add_space_prefix();
  tables->kind = from_name<TokenizerKind>(t->kind(), kTokenizerKindNames);
  tables->splitter = Splitter::gpt2;
  if (tables->kind != TokenizerKind::bpe) return true;
  tables->splitter = from_name<Splitter>(t->splitter(), kSplitterNames);
  tables->whole_words = t->whole_words();
  tables->merge_count = t->merge_right()->size();
  tables->merge_first = t->merge_first()->data();
  tables->merge_right = t->merge_right()->data();
  tables->merge_result = t->merge_result()->data();
  tables->merge_rank = t->merge_rank()->data();
  return true;
}

bool Model::chat(ChatTable* table) const {
  const auto* texts = root_->chat_texts();
  if (texts == nullptr) return false;
  if (table == nullptr) return true;
  table->flags = root_->chat_flags();
  table->bytes = 0;
  for (uint32_t i = 0; i < kChatTextCount; ++i) {
    table->texts[i] = view(texts->Get(i));
    table->bytes += table->texts[i].size();
  }
  return true;
}

}  // namespace nbl
