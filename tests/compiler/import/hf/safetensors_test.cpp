// Could break: a tensor is read from another place than the header says, or a malformed file is
// read at all.
#include "compiler/import/hf/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>

#include "compiler/import/checkpoint.h"
#include "compiler/import/hf/tensor_folder.h"
#include "tests/support/random.h"
#include "tests/support/safetensors_writer.h"
#include "tests/support/temp_file.h"
#include "tests/support/temp_folder.h"

namespace {

using namespace nbl::compiler;
using namespace nbl::compiler::hf;
using namespace nbl::test;

std::string error_of(std::string_view bytes) {
  const TempFile file(bytes, ".safetensors");
  try {
    const SafetensorsFile parsed(file.path());
  } catch (const ImportError& error) {
    return error.what();
  }
  return "";
}

void expect_refused(std::string_view bytes, const std::vector<std::string>& parts) {
  const std::string error = error_of(bytes);
  ASSERT_NE(error, "") << "was read; expected " << parts[0];
  EXPECT_NE(error.find(".safetensors"), std::string::npos) << error;
  for (const std::string& part : parts)
    EXPECT_NE(error.find(part), std::string::npos) << error << "\n  lacks: " << part;
}

std::string one_tensor(std::string_view fields, uint64_t data_bytes = 24) {
  return safetensors_file("{\"a\":{" + std::string(fields) + "}}", std::string(data_bytes, 'x'));
}

TEST(Safetensors, reads_tensors_where_the_header_says) {
  const std::vector<float> a = {1, 2, 3, 4, 5, 6};
  const std::vector<int32_t> b = {-7, 8};
  const std::string bytes =
      safetensors_file({stored("a", "F32", {2, 3}, a),
                        stored("b", "I32", {2}, b),
                        {"empty", "F16", {0, 4}, ""},
                        stored("number", "I64", {}, std::vector<int64_t>{-9})});
  const TempFile file(bytes);
  const SafetensorsFile parsed(file.path());
  ASSERT_EQ(parsed.tensors().size(), 4u);
  const SafeTensor& first = parsed.tensors().at("a");
  EXPECT_EQ(first.type, DataType::f32);
  EXPECT_EQ(first.shape_text(), "[2, 3]");
  EXPECT_EQ(std::memcmp(first.data, a.data(), 24), 0);
  EXPECT_EQ(std::memcmp(parsed.tensors().at("b").data, b.data(), 8), 0);
  EXPECT_EQ(parsed.tensors().at("empty").size_bytes, 0u);
  EXPECT_EQ(parsed.tensors().at("number").size_bytes, 8u);
}

TEST(Safetensors, refuses_headers_that_are_too_long) {
  expect_refused("1234567", {"truncated", "the header's length"});
  expect_refused(std::string("\0\0\0\0\0\0\0\1", 8) + "{}", {"72057594037927936", "100000000"});
  expect_refused(std::string("\3\0\0\0\0\0\0\0", 8) + "{}", {"truncated", "needs 3 bytes, 2"});
}

TEST(Safetensors, refuses_headers_that_are_no_tensors) {
  expect_refused(safetensors_file("[]", ""), {"is array, not an object"});
  expect_refused(safetensors_file("{\"a\":", ""), {"is not JSON"});
  expect_refused(safetensors_file(R"({"a":1})", ""), {"tensor a", "not an object"});
  expect_refused(safetensors_file(R"({"a":{},"a":{}})", ""), {"\"a\" twice"});
  const std::string deep(200'000, '[');
  expect_refused(safetensors_file("{\"a\":" + deep + "}", ""), {"is not JSON"});
}

TEST(Safetensors, refuses_fields_that_are_missing_or_wrong) {
  constexpr const char* kShape = R"("shape":[2,3])";
  constexpr const char* kOffsets = R"("data_offsets":[0,24])";
  constexpr const char* kType = R"("dtype":"F32")";
  const auto fields = [](std::string a, std::string b, std::string c) {
    return one_tensor(a + "," + b + "," + c);
  };
  EXPECT_EQ(error_of(fields(kType, kShape, kOffsets)), "");
  expect_refused(one_tensor(std::string(kShape) + "," + kOffsets), {"tensor a", "\"dtype\""});
  expect_refused(one_tensor(std::string(kType) + "," + kOffsets), {"tensor a", "\"shape\""});
  expect_refused(one_tensor(std::string(kType) + "," + kShape), {"tensor a", "\"data_offsets\""});
  expect_refused(fields(R"("dtype":"F4")", kShape, kOffsets), {"tensor a", "F4", "BF16"});
  expect_refused(fields(R"("dtype":7)", kShape, kOffsets), {"tensor a.dtype", "not text"});
  expect_refused(fields(kType, R"("shape":[2,-3])", kOffsets), {"shape[1]", "-3"});
  expect_refused(fields(kType, R"("shape":[2,1.5])", kOffsets), {"shape[1]", "not an integer"});
  expect_refused(fields(kType, R"("shape":6)", kOffsets), {"tensor a.shape", "not a list"});
  expect_refused(fields(kType, R"("shape":[4294967296,4294967296])", kOffsets),
                 {"tensor a", "2^64"});
  expect_refused(fields(kType, R"("shape":[18446744073709551615])", kOffsets), {"shape[0]"});
  expect_refused(fields(kType, R"("shape":[2,2])", kOffsets), {"takes 16 bytes", "give 24"});
  expect_refused(fields(kType, kShape, R"("data_offsets":[0,28])"), {"[0, 28]", "24 bytes"});
  expect_refused(fields(kType, kShape, R"("data_offsets":[24,0])"), {"[24, 0]", "24 bytes"});
  expect_refused(fields(kType, kShape, R"("data_offsets":[0])"), {"1 data_offsets"});
  expect_refused(fields(kType, kShape, R"("data_offsets":[-24,0])"), {"data_offsets[0]", "-24"});
}

TEST(Safetensors, refuses_tensors_that_overlap) {
  expect_refused(safetensors_file(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                                  R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                                  std::string(12, 'x')),
                 {"tensors a and b overlap", "8 bytes", "4 bytes after"});
}

// Every prefix, and every byte of the header changed: an error or tensors that lie in the file.
TEST(Safetensors, survives_any_damage) {
  std::vector<float> values = Random(1).normals(6);
  const std::string whole = safetensors_file(
      {stored_floats("a", "F32", {2, 3}, &values), stored_floats("b", "BF16", {3, 2}, &values)});
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(error_of(std::string_view(whole).substr(0, size)), "") << size;
  Random random(2);
  for (size_t at = 0; at < whole.size() - 36; ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(random.below(256));
    const TempFile file(damaged);
    try {
      const SafetensorsFile parsed(file.path());
      for (const auto& [name, tensor] : parsed.tensors()) {
        uint64_t size = data_type_bytes(tensor.type);
        for (const uint64_t dimension : tensor.shape)
          size *= dimension;
        ASSERT_EQ(size, tensor.size_bytes);
        ASSERT_LE(size, damaged.size());
        std::string copy(size, '\0');
        std::memcpy(copy.data(), tensor.data, size);
      }
    } catch (const ImportError&) {
    }
  }
}

std::string folder_error(const TempFolder& folder) {
  try {
    const TensorFolder tensors(folder.path());
  } catch (const ImportError& error) {
    return error.what();
  }
  return "";
}

void expect_folder_refused(const TempFolder& folder, const std::vector<std::string>& parts) {
  const std::string error = folder_error(folder);
  ASSERT_NE(error, "") << "was read; expected " << parts[0];
  for (const std::string& part : parts)
    EXPECT_NE(error.find(part), std::string::npos) << error << "\n  lacks: " << part;
}

std::string shard(const std::string& name, float value) {
  std::vector<float> values = {value};
  return safetensors_file({stored_floats(name, "F32", {1}, &values)});
}

TEST(TensorFolder, reads_one_file_or_shards_under_an_index) {
  const TempFolder folder;
  folder.write("x-1.safetensors", shard("a", 1));
  folder.write("x-2.safetensors", shard("b", 2));
  folder.write(kIndexFile,
               R"({"metadata":{},"weight_map":{"a":"x-1.safetensors","b":"x-2.safetensors"}})");
  const TensorFolder sharded(folder.path());
  EXPECT_EQ(sharded.tensors().size(), 2u);
  EXPECT_EQ(*reinterpret_cast<const char*>(sharded.at("b").data + 3), '@');
  EXPECT_EQ(sharded.find("c"), nullptr);
  EXPECT_THROW(sharded.at("c"), ImportError);
  folder.write(kSingleFile, shard("c", 3));
  EXPECT_EQ(TensorFolder(folder.path()).tensors().size(), 1u);
}

TEST(TensorFolder, refuses_what_is_missing_or_there_twice) {
  const TempFolder folder;
  expect_folder_refused(folder, {kSingleFile, kIndexFile});
  folder.write("pytorch_model.bin", "PK");
  expect_folder_refused(folder, {kSingleFile, "safe_serialization"});
  folder.write("x-1.safetensors", shard("a", 1));
  const auto index = [&](const std::string& map) {
    folder.write(kIndexFile, "{\"weight_map\":" + map + "}");
  };
  index(R"({"a":"x-1.safetensors","b":"x-2.safetensors"})");
  expect_folder_refused(folder, {"x-2.safetensors", "tensor b", "not there"});
  folder.write("x-2.safetensors", shard("c", 2));
  expect_folder_refused(folder, {"tensor b", "x-2.safetensors", kIndexFile});
  folder.write("x-2.safetensors", shard("a", 2));
  index(R"({"a":"x-1.safetensors","b":"x-2.safetensors"})");
  expect_folder_refused(folder, {"tensor a", "x-1.safetensors", "x-2.safetensors"});
  for (const char* name : {"../x-1.safetensors", "/etc/passwd", "..", ""}) {
    index("{\"a\":\"" + std::string(name) + "\"}");
    expect_folder_refused(folder, {"weight_map", "beside the index"});
  }
  index("7");
  expect_folder_refused(folder, {"weight_map", "not an object"});
}

}  // namespace
