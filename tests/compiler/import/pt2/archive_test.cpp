// Breaks if a damaged, foreign or outdated archive is read, crashes the compiler, or is refused
// without naming the member and what is wrong with it.
#include <gtest/gtest.h>

#include <random>

#include "tests/support/pt2_fixture.h"

namespace {

using namespace nbl::test;
using nlohmann::json;

// The smallest fixture with an entry of every kind.
constexpr const char* kName = "tensors";
constexpr const char* kWeights = "data/weights/model_weights_config.json";
constexpr const char* kConstants = "data/constants/model_constants_config.json";

TEST(Pt2Archive, packing_again_changes_nothing) {
  EXPECT_EQ(pt2_error_of(Pt2Archive(kName).bytes()), "");
}

TEST(Pt2Archive, every_truncation_is_refused) {
  const std::string bytes = Pt2Archive(kName).bytes();
  for (size_t size = 0; size < bytes.size(); size += 211) {
    EXPECT_NE(pt2_error_of(std::string_view(bytes).substr(0, size)), "") << size << " bytes";
  }
}

// Whatever comes of it, nothing but an ImportError may leave the reader.
TEST(Pt2Archive, flipped_bytes_never_crash) {
  const std::string bytes = Pt2Archive(kName).bytes();
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  size_t refused = 0;
  constexpr size_t kRounds = 400;
  for (size_t round = 0; round < kRounds; ++round) {
    std::string damaged = bytes;
    // Every other round in the headers and the directory at the end.
    const size_t from = round % 2 == 0 ? 0 : damaged.size() - 3000;
    const size_t at = from + random() % (damaged.size() - from);
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << random() % 8));
    refused += pt2_error_of(damaged).empty() ? 0 : 1;
  }
  EXPECT_GT(refused, kRounds / 2);
}

TEST(Pt2Archive, damaged_json_never_crashes) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (const char* member : {"models/model.json", kWeights, kConstants}) {
    for (int round = 0; round < 150; ++round) {
      Pt2Archive archive(kName);
      std::string& text = archive.member(member);
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, 1 + random() % 40);
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), random() % 60));
          break;
      }
      pt2_error_of(archive.bytes());
    }
  }
}

// Replaces one value somewhere in the document, found by counting; false where there are fewer.
bool replace_nth(json* value, size_t* n, const json& with) {
  if ((*n)-- == 0) {
    *value = with;
    return true;
  }
  if (!value->is_structured()) return false;
  for (json& element : *value) {
    if (replace_nth(&element, n, with)) return true;
  }
  return false;
}

TEST(Pt2Archive, values_of_the_wrong_shape_never_crash) {
  const json others[] = {nullptr,       -1,    json::array(), json::object(),  "text", true,
                         INT64_MAX / 2, 1e300, UINT64_MAX,    {{"as_int", -5}}};
  for (const char* member : {"models/model.json", kWeights, kConstants}) {
    const Pt2Archive whole(kName);
    size_t step = 0;
    size_t refused = 0;
    for (bool more = true; more; step += member[0] == 'm' ? 17 : 3) {
      Pt2Archive archive = whole;
      archive.edit(member, [&](json* document) {
        size_t n = step;
        more = replace_nth(document, &n, others[step % std::size(others)]);
      });
      if (more) refused += pt2_error_of(archive.bytes()).empty() ? 0 : 1;
    }
    EXPECT_GT(refused, 10u) << member;
  }
}

TEST(Pt2Archive, each_missing_member_is_named) {
  for (const char* member : {"models/model.json", kWeights, kConstants, "data/weights/weight_3",
                             "data/constants/tensor_0"}) {
    Pt2Archive archive(kName);
    archive.remove(member);
    // Without its model, the archive is said to have none.
    const bool model = std::string_view(member) == "models/model.json";
    expect_pt2_refused(archive, {model ? "tensors/models/" : member});
  }
}

TEST(Pt2Archive, each_missing_key_is_named) {
  const auto expect = [](const std::string& pointer, const std::string& key) {
    Pt2Archive archive(kName);
    archive.edit_program(
        [&](json* program) { (*program)[json::json_pointer(pointer)].erase(key); });
    expect_pt2_refused(archive, {"models/model.json", "has no \"" + key + "\""});
  };
  for (const char* key : {"graph_module", "schema_version", "range_constraints"})
    expect("", key);
  for (const char* key : {"graph", "signature"})
    expect("/graph_module", key);
  for (const char* key : {"inputs", "nodes", "tensor_values", "sym_int_values"})
    expect("/graph_module/graph", key);
  for (const char* key : {"target", "inputs", "outputs"})
    expect("/graph_module/graph/nodes/0", key);
  for (const char* key : {"input_specs", "output_specs"})
    expect("/graph_module/signature", key);
}

TEST(Pt2Archive, older_and_other_formats_are_named) {
  const auto error = [](const ZipMembers& members) { return pt2_error_of(zip_of(members)); };
  EXPECT_NE(error({{"serialized_exported_program.json", "{}"}, {"version", "8.7"}})
                .find("torch 2.7 and earlier (schema 8.7)"),
            std::string::npos);
  EXPECT_NE(error({{"model/data.pkl", "x"}, {"model/version", "3"}}).find("pickled checkpoint"),
            std::string::npos);
  EXPECT_NE(error({{"word/document.xml", "x"}}).find("archive_format"), std::string::npos);
  EXPECT_NE(error({{"a/archive_format", "pte"}}).find("is \"pte\", not \"pt2\""),
            std::string::npos);
  EXPECT_NE(error({{"a/archive_format", "pt2"}, {"a/archive_version", "3"}})
                .find("archive_version is 3, the known one is 0"),
            std::string::npos);
  EXPECT_NE(pt2_error_of("GGUF and not a zip").find("not a whole zip archive"), std::string::npos);

  Pt2Archive compiled(kName);
  compiled.remove("models/model.json");
  compiled.add("tensors/data/aotinductor/model/metadata.json", "{}");
  expect_pt2_refused(compiled, {"no exported program", "AOTInductor"});

  Pt2Archive two(kName);
  two.add("tensors/models/second.json", "{}");
  expect_pt2_refused(two, {"2 exported programs (model, second)"});

  Pt2Archive pickled(kName);
  pickled.rename(kWeights, "data/weights/model.pt");
  expect_pt2_refused(pickled, {"pickle", "torch 2.8", "data/weights/model.pt"});

  Pt2Archive big(kName);
  big.member("byteorder") = "big";
  expect_pt2_refused(big, {"byteorder is big"});
}

TEST(Pt2Archive, what_is_no_file_is_said) {
  const auto error = [](const std::filesystem::path& path) -> std::string {
    try {
      nbl::compiler::pt2::read_exported_program(path);
    } catch (const nbl::compiler::ImportError& failure) {
      return failure.what();
    }
    return "";
  };
  EXPECT_NE(error("/nowhere/model.pt2").find("no such file"), std::string::npos);
  EXPECT_NE(error(pt2_folder()).find("not a regular file"), std::string::npos);
}

TEST(Pt2Archive, a_byte_order_and_version_may_be_left_out) {
  Pt2Archive archive(kName);
  archive.remove("byteorder");
  archive.remove("archive_version");
  EXPECT_EQ(pt2_error_of(archive.bytes()), "");
}

TEST(Pt2Archive, another_schema_is_named) {
  Pt2Archive archive(kName);
  archive.edit_program([](json* program) { (*program)["schema_version"]["major"] = 9; });
  expect_pt2_refused(archive, {"9.", "torch 2.", "8 is"});
}

TEST(Pt2Archive, text_that_is_not_json_is_named) {
  Pt2Archive archive(kName);
  archive.member("models/model.json").resize(1000);
  expect_pt2_refused(archive, {"tensors/models/model.json is not JSON", "byte 1001"});
}

// Changes the entry of one weight.
void expect_weight_refused(const std::string& name, const std::function<void(json*)>& change,
                           const std::vector<std::string>& parts) {
  Pt2Archive archive(kName);
  archive.edit(kWeights, [&](json* document) { change(&(*document)["config"][name]); });
  expect_pt2_refused(archive, parts);
}

TEST(Pt2Archive, a_tensor_that_does_not_fit_its_storage_is_named) {
  const auto size = [](json* entry) { entry->at("tensor_meta")["sizes"][0]["as_int"] = 5; };
  expect_weight_refused("plain", size, {"\"plain\"", "30 elements of float32", "96 bytes"});
  const auto offset = [](json* entry) { entry->at("tensor_meta")["storage_offset"]["as_int"] = 1; };
  expect_weight_refused("plain", offset, {"\"plain\"", "25 elements"});
  const auto stride = [](json* entry) { entry->at("tensor_meta")["strides"][0]["as_int"] = 7; };
  expect_weight_refused("transposed", stride, {"\"transposed\"", "54 elements"});
  const auto wider = [](json* entry) { entry->at("tensor_meta")["dtype"] = 8; };
  expect_weight_refused("plain", wider, {"24 elements of float64", "96 bytes"});

  Pt2Archive archive(kName);
  archive.member("data/weights/weight_0").resize(95);
  expect_pt2_refused(archive, {"\"plain\"", "weight_0 has 95 bytes"});
  archive.member("data/weights/weight_0").clear();
  expect_pt2_refused(archive, {"weight_0 has 0 bytes"});
}

TEST(Pt2Archive, sizes_that_overflow_are_refused) {
  const auto huge = [](const char* what, size_t index, int64_t value) {
    return [=](json* entry) { entry->at("tensor_meta")[what][index]["as_int"] = value; };
  };
  expect_weight_refused("plain", huge("sizes", 0, INT64_MAX), {"product is too large"});
  expect_weight_refused("plain", huge("strides", 0, INT64_MAX), {"strides that reach too far"});
  expect_weight_refused("plain", huge("sizes", 0, -4), {"sizes[0]", "not a number from 0 up"});
  expect_weight_refused("plain", huge("strides", 1, -1), {"strides[1]", "not a number from 0 up"});
  // Stride 0 makes much of little.
  expect_weight_refused("expanded", huge("sizes", 0, int64_t{1} << 40), {"repeats its 96 bytes"});
}

TEST(Pt2Archive, tensors_of_other_kinds_are_refused) {
  expect_weight_refused("plain", [](json* entry) { (*entry)["use_pickle"] = true; },
                        {"\"plain\"", "pickled", "unwrap_tensor_subclass"});
  expect_weight_refused("plain", [](json* entry) { entry->at("tensor_meta")["dtype"] = 29; },
                        {"\"plain\"", "dtype is 29", "bfloat16"});
  expect_weight_refused("plain", [](json* entry) { entry->at("tensor_meta")["layout"] = 2; },
                        {"not strided"});
  expect_weight_refused("plain", [](json* entry) { (*entry)["tensor_meta"] = nullptr; },
                        {"tensor_meta"});
}

TEST(Pt2Archive, a_tensor_must_be_what_the_graph_takes) {
  expect_weight_refused("plain", [](json* entry) { entry->at("tensor_meta")["dtype"] = 4; },
                        {"plain is int32 [4, 6], its place in the graph is float32 [4, 6]"});
  Pt2Archive archive(kName);
  archive.edit(kWeights, [](json* document) {
    json& config = (*document)["config"];
    config["other"] = config["rows"];
    config.erase("rows");
  });
  expect_pt2_refused(archive, {"neither the weights nor the constants have rows", "b_rows"});
}

TEST(Pt2Archive, values_are_defined_once_and_before_they_are_used) {
  const auto refused = [](const std::function<void(json*)>& change,
                          const std::vector<std::string>& parts) {
    Pt2Archive archive(kName);
    archive.edit_program([&](json* program) { change(&(*program)["graph_module"]["graph"]); });
    expect_pt2_refused(archive, parts);
  };
  refused(
      [](json* graph) { (*graph)["nodes"][2]["inputs"][0]["arg"]["as_tensor"]["name"] = "ghost"; },
      {"nodes[2].inputs[0].arg", "uses ghost, which nothing before it defines"});
  refused([](json* graph) { (*graph)["nodes"][4] = (*graph)["nodes"][3]; },
          {"nodes[4]", "a second time"});
  refused([](json* graph) { (*graph)["inputs"][1] = (*graph)["inputs"][0]; },
          {"inputs[1]", "defines p_plain a second time"});
  refused([](json* graph) { (*graph)["tensor_values"].erase("p_plain"); },
          {"tensor_values has no entry for the tensor p_plain"});
  refused([](json* graph) { std::swap((*graph)["nodes"][0], (*graph)["nodes"].back()); },
          {"which nothing before it defines"});
}

TEST(Pt2Archive, a_signature_may_only_name_values_of_the_graph) {
  Pt2Archive archive(kName);
  archive.edit_program([](json* program) {
    (*program)["graph_module"]["signature"]["input_specs"][0]["parameter"]["arg"]["name"] = "gone";
  });
  expect_pt2_refused(archive, {"input_specs[0]", "names gone, which the graph has not"});
}

TEST(Pt2Archive, a_member_larger_than_the_archive_can_hold_is_refused) {
  std::string bytes = zip_of({{"a/archive_format", "pt2"}, {"a/models/model.json", "{}"}});
  // The second entry of the directory: uncompressed size at byte 24.
  const size_t entry = bytes.rfind("PK\x01\x02");
  const uint32_t lie = 0xfffffff0u;
  std::memcpy(bytes.data() + entry + 24, &lie, sizeof lie);
  EXPECT_NE(pt2_error_of(bytes), "");
}

// Graphs within graphs come from JSON as deep as it likes.
TEST(Pt2Archive, graphs_nested_too_deeply_are_refused) {
  json inner = json::parse(R"({"inputs": [], "outputs": [], "nodes": [], "tensor_values": {},
                               "sym_int_values": {}})");
  for (int depth = 0; depth < 200; ++depth) {
    json outer = inner;
    outer["nodes"] = json::array({{
        {"target", "torch.ops.higher_order.wrap_with_set_grad_enabled"},
        {"inputs", json::array({{{"name", ""},
                                 {"arg", {{"as_graph", {{"name", "deep"}, {"graph", inner}}}}}}})},
        {"outputs", json::array()},
    }});
    inner = std::move(outer);
  }
  Pt2Archive archive(kName);
  archive.edit_program(
      [&](json* program) { (*program)["graph_module"]["graph"]["nodes"] = inner["nodes"]; });
  expect_pt2_refused(archive, {"nested too deeply"});
}

}  // namespace
