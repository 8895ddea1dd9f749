#include "tests/support/llama2c_writer.h"

#include <algorithm>
#include <stdexcept>

#include "compiler/import/gguf_writer.h"

namespace nbl::test {
namespace {

template <typename T>
void append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string with_plain_spaces(const std::string& text) {
  static const std::string kSpace = "\xe2\x96\x81";
  std::string plain;
  size_t begin = 0;
  for (size_t at = text.find(kSpace); at != std::string::npos; at = text.find(kSpace, begin)) {
    plain.append(text, begin, at - begin);
    plain += ' ';
    begin = at + kSpace.size();
  }
  return plain.append(text, begin);
}

}  // namespace

LlamaFile write_llama2c(const LlamaSpec& spec) {
  if (spec.dim != spec.heads * spec.head_dim)
    throw std::runtime_error("dim is not heads * head_dim");
  LlamaFile file;
  file.tokenizer = compiler::synthetic_vocabulary(spec.vocab);
  for (const uint32_t field : {spec.dim, spec.ffn, spec.layers, spec.heads, spec.kv_heads,
                               spec.tied ? spec.vocab : 0u - spec.vocab, spec.context}) {
    append(&file.bytes, field);
  }
  const std::vector<NamedShape> shapes = named_shapes(spec);
  for (const NamedShape& shape : shapes)
    file.weights[shape.name] = random_weights(spec, shape);
  const auto add = [&](const std::string& name) {
    for (const float value : file.weights.at(name))
      append(&file.bytes, value);
  };
  add("token_embd");
  for (const char* name : {"attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm",
                           "ffn_gate", "ffn_down", "ffn_up"}) {
    for (uint32_t layer = 0; layer < spec.layers; ++layer) {
      add("blk." + std::to_string(layer) + "." + name);
    }
  }
  add("output_norm");
  // The skipped cosine and sine tables hold what no weight may be mistaken for.
  for (uint64_t i = 0; i < uint64_t{spec.context} * spec.head_dim; ++i)
    append(&file.bytes, 1e30f);
  if (!spec.tied) add("output");
  return file;
}

std::string write_llama2c_tokenizer(const compiler::TokenizerData& tokenizer) {
  std::string body;
  uint32_t longest = 0;
  for (size_t id = 0; id < tokenizer.pieces.size(); ++id) {
    const std::string text = with_plain_spaces(tokenizer.pieces[id]);
    longest = std::max(longest, static_cast<uint32_t>(text.size()));
    append(&body, tokenizer.scores[id]);
    append(&body, static_cast<uint32_t>(text.size()));
    body += text;
  }
  std::string bytes;
  append(&bytes, longest);
  return bytes + body;
}

}  // namespace nbl::test
