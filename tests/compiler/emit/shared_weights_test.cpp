// Could break: a table that two ops need is stored twice, or weights that differ become one.
#include <gtest/gtest.h>

#include "compiler/inspect/inspect.h"
#include "rt/load.h"
#include "tests/support/quantized_llama.h"

namespace nbl::compiler {
namespace {

using test::QuantizedLlama;
using test::random_rows;

struct Loaded {
  explicit Loaded(test::AlignedBytes bytes) : file(std::move(bytes)) {
    Error error;
    char text[256] = "";
    const bool good = load(file.span(), &model, &error).ok();
    if (!good) describe(error, text, sizeof text);
    EXPECT_TRUE(good) << text;
    for (uint32_t i = 0; i < model.op_count(); ++i) {
      const Op op = model.op(i);
      const auto weight = static_cast<uint32_t>(op.inputs[1]);
      if (op.kind == OpKind::embedding_q4gsw) table = model.tensor(weight);
      if (op.name == "logits") head = model.tensor(weight);
    }
  }

  test::AlignedBytes file;
  Model model;
  Tensor table{};
  Tensor head{};
};

std::string report_of(const QuantizedLlama& llama) {
  EmitReport report;
  llama.file({}, 32, &report);
  std::string text;
  for (const SharedSegment& segment : report.shared)
    text += segment.name + " " + std::to_string(segment.readers.size()) + "\n";
  return text;
}

TEST(SharedWeights, are_one_segment_for_one_parameter) {
  QuantizedLlama llama;
  llama.embedding = random_rows(1, llama.vocab(), llama.dim(), 32);
  llama.head = llama.embedding;
  const Loaded loaded(llama.file());
  EXPECT_EQ(loaded.table.data, loaded.head.data);
  EXPECT_EQ(loaded.table.scales, loaded.head.scales);
  EXPECT_EQ(loaded.table.layout, Layout::q4_t16k8);
}

// As two quantizers leave them: equal values and scales, nibbles in opposite orders.
TEST(SharedWeights, are_one_segment_for_two_parameters_in_opposite_orders) {
  for (const bool pass : {true, false}) {
    for (const bool f32 : {true, false}) {
      QuantizedLlama llama;
      llama.embedding = random_rows(2, llama.vocab(), llama.dim(), 32, f32);
      llama.embedding->embedding_order = true;
      llama.head = std::make_shared<Q4Rows>(*llama.embedding);
      llama.head->embedding_order = false;
      const PassOptions options = {.disabled = pass ? std::vector<std::string>()
                                                    : std::vector<std::string>{"tie_weights"}};
      const Loaded loaded(llama.file(options));
      EXPECT_EQ(loaded.table.data, loaded.head.data);
      EXPECT_EQ(loaded.table.scales, loaded.head.scales);
      EXPECT_EQ(loaded.table.f32_scales, f32);
      EXPECT_EQ(report_of(llama), "token_embd.weight 2\ntoken_embd.weight.scales 2\n");
    }
  }
}

TEST(SharedWeights, share_nibbles_where_only_scales_differ) {
  QuantizedLlama llama;
  llama.embedding = random_rows(3, llama.vocab(), llama.dim(), 32);
  llama.embedding->embedding_order = true;
  llama.head = std::make_shared<Q4Rows>(*llama.embedding);
  llama.head->scales.back() *= 2;
  const Loaded loaded(llama.file());
  EXPECT_EQ(loaded.table.data, loaded.head.data);
  EXPECT_NE(loaded.table.scales, loaded.head.scales);
  EXPECT_EQ(report_of(llama), "token_embd.weight 2\n");
  const Sharing sharing = find_sharing(loaded.model);
  const auto nibbles = static_cast<uint32_t>(loaded.table.data);
  EXPECT_EQ(sharing.saved_bytes, loaded.model.segment(nibbles).size);
  EXPECT_EQ(sharing.segments[nibbles].readers.size(), 2u);
  EXPECT_NE(model_text(loaded.model)
                .find("token_embd.weight + output.weight, read by embedding, logits: "),
            std::string::npos);
}

// Scales of one kind in the table and of the other in the head are two segments of scales.
TEST(SharedWeights, share_nibbles_under_scales_of_two_types) {
  QuantizedLlama llama;
  llama.embedding = random_rows(4, llama.vocab(), llama.dim(), 32);
  llama.head = std::make_shared<Q4Rows>(*llama.embedding);
  for (float& scale : llama.head->scales)
    scale = std::nextafter(scale, 1.0f);
  const Loaded loaded(llama.file());
  EXPECT_EQ(loaded.table.data, loaded.head.data);
  EXPECT_FALSE(loaded.table.f32_scales);
  EXPECT_TRUE(loaded.head.f32_scales);
}

TEST(SharedWeights, are_two_segments_where_one_nibble_differs) {
  QuantizedLlama llama;
  llama.embedding = random_rows(5, llama.vocab(), llama.dim(), 32);
  llama.head = std::make_shared<Q4Rows>(*llama.embedding);
  int8_t& last = llama.head->values.back();
  last = last == 7 ? 6 : 7;
  for (const EmbeddingLayout layout : {EmbeddingLayout::automatic, EmbeddingLayout::tiled}) {
    const Loaded loaded(llama.file({.embedding_layout = layout}));
    EXPECT_NE(loaded.table.data, loaded.head.data);
  }
  // In tiles their scales are equal segments; a table in rows has its own.
  EXPECT_EQ(report_of(llama), "");
  const Loaded tiled(llama.file({.embedding_layout = EmbeddingLayout::tiled}));
  EXPECT_EQ(tiled.table.scales, tiled.head.scales);
}

TEST(SharedWeights, are_stored_twice_where_the_table_is_to_lie_in_rows) {
  QuantizedLlama llama;
  llama.embedding = random_rows(6, llama.vocab(), llama.dim(), 32);
  llama.head = llama.embedding;
  const Loaded loaded(llama.file({.embedding_layout = EmbeddingLayout::embedding}));
  EXPECT_NE(loaded.table.data, loaded.head.data);
  EXPECT_EQ(loaded.table.layout, Layout::q4_rows_embedding);
  EXPECT_EQ(find_sharing(loaded.model).saved_bytes, 0u);
}

// One scale a row, as a vector of scales means.
TEST(SharedWeights, may_have_one_scale_a_row) {
  for (const uint32_t group : {96u, 4096u}) {
    QuantizedLlama llama;
    llama.embedding = random_rows(7, llama.vocab(), llama.dim(), group);
    llama.head = llama.embedding;
    const Loaded loaded(llama.file());
    EXPECT_EQ(loaded.table.group_size, 32u);  // 4096 holds whole rows: any size will do
    EXPECT_EQ(loaded.table.data, loaded.head.data);
  }
}

}  // namespace
}  // namespace nbl::compiler
