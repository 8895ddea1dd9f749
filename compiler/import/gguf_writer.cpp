#include "compiler/import/gguf_writer.h"

namespace nbl::compiler {
namespace {

template <typename T>
void append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_text(std::string* out, std::string_view text) {
  append(out, uint64_t{text.size()});
  out->append(text);
}

// ggml's numbers for TokenizerData::types 0..5.
constexpr int32_t kGgmlTokenTypes[] = {1, 3, 6, 2, 4, 5};

}  // namespace

void GgufWriter::add_key(std::string_view key, GgufType type) {
  append_text(&keys_, key);
  append(&keys_, static_cast<uint32_t>(type));
  ++key_count_;
}

void GgufWriter::add_array(std::string_view key, GgufType element_type, size_t count) {
  add_key(key, GgufType::array);
  append(&keys_, static_cast<uint32_t>(element_type));
  append(&keys_, uint64_t{count});
}

void GgufWriter::add_u32(std::string_view key, uint32_t value) {
  add_key(key, GgufType::u32);
  append(&keys_, value);
}

void GgufWriter::add_f32(std::string_view key, float value) {
  add_key(key, GgufType::f32);
  append(&keys_, value);
}

void GgufWriter::add_bool(std::string_view key, bool value) {
  add_key(key, GgufType::boolean);
  append(&keys_, static_cast<uint8_t>(value));
}

void GgufWriter::add_text(std::string_view key, std::string_view value) {
  add_key(key, GgufType::string);
  append_text(&keys_, value);
}

void GgufWriter::add_texts(std::string_view key, const std::vector<std::string>& values) {
  add_array(key, GgufType::string, values.size());
  for (const std::string& value : values)
    append_text(&keys_, value);
}

void GgufWriter::add_floats(std::string_view key, const std::vector<float>& values) {
  add_array(key, GgufType::f32, values.size());
  for (const float value : values)
    append(&keys_, value);
}

void GgufWriter::add_ints(std::string_view key, const std::vector<int32_t>& values) {
  add_array(key, GgufType::i32, values.size());
  for (const int32_t value : values)
    append(&keys_, value);
}

void GgufWriter::add_hyper(const Hyper& hyper) {
  add_text("general.architecture", hyper.architecture);
  add_text("general.name", hyper.name);
  const auto key = [&](const char* name) { return hyper.architecture + "." + name; };
  add_u32(key("vocab_size"), hyper.vocab);
  add_u32(key("context_length"), hyper.context);
  add_u32(key("embedding_length"), hyper.dim);
  add_u32(key("block_count"), hyper.layers);
  add_u32(key("feed_forward_length"), hyper.ffn);
  add_u32(key("attention.head_count"), hyper.heads);
  add_u32(key("attention.head_count_kv"), hyper.kv_heads);
  add_u32(key("attention.key_length"), hyper.head_dim);
  add_u32(key("attention.value_length"), hyper.head_dim);
  add_f32(key("attention.layer_norm_rms_epsilon"), hyper.eps);
  add_u32(key("rope.dimension_count"), hyper.rotary_dim);
  add_f32(key("rope.freq_base"), static_cast<float>(hyper.rope_theta));
}

void GgufWriter::add_tokenizer(const TokenizerData& tokenizer) {
  add_text("tokenizer.ggml.model", "llama");
  add_texts("tokenizer.ggml.tokens", tokenizer.pieces);
  add_floats("tokenizer.ggml.scores", tokenizer.scores);
  std::vector<int32_t> types;
  for (const uint8_t type : tokenizer.types)
    types.push_back(kGgmlTokenTypes[type]);
  add_ints("tokenizer.ggml.token_type", types);
  // The all-ones id stands for none.
  add_u32("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(tokenizer.bos));
  add_u32("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(tokenizer.eos));
  add_u32("tokenizer.ggml.unknown_token_id", static_cast<uint32_t>(tokenizer.unknown));
  add_bool("tokenizer.ggml.add_bos_token", tokenizer.add_bos);
  add_bool("tokenizer.ggml.add_space_prefix", tokenizer.add_space_prefix);
}

void GgufWriter::add_tensor(std::string_view name, SourceType type, uint64_t rows,
                            uint64_t columns) {
  append_text(&tensors_, name);
  append(&tensors_, uint32_t{rows == 1 ? 1u : 2u});
  append(&tensors_, columns);
  if (rows != 1) append(&tensors_, rows);
  append(&tensors_, ggml_type_id(type));
  append(&tensors_, data_bytes_);
  ++tensor_count_;
  data_bytes_ += rows * source_row_bytes(type, columns);
  data_bytes_ += padding_after(data_bytes_);
}

std::string GgufWriter::header() const {
  std::string bytes = "GGUF";
  append(&bytes, kGgufVersion);
  append(&bytes, tensor_count_);
  append(&bytes, key_count_);
  bytes += keys_;
  bytes += tensors_;
  bytes.append(padding_after(bytes.size()), '\0');
  return bytes;
}

}  // namespace nbl::compiler
