// Could break: a folder gives other tokens than the same weights in a GGUF file, or weights that
// arrive packed compute something else on the device than they stand for. The reference of the
// latter is a forward pass in float64 over exactly the values in the file.
#include <gtest/gtest.h>

#include <algorithm>

#include "compiler/compile.h"
#include "compiler/import/gguf_writer.h"
#include "compiler/import/hf/model_tensors.h"
#include "tests/support/compiled.h"
#include "tests/support/engine.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/half_split.h"
#include "tests/support/packed_folder.h"
#include "tests/support/random.h"

namespace nbl::test {
namespace {

// Keys and values round to f16.
constexpr double kTolerance = 1e-3;

AlignedBytes compiled(const std::filesystem::path& input,
                      compiler::CompileReport* report = nullptr) {
  const TempFile file("", ".nbl");
  const compiler::CompileReport made = compiler::compile({.input = input, .output = file.path()});
  if (report != nullptr) *report = made;
  return read_file(file.path());
}

// The vocabulary of a GGUF file as tokenizer.json: every way to cut a piece is a merge, those of
// better pieces first. Pieces are ASCII and U+2581.
std::string tokenizer_json(const compiler::TokenizerData& data) {
  const auto quoted = [](const std::string& text) {
    std::string out;
    for (const char c : text)
      out += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    return "\"" + out + "\"";
  };
  std::string vocab, merges, added;
  std::vector<size_t> order;
  for (size_t id = 0; id < data.pieces.size(); ++id) {
    vocab += (id == 0 ? "" : ",") + quoted(data.pieces[id]) + ":" + std::to_string(id);
    if (data.types[id] == 0) order.push_back(id);
    if (data.types[id] != 1 && data.types[id] != 3) continue;
    added += (added.empty() ? "" : ",") + std::string("{\"id\":") + std::to_string(id) +
             ",\"content\":" + quoted(data.pieces[id]) + ",\"special\":true}";
  }
  std::ranges::stable_sort(order,
                           [&](size_t a, size_t b) { return data.scores[a] > data.scores[b]; });
  const auto is_piece = [&](const std::string& text) {
    const auto found = std::ranges::find(data.pieces, text);
    return found != data.pieces.end() &&
           data.types[static_cast<size_t>(found - data.pieces.begin())] == 0;
  };
  for (const size_t id : order) {
    const std::string& piece = data.pieces[id];
    for (size_t at = 1; at < piece.size(); ++at) {
      const std::string left = piece.substr(0, at), right = piece.substr(at);
      if (!is_piece(left) || !is_piece(right)) continue;
      merges += (merges.empty() ? "[" : ",[") + quoted(left) + "," + quoted(right) + "]";
    }
  }
  return R"({"added_tokens":[)" + added +
         R"(],"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},)"
         R"({"type":"Replace","pattern":{"String":" "},"content":"▁"}]},"pre_tokenizer":null,)"
         R"("model":{"type":"BPE","unk_token":"<unk>","byte_fallback":true,"vocab":{)" +
         vocab + R"(},"merges":[)" + merges + "]}}";
}

struct Pair {
  AlignedBytes folder, gguf;
};

// Always the same ones: two tokens that are as likely would be a coin's toss.
Pair same_weights() {
  FolderSpec spec = spec_of("LlamaForCausalLM");
  spec.vocab = 421;
  const LlamaFile gguf = write_gguf_llama({.dim = spec.dim,
                                           .layers = spec.layers,
                                           .heads = spec.heads,
                                           .kv_heads = spec.kv_heads,
                                           .head_dim = spec.head_dim,
                                           .ffn = spec.ffn,
                                           .vocab = spec.vocab,
                                           .context = spec.context,
                                           .tied = spec.tied});
  FolderModel model = random_folder_model(spec);
  for (StoredTensor& one : model.tensors) {
    const std::string name =
        *compiler::hf::canonical_name("llama", one.name.substr(0, one.name.rfind('.')));
    std::vector<float> values = gguf.weights.at(name);
    if (name.ends_with("attn_q") || name.ends_with("attn_k")) {
      values = half_split(values, spec.head_dim, spec.dim);
    }
    one = stored_floats(one.name, "F32", one.shape, &values);
  }
  const TempFolder folder;
  model.write(folder);
  folder.write("tokenizer.json", tokenizer_json(gguf.tokenizer));
  folder.write("tokenizer_config.json",
               R"({"add_bos_token":true,"bos_token":"<s>","eos_token":"</s>"})");
  const TempFile file(gguf.bytes);
  return {compiled(folder.path()), compiled(file.path())};
}

TEST(ModelFolder, gives_the_tokens_of_the_same_weights_in_gguf) {
  NBL_REQUIRE_VULKAN();
  const Pair pair = same_weights();
  TestEngine folder(pair.folder.span());
  TestEngine gguf(pair.gguf.span());
  const std::vector<uint32_t> prompt = folder.tokenize("the other one, ~ and it's 7!", true);
  EXPECT_EQ(prompt, gguf.tokenize("the other one, ~ and it's 7!", true));
  EXPECT_EQ(prompt[0], 1u);
  folder.evaluate(prompt);
  gguf.evaluate(prompt);
  const std::vector<uint32_t> tokens = folder.generate(40);
  EXPECT_EQ(tokens, gguf.generate(40));
  EXPECT_EQ(folder.detokenize(tokens), gguf.detokenize(tokens));
}

struct Packed {
  const char* name;
  PackedAs as;
  const char* class_name;
  uint32_t group;
  const char* scale_type;
};
void PrintTo(const Packed& one, std::ostream* out) {
  *out << one.name;
}

class PackedFolder : public testing::TestWithParam<Packed> {};

TEST_P(PackedFolder, computes_with_exactly_its_weights) {
  NBL_REQUIRE_VULKAN();
  const Packed& one = GetParam();
  FolderSpec spec = spec_of(one.class_name);
  spec.dim = 128;
  spec.heads = 4;
  spec.head_dim = 32;
  spec.ffn = 256;
  spec.vocab = 211;
  spec.tied = true;
  spec.seed = seed();
  FolderModel model = packed_model(random_folder_model(spec), one.as, one.group, one.scale_type);
  // The embedding on a grid of 32, which quantizing finds again.
  std::vector<float>& table = model.weights.at("model.embed_tokens.weight");
  table = pack(table, spec.dim, 32, "F16").values();
  std::ranges::find(model.tensors, "model.embed_tokens.weight", &StoredTensor::name)->bytes =
      stored("", "F32", {}, table).bytes;
  const TempFolder folder;
  model.write(folder);
  compiler::CompileReport report;
  const AlignedBytes file = compiled(folder.path(), &report);
  EXPECT_GT(report.emitted.quantization.lossless_rows, 0u);
  FolderForward forward(spec, model.weights, DType::f16);
  Random random(1);
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < 70; ++i)
    tokens.push_back(random.below(spec.vocab));
  TestEngine engine(file.span(), {.flags = NBL_FLAG_FLOAT32, .logits = NBL_LOGITS_ALL});
  const std::vector<std::vector<float>> rows = engine.logits_of(tokens, 32);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::vector<double> expected = forward.step(tokens[i]);
    ASSERT_LE(relative_error(rows[i], expected), kTolerance) << "position " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    layouts, PackedFolder,
    testing::Values(Packed{"gptq", PackedAs::gptq, "LlamaForCausalLM", 128, "F16"},
                    Packed{"compressed_tensors", PackedAs::compressed_tensors, "Qwen2ForCausalLM",
                           32, "BF16"},
                    Packed{"torchao", PackedAs::torchao, "Qwen3ForCausalLM", 64, "F32"}),
    [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace nbl::test
