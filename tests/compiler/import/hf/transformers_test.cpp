// Could break: a folder computes something else than transformers does with it. The weights and the
// float64 logits are those of models that transformers built (tests/fixtures/pt2); the test writes
// the weights as the folder that torchao saves.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "compiler/import/checkpoint.h"
#include "compiler/import/pt2/archive.h"
#include "tests/support/compiled.h"
#include "tests/support/interpreter.h"
#include "tests/support/pt2_fixture.h"
#include "tests/support/safetensors_writer.h"
#include "tests/support/temp_folder.h"

namespace {

using namespace nbl;
using namespace nbl::compiler;
using namespace nbl::test;

struct Case {
  const char* name;
  const char* config;  // what the class has beside the common numbers
};
void PrintTo(const Case& one, std::ostream* out) {
  *out << one.name;
}

constexpr const char* kCommon =
    R"("hidden_size":32,"intermediate_size":64,"num_attention_heads":4,"num_key_value_heads":2,)"
    R"("head_dim":8,"vocab_size":64,"max_position_embeddings":80,"rms_norm_eps":1e-6,)"
    R"("bos_token_id":1,"eos_token_id":2,"quantization_config":{"quant_method":"torchao"},)";

// "model.model.norm.weight" -> "model.norm.weight", "x.q_proj.weight.scale" ->
// "x.q_proj._weight_scale"; empty for what is no weight.
std::string folder_name(std::string name) {
  name = name.substr(std::string("model.").size());
  if (name.ends_with("norm.weight")) return name;
  // The exporting script's, around Gemma's scaled embedding.
  const size_t inner = name.find(".inner");
  if (inner != std::string::npos) name.erase(inner, std::string(".inner").size());
  const size_t last = name.rfind(".weight.");
  if (last == std::string::npos) return "";
  return name.substr(0, last) + "._weight_" + name.substr(last + std::string(".weight.").size());
}

void write_folder(const Case& one, const TempFolder& folder) {
  const pt2::ExportedProgram program = pt2::read_exported_program(pt2_path(one.name));
  std::vector<StoredTensor> tensors;
  for (const auto& [target, constant] : program.constants) {
    const std::string name = folder_name(target);
    if (name.empty()) continue;
    const bool is_real = name.ends_with("scale") || name.ends_with("norm.weight");
    tensors.push_back(
        {name,
         is_real ? "F32" : "I8",
         {constant.shape.begin(), constant.shape.end()},
         std::string(reinterpret_cast<const char*>(constant.bytes.data()), constant.bytes.size())});
  }
  folder.write("config.json", "{" + std::string(kCommon) + one.config + "}");
  folder.write("model.safetensors", safetensors_file(tensors));
}

class Transformers : public testing::TestWithParam<Case> {};

TEST_P(Transformers, agrees_with_its_logits_and_tokens) {
  const Case& one = GetParam();
  const TempFolder folder;
  write_folder(one, folder);
  const AlignedBytes file =
      build_model(import_checkpoint(folder.path(), {}), {.context = 80, .cache = DType::f32});
  const nlohmann::json facts = pt2_facts(one.name);
  const std::vector<double> expected = pt2_logits(one.name);
  const auto vocab = facts["vocab"].get<size_t>();
  std::vector<uint32_t> tokens = facts["prompt"];
  const size_t prompt = tokens.size();
  for (const uint32_t token : facts["greedy"])
    tokens.push_back(token);
  Interpreter model(file.span());
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    const std::vector<double> row = model.step(tokens[i]);
    if (i + 1 >= prompt) {
      const auto best = std::ranges::max_element(row) - row.begin();
      ASSERT_EQ(best, static_cast<long>(tokens[i + 1])) << "position " << i;
    }
    if (i >= facts["rows"].get<size_t>()) continue;
    double error = 0, size = 0;
    for (size_t k = 0; k < vocab; ++k) {
      const double want = expected[i * vocab + k];
      error += (row[k] - want) * (row[k] - want);
      size += want * want;
    }
    // Frequencies and norms are float32 there or here.
    ASSERT_LT(std::sqrt(error / size), 5e-6) << "position " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    models, Transformers,
    testing::Values(
        Case{"hf_llama", R"("architectures":["LlamaForCausalLM"],"num_hidden_layers":2,)"
                         R"("rope_parameters":{"rope_type":"default","rope_theta":10000.0},)"
                         R"("tie_word_embeddings":false)"},
        Case{"hf_qwen3", R"("architectures":["Qwen3ForCausalLM"],"num_hidden_layers":2,)"
                         R"("rope_theta":10000.0,"tie_word_embeddings":true)"},
        Case{"hf_gemma3", R"("architectures":["Gemma3ForCausalLM"],"num_hidden_layers":3,)"
                          R"("sliding_window":16,"_sliding_window_pattern":3,)"
                          R"("query_pre_attn_scalar":8,"tie_word_embeddings":true)"}),
    [](const auto& one) { return std::string(one.param.name); });

}  // namespace
