// Checkpoints, model folders, exported programs and vocabularies.
#include <nlohmann/json.hpp>

#include "compiler/import/gguf_writer.h"
#include "tests/fuzz/seeds.h"
#include "tests/support/chat_model.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/llama2c_writer.h"
#include "tests/support/packed_folder.h"
#include "tests/support/pt2_fixture.h"
#include "tests/support/sentencepiece.h"
#include "tests/support/tokenizer_json.h"

namespace nbl::fuzz {
namespace {

using namespace nbl::test;
using compiler::SourceType;

LlamaSpec tiny(const char* architecture, SourceType type) {
  LlamaSpec spec = tiny_gguf_llama(type);
  spec.vocab = 280;
  spec.context = 16;
  spec.architecture = architecture;
  return spec;
}

// Types whose blocks are 256 wide.
bool is_wide(SourceType type) {
  return compiler::source_block(type) > 32;
}

FolderSpec tiny_folder(const std::string& class_name) {
  FolderSpec spec = spec_of(class_name);
  spec.layers = 1;
  spec.dim = spec.ffn = 32;
  spec.heads = spec.kv_heads = 2;
  spec.head_dim = 16;
  spec.vocab = 9;
  spec.inv_freq.clear();
  spec.windows.resize(spec.windows.empty() ? 0 : 1);
  return spec;
}

json spm_vocabulary() {
  json file = small_spm();
  file["normalizer"] = mark_normalizer(true);
  file["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", kMark}, {"prepend_scheme", "first"}, {"split", false}};
  return file;
}

json bpe_vocabulary() {
  json file = small_bpe();
  file["normalizer"] = {{"type", "NFC"}};
  file["pre_tokenizer"] = sequence(json::array({kDigits, byte_level(true)}));
  file["post_processor"] = {{"type", "ByteLevel"}};
  file["model"]["ignore_merges"] = true;
  return file;
}

}  // namespace

void write_gguf_seeds(const SeedFolder& folder) {
  for (uint32_t i = 0; i < compiler::kSourceTypeCount; ++i) {
    const auto type = static_cast<SourceType>(i);
    LlamaSpec spec = tiny("llama", type);
    if (is_wide(type)) {
      spec.dim = spec.ffn = 256;
      spec.head_dim = 128;
      spec.vocab = 12;
      spec.tokenizer = false;
    }
    folder.write("type" + std::to_string(i) + ".gguf", write_gguf_llama(spec).bytes);
  }
  for (const char* architecture : {"qwen2", "qwen3", "gemma3", "phi3"}) {
    LlamaSpec spec = tiny(architecture, SourceType::q8_0);
    spec.window = spec.is("gemma3") ? 8 : 0;
    spec.window_period = spec.is("gemma3") ? 6 : 0;
    spec.vocab = 40;
    spec.tokenizer = false;
    if (spec.is("phi3")) {
      spec.short_factors = spec.long_factors = std::vector<float>(8, 1.5f);
      spec.short_context = 8;
    }
    folder.write(std::string(architecture) + ".gguf", write_gguf_llama(spec).bytes);
  }
  LlamaSpec spec = tiny("llama", SourceType::f32);
  spec.vocab = 40;
  spec.tokenizer = false;
  const LlamaFile source = write_gguf_llama(spec);
  const size_t tensors = named_shapes(spec).size();
  ZipMembers parts;
  for (uint32_t part = 0; part < 3; ++part) {
    parts.emplace_back("model-0000" + std::to_string(part + 1) + "-of-00003.gguf",
                       write_gguf_part(source, spec, part, 3, {part, 3, tensors}));
  }
  folder.write("split.zip", zip_of(parts));
  compiler::GgufWriter vocabulary;
  compiler::TokenizerData data = chat_vocabulary();
  vocabulary.add_tokenizer(data);
  folder.write("vocabulary.gguf", vocabulary.header());
  LlamaSpec legacy = tiny("llama", SourceType::f32);
  legacy.vocab = 40;
  folder.write("llama2c.bin", write_llama2c(legacy).bytes);
}

void write_folder_seeds(const SeedFolder& folder) {
  const auto add = [&](const std::string& name, const FolderModel& model, bool vocabulary) {
    ZipMembers members = {{"config.json", model.config_text()},
                          {"model.safetensors", safetensors_file(model.tensors)}};
    if (vocabulary) members.emplace_back("tokenizer.json", spm_vocabulary().dump());
    folder.write(name + ".zip", zip_of(members));
  };
  for (const char* class_name : {"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM",
                                 "Gemma3ForCausalLM", "Phi3ForCausalLM"}) {
    add(class_name, random_folder_model(tiny_folder(class_name)), class_name[0] == 'L');
  }
  const FolderModel plain = random_folder_model(tiny_folder("LlamaForCausalLM"));
  add("gptq", packed_model(plain, PackedAs::gptq, 32, "F16"), false);
  add("gptq_v2", packed_model(plain, PackedAs::gptq_v2, 32, "F16"), false);
  add("compressed", packed_model(plain, PackedAs::compressed_tensors, 32, "BF16"), false);
  add("torchao", packed_model(plain, PackedAs::torchao, 32, "F32"), false);
  FolderModel scaled = plain;
  scaled.config["rope_scaling"] =
      R"({"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,)"
      R"("original_max_position_embeddings":64})";
  scaled.config["layer_types"] = R"(["sliding_attention"])";
  scaled.config["sliding_window"] = "16";
  add("scaled", scaled, true);
  // The same tensors in two files.
  std::vector<StoredTensor> halves[2];
  json index = {{"metadata", json::object()}, {"weight_map", json::object()}};
  for (size_t i = 0; i < plain.tensors.size(); ++i) {
    halves[i % 2].push_back(plain.tensors[i]);
    index["weight_map"][plain.tensors[i].name] = i % 2 == 0 ? "a.safetensors" : "b.safetensors";
  }
  folder.write("sharded.zip", zip_of({{"config.json", plain.config_text()},
                                      {"model.safetensors.index.json", index.dump()},
                                      {"a.safetensors", safetensors_file(halves[0])},
                                      {"b.safetensors", safetensors_file(halves[1])}}));
}

void write_program_seeds(const SeedFolder& folder) {
  // Large ones take more time than they show; where a node comes from nobody reads but people.
  constexpr size_t kMostBytes = 180000;
  for (const std::string& name : pt2_names()) {
    Pt2Archive archive(name);
    archive.edit_program([](json* program) {
      for (json& node : (*program)["graph_module"]["graph"]["nodes"])
        node["metadata"] = json::object();
    });
    const std::string bytes = archive.bytes();
    if (bytes.size() <= kMostBytes) folder.write(name + ".pt2", bytes);
  }
}

void write_tokenizer_seeds(const SeedFolder& folder) {
  folder.write("spm.json", spm_vocabulary().dump());
  folder.write("bpe.json", bpe_vocabulary().dump());
  folder.write("sentencepiece.model", sentencepiece::PieceModel{}.bytes());
  folder.write("tiktoken.model", "IQ== 0\nIg== 1\nISI= 2\n");
  folder.write("llama2c.bin", write_llama2c_tokenizer(compiler::synthetic_vocabulary(270)));
  for (const bool bpe : {false, true}) {
    compiler::GgufWriter writer;
    writer.add_tokenizer(bpe ? chat_vocabulary() : compiler::synthetic_vocabulary(262));
    folder.write(bpe ? "bpe.gguf" : "spm.gguf", writer.header());
  }
}

}  // namespace nbl::fuzz
