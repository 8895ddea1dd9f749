// Could break: a folder from anywhere ends in another exception than an error for people, or in a
// crash.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>

#include "compiler/emit/tokenizer_tables.h"
#include "compiler/error.h"
#include "compiler/import/checkpoint.h"
#include "tests/support/json_damage.h"
#include "tests/support/packed_folder.h"
#include "tests/support/temp_file.h"

namespace {

using namespace nbl::compiler;
using namespace nbl::test;
using nlohmann::json;

constexpr const char* kTokenizer =
    R"({"added_tokens":[{"id":0,"content":"<unk>","special":true},{"id":1,"content":"<s>",)"
    R"("special":true,"normalized":false,"rstrip":true}],"normalizer":{"type":"Sequence",)"
    R"("normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},)"
    R"("content":"▁"}]},"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":)"
    R"("first","split":false},"post_processor":{"type":"TemplateProcessing","single":[)"
    R"({"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A"}}],"special_tokens":{"<s>":)"
    R"({"id":"<s>","ids":[1]}}},"model":{"type":"BPE","unk_token":"<unk>","byte_fallback":true,)"
    R"("vocab":{"<unk>":0,"<s>":1,"▁":2,"a":3,"▁a":4,"<0x0A>":5},"merges":["▁ a"]}})";

constexpr const char* kByteLevel =
    R"({"added_tokens":[{"id":3,"content":"<e>","special":true}],"normalizer":{"type":"NFC"},)"
    R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":)"
    R"(true},{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}]},"post_processor":)"
    R"({"type":"Sequence","processors":[{"type":"ByteLevel"}]},"model":{"type":"BPE","vocab":)"
    R"({"a":0,"b":1,"ab":2},"merges":[["a","b"]],"ignore_merges":true}})";

void expect_error_or_nothing(const std::function<void()>& work, const std::string& document) {
  try {
    work();
  } catch (const ImportError& error) {
    EXPECT_FALSE(std::string_view(error.what()).empty());
  } catch (const CompileError& error) {
    EXPECT_FALSE(std::string_view(error.what()).empty());
  } catch (const std::exception& error) {
    FAIL() << error.what() << "\n" << document.substr(0, 2000);
  }
}

TEST(Damage, of_tokenizer_json_is_an_error_or_nothing) {
  for (const char* text : {kTokenizer, kByteLevel}) {
    size_t count = 0;
    for_each_damage(json::parse(text), [&](const json& document) {
      const TempFile file(document.dump(), ".json");
      ++count;
      expect_error_or_nothing(
          [&] {
            const TokenizerData data = import_tokenizer(file.path(), 9);
            const TokenizerVectors vectors = tokenizer_vectors(data);
            checked_tables(data, vectors);
          },
          document.dump());
    });
    EXPECT_GT(count, 300u);
  }
}

FolderModel tiny(PackedAs as) {
  FolderSpec spec = spec_of("LlamaForCausalLM");
  spec.layers = 1;
  spec.dim = spec.ffn = 32;
  spec.heads = spec.kv_heads = 2;
  spec.head_dim = 16;
  spec.vocab = 8;
  return packed_model(random_folder_model(spec), as, 32, "F16");
}

TEST(Damage, of_config_json_is_an_error_or_nothing) {
  for (const PackedAs as : {PackedAs::gptq, PackedAs::compressed_tensors, PackedAs::torchao}) {
    FolderModel model = tiny(as);
    model.config["rope_scaling"] =
        R"({"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,)"
        R"("original_max_position_embeddings":64})";
    model.config["layer_types"] = R"(["sliding_attention"])";
    model.config["sliding_window"] = "16";
    const TempFolder folder;
    model.write(folder);
    EXPECT_NO_THROW(import_checkpoint(folder.path(), {}));
    for_each_damage(json::parse(model.config_text()), [&](const json& document) {
      folder.write("config.json", document.dump());
      expect_error_or_nothing([&] { import_checkpoint(folder.path(), {}); }, document.dump());
    });
  }
}

TEST(Damage, of_headers_of_tensors_is_an_error_or_nothing) {
  for (const PackedAs as : {PackedAs::gptq, PackedAs::compressed_tensors, PackedAs::torchao}) {
    FolderModel model = tiny(as);
    // The parts of one layer are enough.
    const TempFolder folder;
    model.write(folder);
    const std::string whole = safetensors_file(model.tensors);
    uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, whole.data(), sizeof header_bytes);
    json header = json::parse(whole.substr(8, header_bytes));
    const std::string data = whole.substr(8 + header_bytes);
    json part = json::object();
    for (const auto& [name, entry] : header.items()) {
      if (name.find("up_proj") != std::string::npos) part[name] = entry;
    }
    for_each_damage(part, [&](const json& damaged) {
      json document = header;
      if (damaged.is_object()) {
        for (const auto& [name, entry] : part.items())
          document.erase(name);
        document.update(damaged);
      } else {
        document = damaged;
      }
      folder.write("model.safetensors", safetensors_file(document.dump(), data));
      expect_error_or_nothing([&] { import_checkpoint(folder.path(), {}); }, document.dump());
    });
  }
}

}  // namespace
