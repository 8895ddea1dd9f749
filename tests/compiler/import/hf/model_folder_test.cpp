// Could break: a tensor lands in another's place, rows are turned by the wrong convention, or an
// architecture is put together in another way than transformers has it. The reference is a forward
// pass in float64 that knows the folder's names only.
#include "compiler/import/hf/model_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "compiler/eval/reference.h"
#include "compiler/import/hf/model_tensors.h"
#include "tests/support/folder_logits.h"
#include "tests/support/import_errors.h"
#include "tests/support/interpreter.h"
#include "tests/support/model_folder_writer.h"
#include "tests/support/random.h"

namespace {

using namespace nbl;
using namespace nbl::compiler;
using namespace nbl::test;

// The rows of a weight of the folder, from the compiled file, where matrices that come apart at
// import have the names of their parts.
std::vector<float> rows_of(const Interpreter& file, const FolderSpec& spec,
                           const FolderShape& shape) {
  const std::string module = shape.name.substr(0, shape.name.rfind('.'));
  const std::string name = *hf::canonical_name(spec.gemma ? "gemma3" : "llama", module);
  const std::string layer = name.substr(0, name.rfind('.') + 1);
  const uint64_t q = uint64_t{spec.heads} * spec.head_dim;
  const uint64_t kv = uint64_t{spec.kv_heads} * spec.head_dim;
  std::vector<std::pair<std::string, uint64_t>> parts = {{name, shape.rows}};
  if (name.ends_with("attn_qkv")) {
    parts = {{layer + "attn_q", q}, {layer + "attn_k", kv}, {layer + "attn_v", kv}};
  } else if (spec.fused && name.ends_with("ffn_up")) {
    parts = {{layer + "ffn_gate", spec.ffn}, {layer + "ffn_up", spec.ffn}};
  }
  std::vector<float> values;
  for (const auto& [part, rows] : parts) {
    for (uint32_t n = 0; n < rows; ++n) {
      for (uint32_t k = 0; k < shape.columns; ++k)
        values.push_back(static_cast<float>(file.weight(part + ".weight", n, k)));
    }
  }
  return values;
}

// Matrices as the compiler rounded them, vectors as they were.
FolderWeights rounded_weights(const Interpreter& file, const FolderModel& model) {
  FolderWeights weights = model.weights;
  for (const FolderShape& shape : folder_shapes(model.spec)) {
    if (shape.rows > 1) weights[shape.name] = rows_of(file, model.spec, shape);
  }
  return weights;
}

class ModelFolder : public testing::TestWithParam<const char*> {};

TEST_P(ModelFolder, puts_every_tensor_in_its_place) {
  FolderSpec spec = spec_of(GetParam());
  spec.type = "BF16";
  const FolderModel model = random_folder_model(spec);
  const TempFolder folder;
  model.write(folder);
  const Checkpoint checkpoint = import_checkpoint(folder.path(), {});
  EXPECT_EQ(checkpoint.hyper.name, folder.path().filename());
  const AlignedBytes bytes = compiled(checkpoint, false);
  const FolderWeights weights = rounded_weights(Interpreter(bytes.span()), model);
  for (const auto& [name, values] : model.weights) {
    const std::vector<float>& rounded = weights.at(name);
    const std::vector<double> exact(values.begin(), values.end());
    EXPECT_LT(distance({rounded.begin(), rounded.end()}, exact), 0.14) << name;
  }
}

TEST_P(ModelFolder, computes_what_transformers_computes) {
  FolderSpec spec = spec_of(GetParam());
  spec.seed = seed();
  const FolderModel model = random_folder_model(spec);
  const TempFolder folder;
  model.write(folder);
  const Checkpoint checkpoint = import_checkpoint(folder.path(), {});
  const AlignedBytes plain = compiled(checkpoint, false);
  const AlignedBytes fused = compiled(checkpoint, true);
  FolderForward forward(spec, rounded_weights(Interpreter(plain.span()), model));
  const std::vector<uint32_t> tokens = random_tokens(spec.vocab, 41);
  const auto rows = Interpreter(fused.span()).evaluate(tokens);
  for (size_t i = 0; i < tokens.size(); ++i) {
    // The file's vectors and tables are float32.
    ASSERT_LT(distance(rows[i], forward.step(tokens[i])), 1e-5) << "position " << i;
  }
}

// What perplexity is measured with, without 4-bit weights.
TEST_P(ModelFolder, is_measured_by_the_same_network) {
  FolderSpec spec = spec_of(GetParam());
  spec.seed = seed();
  const FolderModel model = random_folder_model(spec);
  const TempFolder folder;
  model.write(folder);
  const Checkpoint checkpoint = import_checkpoint(folder.path(), {});
  const std::vector<uint32_t> tokens = random_tokens(spec.vocab, 41);
  const std::vector<float> rows = Reference(checkpoint, 0).logits(tokens);
  FolderForward forward(spec, model.weights);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto begin = rows.begin() + static_cast<ptrdiff_t>(i * spec.vocab);
    ASSERT_LT(distance({begin, begin + spec.vocab}, forward.step(tokens[i])), 1e-5) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(classes, ModelFolder,
                         testing::Values("LlamaForCausalLM", "MistralForCausalLM",
                                         "Qwen2ForCausalLM", "Qwen3ForCausalLM",
                                         "Gemma3ForCausalLM", "Phi3ForCausalLM"),
                         [](const auto& name) { return std::string(name.param); });

// Frequencies that config.json stretches; a context beyond that of the first training takes the
// long factors of LongRoPE.
TEST(ModelFolder, turns_by_stretched_frequencies) {
  FolderSpec llama3 = spec_of("LlamaForCausalLM");
  FolderSpec longrope = spec_of("Phi3ForCausalLM");
  std::string factors;
  for (int i = 0; i < 10; ++i) {
    const double plain = std::pow(10000, -i / 10.0);
    const double turns = 64 * plain / (2 * M_PI);
    const double ramp = std::clamp((turns - 1) / 3, 0.0, 1.0);
    llama3.inv_freq.push_back(plain * ((1 - ramp) / 8 + ramp));
    longrope.inv_freq.push_back(plain / (1 + i));
    factors += (i == 0 ? "" : ",") + std::to_string(1 + i);
  }
  longrope.magnitude = std::sqrt(1 + std::log(96.0 / 32) / std::log(32.0));
  const std::string scaling[] = {
      R"({"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,)"
      R"("original_max_position_embeddings":64})",
      R"({"type":"longrope","short_factor":[1,1,1,1,1,1,1,1,1,1],"long_factor":[)" + factors +
          "]}"};
  for (const FolderSpec& spec : {llama3, longrope}) {
    FolderModel model = random_folder_model(spec);
    model.config["rope_scaling"] = scaling[spec.fused ? 1 : 0];
    model.config["original_max_position_embeddings"] = "32";
    const TempFolder folder;
    model.write(folder);
    const Checkpoint checkpoint = import_checkpoint(folder.path(), {});
    const AlignedBytes plain = compiled(checkpoint, false);
    FolderForward forward(spec, rounded_weights(Interpreter(plain.span()), model));
    Interpreter interpreter(plain.span());
    const std::vector<uint32_t> tokens = random_tokens(spec.vocab, 41);
    FolderForward stored(spec, model.weights);
    const std::vector<float> rows = Reference(checkpoint, 0).logits(tokens);
    for (size_t i = 0; i < tokens.size(); ++i) {
      ASSERT_LT(distance(interpreter.step(tokens[i]), forward.step(tokens[i])), 1e-5) << i;
      const auto begin = rows.begin() + static_cast<ptrdiff_t>(i * spec.vocab);
      ASSERT_LT(distance({begin, begin + spec.vocab}, stored.step(tokens[i])), 1e-5) << i;
    }
  }
}

std::string error_of(const FolderModel& model) {
  const TempFolder folder;
  model.write(folder);
  return import_error(folder.path());
}

void expect_refused(const FolderModel& model, const std::vector<std::string>& parts) {
  const std::string error = error_of(model);
  ASSERT_NE(error, "") << "was imported; expected " << parts[0];
  for (const std::string& part : parts)
    EXPECT_NE(error.find(part), std::string::npos) << error << "\n  lacks: " << part;
}

FolderModel small_model() {
  return random_folder_model(spec_of("LlamaForCausalLM"));
}

StoredTensor& tensor(FolderModel& model, const std::string& name) {
  return *std::ranges::find(model.tensors, name, &StoredTensor::name);
}

TEST(ModelFolder, ignores_what_is_no_weight) {
  FolderModel model = small_model();
  const std::string plain = error_of(model);
  EXPECT_EQ(plain, "");
  model.tensors.push_back(
      stored("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {10}, std::vector<float>(10)));
  model.tensors.push_back(
      stored("vision_tower.layers.0.weight", "F64", {3, 1, 1}, std::vector<double>(3)));
  EXPECT_EQ(error_of(model), "");
}

TEST(ModelFolder, knows_the_names_of_models_that_see_pictures) {
  for (const char* prefix : {"language_model.model.", "model.language_model."}) {
    FolderSpec spec = spec_of("Gemma3ForCausalLM");
    FolderModel model = random_folder_model(spec);
    model.config["text_config"] = model.config_text();
    for (StoredTensor& one : model.tensors)
      one.name = prefix + one.name.substr(std::string("model.").size());
    model.config["architectures"] = R"(["Gemma3ForConditionalGeneration"])";
    EXPECT_EQ(error_of(model), "");
  }
}

TEST(ModelFolder, takes_a_tied_head_from_the_embedding) {
  FolderModel model = small_model();
  model.config["tie_word_embeddings"] = "true";
  const TempFolder folder;
  model.write(folder);
  EXPECT_FALSE(import_checkpoint(folder.path(), {}).tensors.contains("output"));
}

TEST(ModelFolder, refuses_tensors_that_do_not_fit) {
  FolderModel model = small_model();
  tensor(model, "lm_head.weight").name = "model.layers.7.mlp.up_proj.weight";
  expect_refused(model, {"lm_head.weight is missing", "tie_word_embeddings"});

  model = small_model();
  tensor(model, "model.layers.1.mlp.up_proj.weight").name = "model.layers.1.mlp.up.weight";
  expect_refused(model, {"model.layers.1.mlp.up.weight", "no place", "llama"});

  model = small_model();
  model.tensors.erase(
      std::ranges::find(model.tensors, "model.layers.1.mlp.up_proj.weight", &StoredTensor::name));
  expect_refused(model, {"model.layers.1.mlp.up_proj.weight is missing"});

  model = small_model();
  model.config["intermediate_size"] = "128";
  expect_refused(model, {"model.layers.0.mlp.gate_proj.weight", "[132, 92]", "[128, 92]"});

  model = small_model();
  tensor(model, "model.layers.0.mlp.up_proj.weight").shape = {66, 2, 92};
  expect_refused(model, {"model.layers.0.mlp.up_proj.weight", "[66, 2, 92]", "1 or 2"});

  model = small_model();
  tensor(model, "model.layers.0.mlp.up_proj.weight").type = "I32";
  expect_refused(model, {"model.layers.0.mlp.up_proj.weight", "I32", "BF16"});

  model = small_model();
  model.tensors.push_back(
      stored("model.layers.0.self_attn.q_proj.bias", "F32", {120}, std::vector<float>(120, 0.5f)));
  expect_refused(model, {"model.layers.0.self_attn.q_proj.bias", "no place"});
  // Some quantizers write one that does nothing.
  model.tensors.back() =
      stored("model.layers.0.self_attn.q_proj.bias", "F32", {120}, std::vector<float>(120));
  EXPECT_EQ(error_of(model), "");
}

TEST(ModelFolder, goes_without_a_vocabulary_that_it_does_not_know) {
  const TempFolder folder;
  small_model().write(folder);
  EXPECT_TRUE(import_checkpoint(folder.path(), {}).warnings.empty());
  folder.write("tokenizer.json", R"({"model":{"type":"WordPiece","vocab":{"a":0}}})");
  const Checkpoint checkpoint = import_checkpoint(folder.path(), {});
  EXPECT_FALSE(checkpoint.tokenizer);
  ASSERT_EQ(checkpoint.warnings.size(), 1u);
  EXPECT_NE(checkpoint.warnings[0].find("WordPiece"), std::string::npos);
  EXPECT_NE(checkpoint.warnings[0].find("token ids only"), std::string::npos);
  EXPECT_NE(import_error(folder.path() / "tokenizer.json"), "");
  folder.write("tokenizer.json", "{");
  EXPECT_NE(import_error(folder.path()).find("tokenizer.json: is not JSON"), std::string::npos);
}

TEST(ModelFolder, is_named_by_the_last_part_of_its_path) {
  EXPECT_EQ(hf::folder_name("/models/Qwen3-0.6B"), "Qwen3-0.6B");
  EXPECT_EQ(hf::folder_name("models/Qwen3-0.6B/"), "Qwen3-0.6B");
  EXPECT_EQ(hf::folder_name("."), std::filesystem::current_path().filename());
}

TEST(ModelFolder, is_refused_where_a_file_is_given) {
  const FolderModel model = small_model();
  const TempFolder folder;
  model.write(folder);
  EXPECT_NE(import_error(folder.path() / "model.safetensors").find("whose folder is the input"),
            std::string::npos);
}

}  // namespace
