// Could break: a weight taken over that is no symmetric int4 in groups, one that is and is not
// taken over, or one that is stored more than once.
#include <gtest/gtest.h>

#include "compiler/quantize/q4_rows.h"
#include "tests/support/pt2_builder.h"

namespace nbl::test {
namespace {

constexpr int64_t kRows = 32;  // also the vocabulary
constexpr int64_t kColumns = 64;
constexpr int64_t kGroup = 32;

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// The arguments of torchao.dequantize_affine, to be spoiled one by one.
struct Affine {
  std::vector<int64_t> block = {1, kGroup};
  pt2::ScalarType type = pt2::ScalarType::int8;
  int64_t least = -8;
  int64_t most = 7;
  int8_t value = -8;
  int8_t zero = 0;
  int64_t groups = kColumns / kGroup;
};

std::string affine(Pt2Builder& net, const std::string& name, const Affine& how = {}) {
  const std::string values = net.bytes(name + ".qdata", {kRows, kColumns}, how.value);
  const std::string scale = net.floats(name + ".scale", {kRows, how.groups}, 0.125f);
  const std::string zero = net.bytes(name + ".zero_point", {kRows, how.groups}, how.zero);
  return net.call("torch.ops.torchao.dequantize_affine.default",
                  {{"input", of(values)},
                   {"block_size", sizes({how.block[0], how.block[1]})},
                   {"scale", of(scale)},
                   {"zero_point", of(zero)},
                   {"input_dtype", of(how.type)},
                   {"quant_min", of(how.least)},
                   {"quant_max", of(how.most)}});
}

std::string lookup(Pt2Builder& net, const std::string& table) {
  return net.call("torch.ops.aten.embedding.default",
                  {{"weight", of(table)}, {"indices", of("tokens")}});
}

std::string multiply(Pt2Builder& net, const std::string& x, const std::string& weight) {
  return net.call("torch.ops.aten.linear.default", {{"input", of(x)}, {"weight", of(weight)}});
}

// An embedding with the weight, and a head of floats.
pt2::Lowered with_table(const Affine& how) {
  Pt2Builder net;
  const std::string x = lookup(net, affine(net, "table.weight", how));
  return pt2::lower(net.finish(x, kColumns), {});
}

// The same as the weight of the head.
pt2::Lowered with_head(const Affine& how) {
  Pt2Builder net;
  const std::string x = net.embed(kColumns);
  return pt2::lower(net.returning(multiply(net, x, affine(net, "head.weight", how))), {});
}

const compiler::Q4Rows* rows_of_op(const pt2::Lowered& result, OpKind kind) {
  for (const compiler::GraphOp& op : result.graph.ops) {
    if (op.kind == kind) return result.graph.tensor(op.inputs[1]).constant->quantized.get();
  }
  return nullptr;
}

TEST(LowerQuantized, takes_affine_tables_and_weights_over) {
  for (const auto& [result, kind] : {std::pair(with_table({}), OpKind::embedding_q4gsw),
                                     std::pair(with_head({}), OpKind::linear_q4gsw)}) {
    const compiler::Q4Rows* rows = rows_of_op(result, kind);
    ASSERT_NE(rows, nullptr);
    EXPECT_EQ(rows->rows, kRows);
    EXPECT_EQ(rows->columns, kColumns);
    EXPECT_EQ(rows->group_size, kGroup);
    EXPECT_EQ(rows->values, std::vector<int8_t>(kRows * kColumns, -8));
    EXPECT_EQ(rows->scales, std::vector<float>(kRows * 2, 0.125f));
    EXPECT_FALSE(rows->embedding_order);
    EXPECT_TRUE(result.warnings.empty());
  }
}

void expect_not_taken(const Affine& how, const char* reason) {
  for (const auto& [result, kind] : {std::pair(with_table(how), OpKind::embedding_q4gsw),
                                     std::pair(with_head(how), OpKind::linear_q4gsw)}) {
    EXPECT_EQ(rows_of_op(result, kind), nullptr) << reason;
    ASSERT_EQ(result.warnings.size(), 1u) << reason;
    EXPECT_TRUE(has(result.warnings[0], reason)) << result.warnings[0];
    EXPECT_TRUE(has(result.warnings[0], "weight")) << result.warnings[0];
  }
}

TEST(LowerQuantized, does_not_take_another_range) {
  expect_not_taken({.least = -7}, "from -7 to 7");
  expect_not_taken({.most = 8}, "from -8 to 8");
}

TEST(LowerQuantized, does_not_take_another_type) {
  expect_not_taken({.type = pt2::ScalarType::uint8}, "quantized as uint8");
}

TEST(LowerQuantized, does_not_take_values_past_four_bits) {
  expect_not_taken({.value = 9}, "the value 9");
}

TEST(LowerQuantized, does_not_take_blocks_of_several_rows) {
  Affine how{.block = {2, kGroup}, .groups = 1};
  expect_not_taken(how, "blocks of [2, 32]");
}

TEST(LowerQuantized, does_not_take_zero_points) {
  expect_not_taken({.zero = 1}, "a zero point of 1");
}

TEST(LowerQuantized, does_not_take_groups_of_no_multiple_of_eight) {
  expect_not_taken({.block = {1, 4}, .groups = kColumns / 4}, "groups of 4");
}

TEST(LowerQuantized, refuses_groups_that_leave_a_part_of_one) {
  Pt2Builder net;
  const std::string x = lookup(net, affine(net, "table.weight", {.block = {1, 48}, .groups = 2}));
  const std::string error = lower_error(net.finish(x, kColumns));
  EXPECT_TRUE(has(error, "[1, 48]")) << error;
}

TEST(LowerQuantized, refuses_scales_of_another_count) {
  Pt2Builder net;
  const std::string x = lookup(net, affine(net, "table.weight", {.groups = 3}));
  const std::string error = lower_error(net.finish(x, kColumns));
  EXPECT_TRUE(has(error, "scales of sizes [32, 3]")) << error;
}

// What is not taken over is computed as the graph says.
TEST(LowerQuantized, dequantizes_what_it_does_not_take) {
  const pt2::Lowered result = with_table({.value = 3, .zero = 1});
  const compiler::Constant& table = *result.graph.tensor(result.graph.ops[0].inputs[1]).constant;
  EXPECT_EQ(compiler::constant_values(table), std::vector<float>(kRows * kColumns, 0.25f));
}

// The peers look at zero points only while they repack, which a tie makes them skip.
TEST(LowerQuantized, looks_at_zero_points_behind_a_tied_linear_too) {
  Pt2Builder net;
  const std::string x = net.embed(kColumns);
  const std::string values = net.bytes("tied.qdata", {kRows, kColumns}, 2);
  const std::string scale = net.floats("tied.scale", {kRows, 2}, 0.125f);
  const auto weight = [&](const std::string& zero) {
    return net.call("torch.ops.torchao.dequantize_affine.default",
                    {{"input", of(values)},
                     {"block_size", sizes({1, kGroup})},
                     {"scale", of(scale)},
                     {"zero_point", of(zero)},
                     {"input_dtype", of(pt2::ScalarType::int8)},
                     {"quant_min", of(-8)},
                     {"quant_max", of(7)}});
  };
  const std::string first = multiply(net, x, weight(net.bytes("zeros", {kRows, 2}, 0)));
  const std::string second = lookup(net, weight(net.bytes("ones", {kRows, 2}, 1)));
  const std::string widened = net.linear(first, "wide", kColumns, kRows);
  const std::string sum = net.aten("add.Tensor", second, {{"other", of(widened)}});
  const pt2::Lowered result = pt2::lower(net.finish(sum, kColumns), {});
  ASSERT_EQ(result.warnings.size(), 1u);
  EXPECT_TRUE(has(result.warnings[0], "a zero point of 1"));
  EXPECT_NE(rows_of_op(result, OpKind::linear_q4gsw), nullptr);
}

TEST(LowerQuantized, stores_a_truly_tied_weight_once) {
  Pt2Builder net;
  const std::string table = affine(net, "tied.weight");
  const std::string x = lookup(net, table);
  const pt2::Lowered result = pt2::lower(net.returning(multiply(net, x, table)), {});
  ASSERT_EQ(result.graph.ops.size(), 3u);
  EXPECT_EQ(result.graph.ops[0].inputs[1], result.graph.ops[1].inputs[1]);
  EXPECT_EQ(result.graph.tensor(result.graph.ops[0].inputs[1]).name, "tied.weight");
}

TEST(LowerQuantized, stores_the_table_of_two_lookups_once) {
  Pt2Builder net;
  const std::string table = affine(net, "table.weight");
  const std::string again = net.aten("view.default", "tokens", {{"size", sizes({"length"})}});
  const std::string flat =
      net.call("torch.ops.aten.embedding.default", {{"weight", of(table)}, {"indices", of(again)}});
  const std::string x = lookup(net, table);
  const std::string y = net.linear(x, "one", kColumns, kColumns);
  const std::string sum = net.aten("add.Tensor", y, {{"other", of(flat)}});
  const pt2::Lowered result = pt2::lower(net.finish(sum, kColumns), {});
  size_t tables = 0;
  for (const compiler::GraphTensor& tensor : result.graph.tensors)
    tables += tensor.name == "table.weight" ? 1 : 0;
  EXPECT_EQ(tables, 1u);
}

std::string group(Pt2Builder& net, const std::string& name) {
  const std::string values = net.bytes(name + ".values", {kRows, kColumns}, 3);
  const std::string scales = net.floats(name + ".scales", {kRows, 2}, 0.125f);
  return net.call("torch.ops.quantized_decomposed.dequantize_per_channel_group.default",
                  {{"input", of(values)},
                   {"scales", of(scales)},
                   {"zero_points", pt2::None{}},
                   {"quant_min", of(-8)},
                   {"quant_max", of(7)},
                   {"dtype", of(pt2::ScalarType::int8)},
                   {"group_size", of(kGroup)},
                   {"output_dtype", of(pt2::ScalarType::float32)}});
}

TEST(LowerQuantized, takes_per_channel_groups_transposed_or_not) {
  for (const bool product : {false, true}) {
    Pt2Builder net;
    const std::string x = net.embed(kColumns);
    const std::string weight = group(net, "head");
    const std::string flat = net.aten("view.default", x, {{"size", sizes({"length", kColumns})}});
    const std::string logits =
        product
            ? net.aten(
                  "mm.default", flat,
                  {{"mat2", of(net.aten("permute.default", weight, {{"dims", sizes({1, 0})}}))}})
            : multiply(net, x, weight);
    const pt2::Lowered result = pt2::lower(net.returning(logits), {});
    ASSERT_NE(rows_of_op(result, OpKind::linear_q4gsw), nullptr) << product;
  }
}

std::string packed_lookup(Pt2Builder& net, int64_t groups, bool vector, int64_t least = -8) {
  // Even columns are 1, odd ones -8.
  const std::string packed =
      net.constant("table.weight", pt2::ScalarType::uint8, {kRows, kColumns / 2},
                   std::vector<uint8_t>(kRows * kColumns / 2, 0x90));
  const std::vector<int64_t> shape =
      vector ? std::vector<int64_t>{kRows} : std::vector<int64_t>{kRows, groups};
  const std::string scales = net.floats("table.scales", shape, 0.5f);
  return net.call("torch.ops.quantized_decomposed.embedding_4bit.dtype",
                  {{"weight", of(packed)},
                   {"weight_scales", of(scales)},
                   {"weight_zero_points", pt2::None{}},
                   {"weight_quant_min", of(least)},
                   {"weight_quant_max", of(7)},
                   {"indices", of("tokens")},
                   {"dtype", of(pt2::ScalarType::float32)}});
}

TEST(LowerQuantized, unpacks_pairs_with_the_even_column_high) {
  for (const bool vector : {false, true}) {
    Pt2Builder net;
    const std::string x = packed_lookup(net, 2, vector);
    const pt2::Lowered result = pt2::lower(net.finish(x, kColumns), {});
    const compiler::Q4Rows* rows = rows_of_op(result, OpKind::embedding_q4gsw);
    ASSERT_NE(rows, nullptr);
    EXPECT_TRUE(rows->embedding_order);
    EXPECT_EQ(rows->group_size, vector ? kColumns : kGroup);
    for (size_t i = 0; i < rows->values.size(); ++i)
      ASSERT_EQ(rows->values[i], i % 2 == 0 ? 1 : -8);
  }
}

TEST(LowerQuantized, refuses_pairs_of_another_range) {
  Pt2Builder net;
  const std::string error = lower_error(net.finish(packed_lookup(net, 2, false, 0), kColumns));
  EXPECT_TRUE(has(error, "from 0 to 7")) << error;
}

TEST(LowerQuantized, refuses_to_read_one_constant_in_two_layouts) {
  Pt2Builder net;
  const std::string x = packed_lookup(net, 2, false);
  const std::string scale = net.floats("other.scale", {kRows, 2}, 0.125f);
  const std::string weight = net.call("torch.ops.torchao.dequantize_affine.default",
                                      {{"input", of("b_table_weight")},
                                       {"block_size", sizes({1, 16})},
                                       {"scale", of(scale)},
                                       {"zero_point", pt2::None{}},
                                       {"input_dtype", of(pt2::ScalarType::uint8)},
                                       {"quant_min", of(0)},
                                       {"quant_max", of(255)}});
  const std::string half =
      net.aten("slice.Tensor", x, {{"dim", of(2)}, {"start", of(0)}, {"end", of(32)}});
  const std::string error = lower_error(net.returning(multiply(net, half, weight)));
  EXPECT_TRUE(has(error, "table.weight")) << error;
  EXPECT_TRUE(has(error, "pairs of 4-bit values")) << error;
}

// 8da4w: rows of x by way of int8.
std::string int8_rows(Pt2Builder& net, const std::string& x, const char* mapping, int64_t block,
                      int64_t least = -128) {
  net.call("torch.ops.torchao.choose_qparams_affine.default",
           {{"input", of(x)},
            {"mapping_type", text(mapping)},
            {"block_size", sizes({1, 1, block})},
            {"target_dtype", of(pt2::ScalarType::int8)},
            {"quant_min", of(least)},
            {"quant_max", of(127)}},
           {"scale", "zero"});
  const auto by_rows = [&](const char* op, const std::string& input) {
    return net.call(std::string("torch.ops.torchao.") + op + ".default",
                    {{"input", of(input)},
                     {"block_size", sizes({1, 1, block})},
                     {"scale", of("scale")},
                     {"zero_point", of("zero")},
                     {op[0] == 'q' ? "output_dtype" : "input_dtype", of(pt2::ScalarType::int8)},
                     {"quant_min", of(least)},
                     {"quant_max", of(127)}});
  };
  return by_rows("dequantize_affine", by_rows("quantize_affine", x));
}

TEST(LowerQuantized, takes_int8_activations_into_the_linear) {
  Pt2Builder net;
  const std::string x = int8_rows(net, net.embed(kColumns), "ASYMMETRIC", kColumns);
  const std::string graph = lowered(net.returning(multiply(net, x, affine(net, "head.weight"))));
  EXPECT_TRUE(has(graph, "linear_dq8ca_q4gsw(embed, head.weight)")) << graph;
}

TEST(LowerQuantized, refuses_other_int8_activations) {
  const auto error = [](const char* mapping, int64_t block, int64_t least) {
    Pt2Builder net;
    const std::string x = int8_rows(net, net.embed(kColumns), mapping, block, least);
    return lower_error(net.returning(multiply(net, x, affine(net, "head.weight"))));
  };
  EXPECT_TRUE(has(error("SYMMETRIC", kColumns, -128), "symmetrically"));
  EXPECT_TRUE(has(error("ASYMMETRIC", 32, -128), "blocks of [1, 1, 32]"));
  EXPECT_TRUE(has(error("ASYMMETRIC", kColumns, -127), "something else than int8"));
}

TEST(LowerQuantized, refuses_int8_activations_outside_a_linear) {
  Pt2Builder net;
  const std::string x = int8_rows(net, net.embed(kColumns), "ASYMMETRIC", kColumns);
  const std::string y = net.aten("silu.default", x);
  EXPECT_TRUE(has(lower_error(net.finish(y, kColumns)), "which only a linear reads"));
}

}  // namespace
}  // namespace nbl::test
