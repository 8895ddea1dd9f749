// Could break: a weight lands in another place than the layout says, equal segments are stored
// twice or different ones once, or a failed compile leaves half a file behind.
#include "compiler/emit/emit.h"

#include <gtest/gtest.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "compiler/error.h"
#include "rt/base/checked.h"
#include "rt/load.h"
#include "rt/model/file.h"
#include "schema_generated.h"
#include "tests/support/compiled.h"
#include "tests/support/interpreter.h"
#include "tests/support/small_llama.h"

namespace nbl::compiler {
namespace {

using test::AlignedBytes;
using test::build_model;

// Odd everywhere: 100 columns fill no group, 172 no block of 32.
const test::LlamaSpec kOdd{
    .dim = 100, .heads = 5, .kv_heads = 1, .head_dim = 20, .ffn = 172, .vocab = 131};

FileHeader header_of(const AlignedBytes& file) {
  FileHeader header{};
  std::memcpy(&header, file.span().data(), sizeof header);
  return header;
}

const fb::Model* graph_of(const AlignedBytes& file) {
  const FileHeader header = header_of(file);
  flatbuffers::Verifier verifier(
      reinterpret_cast<const uint8_t*>(file.span().data()) + header.graph_offset,
      header.graph_bytes);
  EXPECT_TRUE(fb::VerifyModelBuffer(verifier));
  return fb::GetModel(file.span().data() + header.graph_offset);
}

const fb::Tensor* tensor_of(const fb::Model* model, const std::string& name) {
  for (const fb::Tensor* tensor : *model->tensors()) {
    if (tensor->name()->str() == name) return tensor;
  }
  throw std::runtime_error("no tensor " + name);
}

std::string load_sentence(const AlignedBytes& file) {
  Model model;
  Error error;
  if (load(file.span(), &model, &error).ok() && verify_hashes(model, &error).ok()) return {};
  char sentence[256];
  describe(error, sentence, sizeof sentence);
  return sentence;
}

TEST(Emit, writes_files_that_the_runtime_loads) {
  for (const bool fuse : {true, false}) {
    for (const uint32_t group_size : {32u, 64u, 128u, 256u}) {
      for (const bool tied : {true, false}) {
        test::LlamaSpec spec = kOdd;
        spec.tied = tied;
        const AlignedBytes file = build_model(test::small_llama(spec),
                                              {.passes = {.fuse = fuse}, .group_size = group_size});
        EXPECT_EQ(load_sentence(file), "") << "fuse " << fuse << ", group " << group_size;
      }
    }
  }
}

TEST(Emit, puts_segments_on_pages_with_their_hashes) {
  const AlignedBytes file = build_model(test::small_llama(kOdd));
  uint64_t end = 0;
  for (const fb::Segment* segment : *graph_of(file)->segments()) {
    EXPECT_EQ(segment->offset() % 4096, 0u);
    EXPECT_GE(segment->offset(), end);
    end = segment->offset() + segment->size();
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char*>(file.span().data()) + segment->offset(),
           segment->size(), digest);
    EXPECT_EQ(std::memcmp(digest, segment->sha256()->data(), sizeof digest), 0);
  }
  // Whole pages, so that the last segment can be imported.
  EXPECT_EQ(align_up(end, uint64_t{4096}), file.size);
  EXPECT_EQ(header_of(file).file_bytes, file.size);
}

TEST(Emit, is_deterministic) {
  const Checkpoint checkpoint = test::small_llama(kOdd);
  const AlignedBytes a = build_model(checkpoint);
  const AlignedBytes b = build_model(checkpoint);
  EXPECT_TRUE(std::ranges::equal(a.span(), b.span()));
}

// A quarter of the group's largest weight bounds what rounding and clipping do to any; weights from
// another place would be further off all over.
TEST(Emit, stores_weights_where_the_layout_says) {
  const Checkpoint checkpoint = test::small_llama(kOdd);
  for (const uint32_t group_size : {32u, 128u}) {
    const AlignedBytes file =
        build_model(checkpoint, {.passes = {.fuse = false}, .group_size = group_size});
    const test::Interpreter model(file.span());
    const SourceTensor& source = checkpoint.tensors.at("blk.1.ffn_down");
    std::vector<float> row(source.columns);
    for (uint32_t n = 0; n < source.rows; ++n) {
      source.read_row(n, row.data());
      for (uint32_t k = 0; k < source.columns; ++k) {
        const uint32_t first = k / group_size * group_size;
        const uint32_t last = std::min(first + group_size, static_cast<uint32_t>(row.size()));
        float largest = 0;
        for (uint32_t i = first; i < last; ++i)
          largest = std::max(largest, std::abs(row[i]));
        EXPECT_NEAR(model.weight("blk.1.ffn_down.weight", n, k), static_cast<double>(row[k]),
                    static_cast<double>(largest) * 0.25)
            << n << ", " << k;
      }
    }
  }
}

TEST(Emit, pads_vectors_with_zeros_and_tables_not_at_all) {
  const AlignedBytes file = build_model(test::small_llama(kOdd));
  const fb::Model* model = graph_of(file);
  const fb::Tensor* norm = tensor_of(model, "output_norm.weight");
  const fb::Segment* segment = model->segments()->Get(static_cast<uint32_t>(norm->data()));
  ASSERT_EQ(segment->size(), 128u * 4);
  std::vector<float> values(128);
  std::memcpy(values.data(), file.span().data() + segment->offset(), segment->size());
  for (size_t i = 0; i < 128; ++i)
    EXPECT_EQ(values[i] == 0, i >= 100) << i;
  const fb::Tensor* table = tensor_of(model, "rope_table");
  EXPECT_EQ(model->segments()->Get(static_cast<uint32_t>(table->data()))->size(),
            (64u + 1u) * 20 * 4);
}

TEST(Emit, stores_tied_weights_once_even_without_the_pass) {
  test::LlamaSpec spec = kOdd;
  spec.tied = true;
  const Checkpoint checkpoint = test::small_llama(spec);
  const AlignedBytes file =
      build_model(checkpoint, {.passes = {.fuse = false, .disabled = {"tie_weights"}}});
  const fb::Model* model = graph_of(file);
  std::vector<const fb::Tensor*> pair;
  for (const fb::Tensor* tensor : *model->tensors()) {
    if (tensor->name()->str() == "token_embd.weight") pair.push_back(tensor);
  }
  ASSERT_EQ(pair.size(), 2u);
  EXPECT_EQ(pair[0]->data(), pair[1]->data());
  EXPECT_EQ(pair[0]->scales(), pair[1]->scales());

  const AlignedBytes tied = build_model(checkpoint, {.passes = {.fuse = false}});
  EXPECT_EQ(graph_of(tied)->segments()->size(), model->segments()->size());
  EXPECT_EQ(graph_of(tied)->tensors()->size() + 1, model->tensors()->size());
}

TEST(Emit, stores_different_weights_apart) {
  test::LlamaSpec spec = kOdd;
  spec.tied = false;
  const AlignedBytes file = build_model(test::small_llama(spec));
  const fb::Model* model = graph_of(file);
  EXPECT_NE(tensor_of(model, "token_embd.weight")->data(),
            tensor_of(model, "output.weight")->data());
}

TEST(Emit, leaves_an_existing_file_alone_when_it_fails) {
  const Checkpoint good = test::small_llama(kOdd);
  Checkpoint bad = good;
  std::vector<float> broken(100 * 131, 1.0f);
  broken[100 * 130 + 7] = NAN;
  bad.tensors.at("token_embd").data = std::as_bytes(std::span(broken)).data();
  const test::TempFile file("what was there before", ".nbl");
  const Graph graph = make_graph(bad, 64, 8, {});
  EXPECT_THROW(emit(graph, nullptr, {}, file.path()), std::exception);
  const AlignedBytes after = test::read_file(file.path());
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(after.span().data()), after.size),
            "what was there before");
  EXPECT_FALSE(std::filesystem::exists(file.path().string() + ".tmp"));
}

TEST(Emit, says_where_it_cannot_write) {
  const Checkpoint checkpoint = test::small_llama(kOdd);
  const Graph graph = make_graph(checkpoint, 64, 8, {});
  try {
    emit(graph, nullptr, {}, "/no/such/folder/model.nbl");
    FAIL();
  } catch (const CompileError& error) {
    EXPECT_NE(std::string(error.what()).find("/no/such/folder/model.nbl"), std::string::npos);
  }
}

TEST(Segments, tell_apart_what_differs_and_find_what_is_equal) {
  const test::TempFile path("", ".bin");
  OutputFile file(path.path());
  SegmentWriter segments(&file, 100);
  std::vector<std::byte> bytes(5000, std::byte{3});
  EXPECT_EQ(segments.add("a", bytes), 0);
  bytes.back() = std::byte{4};
  EXPECT_EQ(segments.add("b", bytes), 1);
  EXPECT_EQ(segments.add("c", bytes), 1);
  EXPECT_EQ(segments.shared_bytes(), 5000u);
  EXPECT_EQ(segments.segments()[0].offset, 4096u);
  EXPECT_EQ(segments.segments()[1].offset, 4096u * 3);
  EXPECT_EQ(segments.end(), 4096u * 3 + 5000);
}

}  // namespace
}  // namespace nbl::compiler
