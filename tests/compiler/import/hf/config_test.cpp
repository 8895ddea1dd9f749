// Could break: a number of config.json is read as another, an old or new spelling is overlooked, or
// a network that nibble does not compute is taken for one that it does.
#include "compiler/import/hf/config.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/model_folder_writer.h"
#include "tests/support/peak_memory.h"
#include "tests/support/temp_folder.h"

namespace {

using namespace nbl::compiler;
using namespace nbl::compiler::hf;
using namespace nbl::test;

ModelConfig read(const FolderModel& model, const std::string& generation = "") {
  const TempFolder folder;
  folder.write("config.json", model.config_text());
  if (!generation.empty()) folder.write("generation_config.json", generation);
  return read_config(folder.path());
}

std::string error_of(const FolderModel& model, const std::string& generation = "") {
  try {
    read(model, generation);
  } catch (const ImportError& error) {
    return error.what();
  }
  return "";
}

void expect_refused(const FolderModel& model, const std::vector<std::string>& parts) {
  const std::string error = error_of(model);
  ASSERT_NE(error, "") << "was read; expected " << parts[0];
  EXPECT_NE(error.find("config.json"), std::string::npos) << error;
  for (const std::string& part : parts)
    EXPECT_NE(error.find(part), std::string::npos) << error << "\n  lacks: " << part;
}

FolderModel model_of(const std::string& class_name) {
  FolderSpec spec = spec_of(class_name);
  spec.layers = 2;
  if (spec.gemma) spec.windows = {7, 0};
  FolderModel model;
  model.spec = spec;
  model.config = random_folder_model(spec).config;
  return model;
}

TEST(FolderConfig, reads_every_number) {
  FolderModel model = model_of("LlamaForCausalLM");
  model.config["rope_theta"] = "500000.0";
  model.config["bos_token_id"] = "1";
  const ModelConfig config = read(model);
  const Hyper& hyper = config.hyper;
  EXPECT_EQ(hyper.architecture, "llama");
  EXPECT_EQ(hyper.dim, 92u);
  EXPECT_EQ(hyper.layers, 2u);
  EXPECT_EQ(hyper.heads, 6u);
  EXPECT_EQ(hyper.kv_heads, 2u);
  EXPECT_EQ(hyper.head_dim, 20u);
  EXPECT_EQ(hyper.ffn, 132u);
  EXPECT_EQ(hyper.vocab, 307u);
  EXPECT_EQ(hyper.context, 96u);
  EXPECT_EQ(hyper.eps, 1e-5f);
  EXPECT_TRUE(hyper.rope_half);
  EXPECT_EQ(hyper.rotary_dim, 20u);
  EXPECT_NEAR(hyper.rope_inv_freq[9], std::pow(500000.0, -0.9), 1e-12);
  EXPECT_TRUE(hyper.windows.empty());
  EXPECT_FALSE(config.tied);
  EXPECT_EQ(config.bos, 1);
  EXPECT_EQ(config.eos, std::vector<uint32_t>{2});
  EXPECT_EQ(config.quantization(), nullptr);
}

TEST(FolderConfig, assumes_what_the_classes_assume) {
  FolderModel model = model_of("LlamaForCausalLM");
  for (const char* key : {"num_key_value_heads", "head_dim", "rope_theta", "tie_word_embeddings",
                          "rms_norm_eps", "eos_token_id"})
    model.config.erase(key);
  model.config["hidden_size"] = "96";
  const ModelConfig config = read(model);
  EXPECT_EQ(config.hyper.kv_heads, 6u);
  EXPECT_EQ(config.hyper.head_dim, 16u);
  EXPECT_EQ(config.hyper.rope_theta, 10000);
  EXPECT_EQ(config.hyper.eps, 1e-6f);
  EXPECT_FALSE(config.tied);
  EXPECT_TRUE(config.eos.empty());
  model = model_of("Gemma3ForCausalLM");
  model.config = {{"architectures", R"(["Gemma3ForConditionalGeneration"])"},
                  {"text_config", R"({"hidden_size":2560,"intermediate_size":10240,)"
                                  R"("num_hidden_layers":34,"sliding_window":1024,)"
                                  R"("rope_scaling":{"factor":8.0,"rope_type":"linear"}})"}};
  const ModelConfig gemma = read(model);
  EXPECT_EQ(gemma.hyper.vocab, 262208u);
  EXPECT_EQ(gemma.hyper.heads, 8u);
  EXPECT_EQ(gemma.hyper.kv_heads, 4u);
  EXPECT_EQ(gemma.hyper.head_dim, 256u);
  EXPECT_EQ(gemma.hyper.context, 131072u);
  EXPECT_EQ(gemma.hyper.windows[4], 1024u);
  EXPECT_EQ(gemma.hyper.windows[5], 0u);
  EXPECT_EQ(gemma.hyper.rope_inv_freq[0], 0.125);
  EXPECT_EQ(gemma.hyper.local_rope_inv_freq[0], 1);
  EXPECT_NEAR(gemma.hyper.local_rope_inv_freq[64], 0.01, 1e-12);
  EXPECT_EQ(gemma.hyper.attention_scale, 1 / 16.0f);
  EXPECT_EQ(gemma.hyper.norm_offset, 1);
  EXPECT_NEAR(gemma.hyper.embedding_scale, std::sqrt(2560.0f), 1e-5f);
  EXPECT_TRUE(gemma.tied);
}

TEST(FolderConfig, reads_windows_in_every_spelling) {
  using Windows = std::vector<uint32_t>;
  FolderModel mistral = model_of("MistralForCausalLM");
  mistral.config["sliding_window"] = "null";
  EXPECT_EQ(read(mistral).hyper.windows, Windows());
  mistral.config["sliding_window"] = "40";
  EXPECT_EQ(read(mistral).hyper.windows, (Windows{40, 40}));
  mistral.config["sliding_window"] = "96";  // the context
  EXPECT_EQ(read(mistral).hyper.windows, Windows());
  FolderModel qwen = model_of("Qwen2ForCausalLM");
  qwen.config["sliding_window"] = "40";
  qwen.config["max_window_layers"] = "1";
  EXPECT_EQ(read(qwen).hyper.windows, Windows());
  qwen.config["use_sliding_window"] = "true";
  EXPECT_EQ(read(qwen).hyper.windows, (Windows{0, 40}));
  qwen.config["layer_types"] = R"(["sliding_attention","full_attention"])";
  EXPECT_EQ(read(qwen).hyper.windows, (Windows{40, 0}));
  qwen.config["layer_types"] = R"(["sliding_attention"])";
  expect_refused(qwen, {"1 layers", "2 layers"});
  qwen.config["layer_types"] = R"(["linear_attention","full_attention"])";
  expect_refused(qwen, {"layer_types[0]", "linear_attention"});
  qwen.config["layer_types"] = R"(["sliding_attention","full_attention"])";
  qwen.config["sliding_window"] = "null";
  expect_refused(qwen, {"layer_types[0]", "sliding_window"});
  FolderModel gemma = model_of("Gemma3ForCausalLM");
  EXPECT_EQ(read(gemma).hyper.windows, (Windows{7, 0}));
  gemma.config.erase("layer_types");
  gemma.config["sliding_window_pattern"] = "2";
  gemma.config["sliding_window"] = "4096";  // kept: these layers turn by another base
  EXPECT_EQ(read(gemma).hyper.windows, (Windows{4096, 0}));
}

TEST(FolderConfig, scales_frequencies_in_both_spellings) {
  FolderModel model = model_of("LlamaForCausalLM");
  const std::vector<double> plain = read(model).hyper.rope_inv_freq;
  model.config["rope_scaling"] = R"({"type":"linear","factor":4.0})";
  EXPECT_EQ(read(model).hyper.rope_inv_freq[3], plain[3] / 4);
  model.config["rope_scaling"] = R"({"rope_type":"default"})";
  EXPECT_EQ(read(model).hyper.rope_inv_freq, plain);
  const std::string llama3 = R"("rope_type":"llama3","factor":32.0,"low_freq_factor":1.0,)"
                             R"("high_freq_factor":4.0,"original_max_position_embeddings":64)";
  model.config["rope_scaling"] = "{" + llama3 + "}";
  const std::vector<double> old_way = read(model).hyper.rope_inv_freq;
  EXPECT_EQ(read(model).hyper.rope_scaling, "llama3, factor 32");
  // 64 positions: the first turns 10 times, the second 4.05 times, the third 1.6, the last never.
  EXPECT_EQ(old_way[0], plain[0]);
  EXPECT_EQ(old_way[1], plain[1]);
  const double ramp = (64 * plain[2] / (2 * M_PI) - 1) / 3;
  EXPECT_NEAR(old_way[2], plain[2] * ((1 - ramp) / 32 + ramp), 1e-12);
  EXPECT_NEAR(old_way[9], plain[9] / 32, 1e-15);
  model.config.erase("rope_scaling");
  model.config.erase("rope_theta");
  model.config["rope_parameters"] = "{\"rope_theta\":10000.0," + llama3 + "}";
  EXPECT_EQ(read(model).hyper.rope_inv_freq, old_way);
  FolderModel gemma = model_of("Gemma3ForCausalLM");
  const Hyper before = read(gemma).hyper;
  gemma.config.erase("rope_theta");
  gemma.config.erase("rope_local_base_freq");
  gemma.config["rope_parameters"] =
      R"({"full_attention":{"rope_type":"default","rope_theta":1000000.0},)"
      R"("sliding_attention":{"rope_type":"default","rope_theta":10000.0}})";
  EXPECT_EQ(read(gemma).hyper.rope_inv_freq, before.rope_inv_freq);
  EXPECT_EQ(read(gemma).hyper.local_rope_inv_freq, before.local_rope_inv_freq);
}

TEST(FolderConfig, reads_longrope_and_partial_rotation) {
  FolderModel model = model_of("Phi3ForCausalLM");
  model.config["partial_rotary_factor"] = "0.4";
  model.config["original_max_position_embeddings"] = "32";
  model.config["rope_scaling"] =
      R"({"type":"longrope","short_factor":[1,1,1.5,2],"long_factor":[1,2,4,8]})";
  const Hyper hyper = read(model).hyper;
  EXPECT_EQ(hyper.rotary_dim, 8u);
  EXPECT_EQ(hyper.rope_short_context, 32u);
  EXPECT_NEAR(hyper.rope_inv_freq[3], std::pow(10000, -0.75) / 2, 1e-12);
  EXPECT_NEAR(hyper.rope_long_inv_freq[3], std::pow(10000, -0.75) / 8, 1e-12);
  EXPECT_NEAR(hyper.rope_magnitude, std::sqrt(1 + std::log(3.0) / std::log(32.0)), 1e-6);
  model.config["rope_scaling"] =
      R"({"type":"longrope","short_factor":[1,1,1.5],"long_factor":[1,2,4,8]})";
  expect_refused(model, {"short_factor", "3 elements", "4"});
  model.config["rope_scaling"] =
      R"({"type":"longrope","short_factor":[1,1,1.5,0],"long_factor":[1,2,4,8]})";
  expect_refused(model, {"short_factor", "element 3", "positive"});
  model.config.erase("original_max_position_embeddings");
  expect_refused(model, {"original_max_position_embeddings"});
}

TEST(FolderConfig, takes_the_ids_that_generation_has) {
  FolderModel model = model_of("LlamaForCausalLM");
  const ModelConfig config = read(model, R"({"bos_token_id":5,"eos_token_id":[7,9]})");
  EXPECT_EQ(config.bos, 5);
  EXPECT_EQ(config.eos, (std::vector<uint32_t>{7, 9}));
  EXPECT_EQ(read(model, R"({"eos_token_id":null})").eos, std::vector<uint32_t>{2});
  EXPECT_NE(error_of(model, R"({"eos_token_id":307})").find("0..306"), std::string::npos);
  EXPECT_NE(error_of(model, R"({"eos_token_id":"x"})").find("not an integer"), std::string::npos);
}

TEST(FolderConfig, refuses_what_it_does_not_know) {
  const struct {
    const char* key;
    const char* value;
    std::vector<std::string> parts;
  } cases[] = {
      {"architectures", R"(["MambaForCausalLM"])", {"MambaForCausalLM", "Phi3ForCausalLM"}},
      {"architectures", "[]", {"architectures", "empty"}},
      {"hidden_act", R"("relu")", {"hidden_act", "relu", "silu"}},
      {"attention_bias", "true", {"attention_bias"}},
      {"mlp_bias", "true", {"mlp_bias"}},
      {"use_bidirectional_attention", "true", {"use_bidirectional_attention"}},
      {"num_local_experts", "8", {"num_local_experts"}},
      {"hidden_size", "0", {"config.hidden_size is 0", "1.."}},
      {"hidden_size", "4294967296", {"hidden_size", "4294967296"}},
      {"hidden_size", "\"92\"", {"hidden_size", "not an integer"}},
      {"num_hidden_layers", "100000", {"num_hidden_layers", "1024"}},
      {"num_key_value_heads", "4", {"6 heads", "4 key/value heads"}},
      {"num_attention_heads", "0", {"num_attention_heads"}},
      {"head_dim", "70000", {"head_dim", "65536"}},
      {"rms_norm_eps", "0", {"epsilon", "positive"}},
      {"rope_theta", "-1", {"rope_theta -1", "positive"}},
      {"partial_rotary_factor", "1.5", {"partial_rotary_factor 1.5"}},
      {"rope_scaling", R"({"type":"yarn","factor":4})", {"yarn", "longrope"}},
      {"rope_scaling", R"({"type":"linear","factor":0})", {"factor 0", "positive"}},
      {"rope_scaling", R"({"type":"linear"})", {"rope_scaling", "\"factor\""}},
      {"tie_word_embeddings", "1", {"tie_word_embeddings", "not true or false"}},
  };
  for (const auto& wrong : cases) {
    FolderModel model = model_of("LlamaForCausalLM");
    model.config[wrong.key] = wrong.value;
    expect_refused(model, wrong.parts);
  }
  FolderModel model = model_of("LlamaForCausalLM");
  model.config.erase("vocab_size");
  expect_refused(model, {"\"vocab_size\""});
  const TempFolder empty;
  EXPECT_THROW(read_config(empty.path()), ImportError);
}

TEST(FolderConfig, refuses_enormous_heads_before_it_makes_room_for_their_frequencies) {
  FolderModel model = model_of("LlamaForCausalLM");
  model.config.erase("head_dim");
  model.config["hidden_size"] = "268435456";
  model.config["num_attention_heads"] = model.config["num_key_value_heads"] = "1";
  const uint64_t before = peak_memory_bytes();
  expect_refused(model, {"heads of 268435456 elements", "65536"});
  EXPECT_LT(peak_memory_bytes() - before, 256u << 20);
}

}  // namespace
