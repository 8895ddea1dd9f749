// Could break: the same weights compute one thing from a model folder and another from a GGUF file,
// where rows, norms and fused matrices are written in other ways.
#include <gtest/gtest.h>

#include <algorithm>

#include "compiler/import/hf/model_tensors.h"
#include "tests/support/folder_logits.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/half_split.h"
#include "tests/support/interpreter.h"
#include "tests/support/model_folder_writer.h"

namespace {

using namespace nbl;
using namespace nbl::compiler;
using namespace nbl::test;

LlamaSpec gguf_spec(const FolderSpec& spec, const std::string& architecture) {
  LlamaSpec gguf{.dim = spec.dim,
                 .layers = spec.layers,
                 .heads = spec.heads,
                 .kv_heads = spec.kv_heads,
                 .head_dim = spec.head_dim,
                 .ffn = spec.ffn,
                 .vocab = spec.vocab,
                 .context = spec.context,
                 .theta = spec.theta,
                 .tied = spec.tied,
                 .tokenizer = false,
                 .architecture = architecture};
  if (spec.gemma) {
    gguf.window = 7;
    gguf.window_period = 2;
    gguf.local_theta = spec.local_theta;
    gguf.attention_scale = spec.attention_scale;
  }
  return gguf;
}

// Those of a fused matrix are under the names of its parts.
std::vector<float> weights_of(const LlamaFile& gguf, const std::string& name, bool fused) {
  const std::string layer = name.substr(0, name.rfind('.') + 1);
  std::vector<std::string> parts = {name};
  if (name.ends_with("attn_qkv")) parts = {layer + "attn_q", layer + "attn_k", layer + "attn_v"};
  if (fused && name.ends_with("ffn_up")) parts = {layer + "ffn_gate", layer + "ffn_up"};
  std::vector<float> values;
  for (const std::string& part : parts)
    values.insert(values.end(), gguf.weights.at(part).begin(), gguf.weights.at(part).end());
  return values;
}

// The folder with the weights of a GGUF file.
FolderModel same_weights(const FolderSpec& spec, const std::string& architecture,
                         const LlamaFile& gguf) {
  FolderModel model = random_folder_model(spec);
  for (StoredTensor& one : model.tensors) {
    const size_t dot = one.name.rfind('.');
    std::string name = *hf::canonical_name(architecture, one.name.substr(0, dot));
    if (one.name.ends_with(".bias")) name += ".bias";
    std::vector<float> values = weights_of(gguf, name, spec.fused);
    const bool turns = name.ends_with("attn_q") || name.ends_with("attn_k");
    if (turns && architecture == "llama") values = half_split(values, spec.head_dim, spec.dim);
    if (spec.gemma && name.ends_with("norm")) {  // GGUF files hold 1 + w
      for (float& value : values)
        value -= 1;
    }
    one = stored_floats(one.name, "F32", one.shape, &values);
  }
  return model;
}

struct Pair {
  const char* class_name;
  const char* architecture;
};
void PrintTo(const Pair& pair, std::ostream* out) {
  *out << pair.class_name;
}

class FolderAndGguf : public testing::TestWithParam<Pair> {};

TEST_P(FolderAndGguf, give_the_same_logits_and_tokens) {
  const Pair& pair = GetParam();
  const FolderSpec spec = spec_of(pair.class_name);
  const LlamaFile gguf = write_gguf_llama(gguf_spec(spec, pair.architecture));
  const TempFolder folder;
  same_weights(spec, pair.architecture, gguf).write(folder);
  const TempFile file(gguf.bytes);
  const AlignedBytes ours = compiled(import_checkpoint(folder.path(), {}), true);
  const AlignedBytes theirs = compiled(import_checkpoint(file.path(), {}), true);
  const std::vector<uint32_t> tokens = random_tokens(spec.vocab, 41);
  const auto a = Interpreter(ours.span()).evaluate(tokens);
  const auto b = Interpreter(theirs.span()).evaluate(tokens);
  for (size_t i = 0; i < tokens.size(); ++i) {
    // Metadata of GGUF files is float32, and so is Gemma's scale of attention there.
    ASSERT_LT(distance(a[i], b[i]), spec.gemma ? 1e-6 : 1e-12) << "position " << i;
    if (spec.gemma) continue;  // two logits may be that near
    EXPECT_EQ(std::ranges::max_element(a[i]) - a[i].begin(),
              std::ranges::max_element(b[i]) - b[i].begin());
  }
}

INSTANTIATE_TEST_SUITE_P(architectures, FolderAndGguf,
                         testing::Values(Pair{"LlamaForCausalLM", "llama"},
                                         Pair{"Qwen2ForCausalLM", "qwen2"},
                                         Pair{"Qwen3ForCausalLM", "qwen3"},
                                         Pair{"Gemma3ForCausalLM", "gemma3"},
                                         Pair{"Phi3ForCausalLM", "phi3"}),
                         [](const auto& pair) { return std::string(pair.param.architecture); });

}  // namespace
