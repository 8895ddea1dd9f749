// Could break: a packed weight is read in another order than it was written, or is taken over
// although its grid is not nibble's. The reference is a forward pass in float64 over exactly the
// values that the file holds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "compiler/compile.h"
#include "compiler/import/hf/quantization.h"
#include "tests/support/import_errors.h"
#include "tests/support/interpreter.h"
#include "tests/support/packed_folder.h"
#include "tests/support/random.h"

namespace {

using namespace nbl;
using namespace nbl::compiler;
using namespace nbl::test;

struct Case {
  const char* name;
  PackedAs as;
  const char* class_name;
  uint32_t group;
  const char* scale_type;
};
void PrintTo(const Case& one, std::ostream* out) {
  *out << one.name;
}

class PackedFolder : public testing::TestWithParam<Case> {};

// Columns of a multiple of the group, as quantizers ask for; rows that are none of 8.
FolderSpec spec_for(const Case& one) {
  FolderSpec spec = spec_of(one.class_name);
  spec.dim = 128;
  spec.heads = 4;
  spec.kv_heads = 2;
  spec.head_dim = 32;
  spec.ffn = 256;
  spec.vocab = 131;
  spec.tied = true;
  spec.seed = seed();
  return spec;
}

TEST_P(PackedFolder, gives_the_logits_of_exactly_its_weights) {
  const Case& one = GetParam();
  FolderModel model =
      packed_model(random_folder_model(spec_for(one)), one.as, one.group, one.scale_type);
  // What is not packed would be rounded: on the grid, it is not.
  std::vector<float>& table = model.weights.at("model.embed_tokens.weight");
  const PackedMatrix exact = pack(table, model.spec.dim, 32, "F16");
  table = exact.values();
  std::ranges::find(model.tensors, "model.embed_tokens.weight", &StoredTensor::name)->bytes =
      stored("", "F32", {}, table).bytes;
  const TempFolder folder;
  model.write(folder);
  const TempFile file("", ".nbl");
  const CompileReport report =
      compile({.input = folder.path(), .output = file.path(), .cache = DType::f32});
  const FolderSpec& spec = model.spec;
  const uint32_t rows =
      (spec.heads + 2 * spec.kv_heads) * spec.head_dim + 2 * spec.dim + 2 * spec.ffn;
  EXPECT_EQ(report.emitted.quantization.lossless_rows, uint64_t{spec.layers} * rows);

  std::vector<std::byte> bytes(std::filesystem::file_size(file.path()));
  std::ifstream(file.path(), std::ios::binary)
      .read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  Interpreter interpreter(bytes);
  FolderForward forward(spec, model.weights);
  for (uint32_t i = 0; i < 20; ++i) {
    const uint32_t token = i * 37 % spec.vocab;
    const std::vector<double> a = interpreter.step(token);
    const std::vector<double> b = forward.step(token);
    double error = 0, size = 0;
    for (size_t k = 0; k < b.size(); ++k) {
      error += (a[k] - b[k]) * (a[k] - b[k]);
      size += b[k] * b[k];
    }
    // The embedding may be rounded; norms and tables are float32.
    ASSERT_LT(std::sqrt(error / size), 1e-4) << "position " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    layouts, PackedFolder,
    testing::Values(
        Case{"gptq_128", PackedAs::gptq, "LlamaForCausalLM", 128, "F16"},
        Case{"gptq_32_bias", PackedAs::gptq, "Qwen2ForCausalLM", 32, "F16"},
        Case{"gptq_v2_64", PackedAs::gptq_v2, "Qwen3ForCausalLM", 64, "F16"},
        Case{"gptq_64_fused", PackedAs::gptq, "Phi3ForCausalLM", 64, "F16"},
        Case{"compressed_32", PackedAs::compressed_tensors, "LlamaForCausalLM", 32, "F16"},
        Case{"compressed_128_bf16", PackedAs::compressed_tensors, "Gemma3ForCausalLM", 128, "BF16"},
        Case{"torchao_32", PackedAs::torchao, "LlamaForCausalLM", 32, "F32"},
        Case{"torchao_64_bf16", PackedAs::torchao, "Qwen3ForCausalLM", 64, "BF16"}),
    [](const auto& one) { return std::string(one.param.name); });

using Change = std::function<void(FolderModel*)>;

StoredTensor& tensor(FolderModel* model, const std::string& last) {
  return *std::ranges::find_if(model->tensors, [&](const StoredTensor& one) {
    return one.name == "model.layers.1.mlp.up_proj." + last;
  });
}

void expect_refused(PackedAs as, const Change& change, const std::vector<std::string>& parts) {
  const Case one{"", as, "LlamaForCausalLM", 32, "F16"};
  FolderModel model = packed_model(random_folder_model(spec_for(one)), as, 32, "F16");
  change(&model);
  const TempFolder folder;
  model.write(folder);
  const std::string error = import_error(folder.path());
  ASSERT_NE(error, "") << "was imported; expected " << parts[0];
  for (const std::string& part : parts)
    EXPECT_NE(error.find(part), std::string::npos) << error << "\n  lacks: " << part;
}

Change quantization(const std::string& text) {
  return [text](FolderModel* model) { model->config["quantization_config"] = text; };
}

Change replaced(PackedAs as, const std::string& from, const std::string& to) {
  std::string text = quantization_config(as, 32);
  text.replace(text.find(from), from.size(), to);
  return quantization(text);
}

template <typename T>
Change element(const std::string& name, size_t index, T value) {
  return [=](FolderModel* model) {
    std::string& bytes = tensor(model, name).bytes;
    bytes.replace(index * sizeof value, sizeof value, reinterpret_cast<const char*>(&value),
                  sizeof value);
  };
}

TEST(PackedFolder, refuses_grids_that_are_not_its_own) {
  using enum PackedAs;
  expect_refused(gptq, quantization(R"({"quant_method":"awq","bits":4})"),
                 {"quantization_config", "awq", "gptq"});
  expect_refused(gptq, quantization(R"({"quant_method":"bitsandbytes"})"), {"bitsandbytes"});
  expect_refused(gptq, quantization("null"), {"quantized", "no quantization_config"});
  expect_refused(gptq, replaced(gptq, "\"bits\":4", "\"bits\":8"), {"bits is 8", "4 bits"});
  expect_refused(gptq, replaced(gptq, "\"sym\":true", "\"sym\":false"), {"sym is false", "zero"});
  expect_refused(gptq, replaced(gptq, "\"group_size\":32", "\"group_size\":20"),
                 {"group_size is 20", "multiple of 8"});
  expect_refused(gptq, replaced(gptq, "\"group_size\":32", "\"group_size\":64"),
                 {"scales", "8 groups", "256"});
  expect_refused(gptq, replaced(gptq, "\"sym\":true", R"("checkpoint_format":"marlin")"),
                 {"marlin", "gptq_v2"});
  expect_refused(gptq, element("qzeros", 3, 0x77777776), {"up_proj.qzeros", "symmetric"});
  expect_refused(gptq_v2, element("qzeros", 0, 0x77777777), {"up_proj.qzeros", "symmetric"});
  expect_refused(gptq, element("g_idx", 40, 0), {"up_proj.g_idx", "column 40", "act-order"});
  const Change without_order = [](FolderModel* model) {
    std::string& config = model->config["quantization_config"];
    config.replace(config.find("\"desc_act\":false"), 16, "\"desc_act\":true");
    std::erase_if(model->tensors,
                  [](const StoredTensor& one) { return one.name.ends_with("g_idx"); });
  };
  expect_refused(gptq, without_order, {"qweight", "act-order"});
  expect_refused(
      compressed_tensors,
      replaced(compressed_tensors, "\"strategy\"", "\"actorder\":\"group\",\"strategy\""),
      {"weight_packed", "act-order"});
  expect_refused(compressed_tensors,
                 replaced(compressed_tensors, "\"config_groups\"",
                          R"("transform_config":{"config_groups":{}},"config_groups")"),
                 {"transform_config", "activations"});
  expect_refused(compressed_tensors, replaced(compressed_tensors, "pack-q", "naive-q"),
                 {"naive-quantized", "pack-quantized"});
  expect_refused(compressed_tensors,
                 replaced(compressed_tensors, "\"num_bits\":4", "\"num_bits\":8"),
                 {"num_bits is 8"});
  expect_refused(compressed_tensors,
                 replaced(compressed_tensors, "\"symmetric\":true", "\"symmetric\":false"),
                 {"symmetric is false"});
  expect_refused(compressed_tensors, replaced(compressed_tensors, "\"int\"", "\"float\""),
                 {"type is float"});
  expect_refused(compressed_tensors, replaced(compressed_tensors, "\"group\"", "\"block\""),
                 {"strategy is block"});
  expect_refused(compressed_tensors,
                 [](FolderModel* model) {
                   model->tensors.push_back(stored("model.layers.1.mlp.up_proj.weight_zero_point",
                                                   "I32", {1}, std::vector<int32_t>{0}));
                 },
                 {"weight_zero_point", "symmetric"});
  expect_refused(torchao, element<int8_t>("_weight_qdata", 130, 8),
                 {"up_proj", "row 1, column 2", "8"});
  expect_refused(torchao, element<int8_t>("_weight_zero_point", 5, 1),
                 {"_weight_zero_point", "element 5 = 1"});
  expect_refused(torchao, [](FolderModel* model) { tensor(model, "_weight_qdata").type = "U8"; },
                 {"_weight_qdata", "U8", "IntxUnpackedToInt8Tensor"});
}

TEST(PackedFolder, refuses_tensors_that_disagree) {
  using enum PackedAs;
  const auto shape = [](const std::string& name, std::vector<uint64_t> to) {
    return [=](FolderModel* model) { tensor(model, name).shape = to; };
  };
  const auto missing = [](const std::string& name) {
    return [=](FolderModel* model) {
      std::erase_if(model->tensors, [&](const StoredTensor& one) {
        return one.name == "model.layers.1.mlp.up_proj." + name;
      });
    };
  };
  for (const char* name : {"scales", "qzeros"})
    expect_refused(gptq, missing(name), {std::string("up_proj.") + name + " is missing"});
  for (const char* name : {"weight_scale", "weight_shape"})
    expect_refused(compressed_tensors, missing(name), {name, "is missing"});
  expect_refused(torchao, missing("_weight_scale"), {"_weight_scale", "is missing"});
  expect_refused(gptq, shape("qweight", {256, 16}), {"scales", "4 groups", "2048"});
  expect_refused(gptq, shape("scales", {256, 4}), {"scales", "256 groups"});
  expect_refused(gptq, shape("qzeros", {32, 4}), {"qzeros", "[32, 4]", "[4, 32]"});
  expect_refused(gptq, shape("g_idx", {64, 2}), {"g_idx", "[64, 2]", "[128]"});
  expect_refused(gptq, shape("qweight", {16, 256, 1}), {"qweight", "[16, 256, 1]"});
  expect_refused(compressed_tensors, element<int64_t>("weight_shape", 1, 129),
                 {"weight_shape", "[256, 129]", "[256, 16]"});
  expect_refused(compressed_tensors, element<int64_t>("weight_shape", 0, -1), {"weight_shape"});
  expect_refused(compressed_tensors, element<uint16_t>("weight_scale", 9, 0x7c00),
                 {"up_proj", "row 2", "group 1", "finite"});
  expect_refused(gptq, [](FolderModel* model) { tensor(model, "scales").type = "I16"; },
                 {"scales", "I16", "BF16"});
  expect_refused(gptq, [](FolderModel* model) { tensor(model, "qweight").type = "U32"; },
                 {"qweight", "U32", "I32"});
  expect_refused(gptq, [](FolderModel* model) { tensor(model, "g_idx").name += "s"; },
                 {"g_idxs", "no place"});
}

TEST(PackedFolder, says_that_activations_are_not_rounded_by_themselves) {
  const Case one{"", PackedAs::compressed_tensors, "LlamaForCausalLM", 32, "F16"};
  FolderModel model =
      packed_model(random_folder_model(spec_for(one)), one.as, one.group, one.scale_type);
  replaced(one.as, R"("input_activations":null)", R"("input_activations":{"num_bits":8})")(&model);
  const TempFolder folder;
  model.write(folder);
  const Checkpoint checkpoint = import_checkpoint(folder.path(), {});
  ASSERT_EQ(checkpoint.warnings.size(), 1u);
  EXPECT_NE(checkpoint.warnings[0].find("--activations int8"), std::string::npos);
}

}  // namespace
