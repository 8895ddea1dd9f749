// Could break: a spelling of the RMS norm that is not seen, or one that is and is no norm.
#include <gtest/gtest.h>

#include "tests/support/pt2_builder.h"

namespace nbl::test {
namespace {

using testing::Test;

constexpr int64_t kWide = 8;

// rsqrt(mean(square) + eps) of x, `keep` being the mean's keepdim.
std::string inverse_root(Pt2Builder& net, const std::string& square) {
  const std::string mean =
      net.aten("mean.dim", square, {{"dim", sizes({-1})}, {"keepdim", of(true)}});
  const std::string sum = net.aten("add.Tensor", mean, {{"other", of(1e-5)}});
  return net.aten("rsqrt.default", sum);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const char* const kNormed =
    "embed [T, 8] = embedding_q4gsw(tokens, embed.weight)\n"
    "normed [T, 8] = rms_norm(embed, norm.weight) eps=1e-05\n"
    "head [T, 32] = linear_q4gsw(normed, head.weight) last_row\n"
    "sample(head)\n";

TEST(LowerNorm, takes_the_chain_of_pow_mean_and_rsqrt) {
  Pt2Builder net;
  const std::string x = net.embed(kWide);
  const std::string square = net.aten("pow.Tensor_Scalar", x, {{"exponent", of(2)}});
  const std::string y = net.aten("mul.Tensor", x, {{"other", of(inverse_root(net, square))}});
  const std::string weight = net.floats("norm.weight", {kWide}, 0.25f);
  net.call("torch.ops.aten.mul.Tensor", {{"self", of(weight)}, {"other", of(y)}}, {"normed"});
  EXPECT_EQ(lowered(net.finish("normed", kWide)), kNormed);
}

TEST(LowerNorm, takes_the_product_of_x_and_x_for_its_square) {
  Pt2Builder net;
  const std::string x = net.embed(kWide);
  const std::string square = net.aten("mul.Tensor", x, {{"other", of(x)}});
  const std::string y = net.aten("mul.Tensor", x, {{"other", of(inverse_root(net, square))}});
  const std::string weight = net.floats("norm.weight", {kWide}, 0.25f);
  net.call("torch.ops.aten.mul.Tensor", {{"self", of(y)}, {"other", of(weight)}}, {"normed"});
  EXPECT_EQ(lowered(net.finish("normed", kWide)), kNormed);
}

TEST(LowerNorm, takes_a_quotient_by_the_root) {
  Pt2Builder net;
  const std::string x = net.embed(kWide);
  const std::string square = net.aten("square.default", x);
  const std::string mean =
      net.aten("mean.dim", square, {{"dim", sizes({-1})}, {"keepdim", of(true)}});
  const std::string root =
      net.aten("sqrt.default", net.aten("add.Tensor", mean, {{"other", of(1e-5)}}));
  const std::string y = net.aten("div.Tensor", x, {{"other", of(root)}});
  const std::string weight = net.floats("norm.weight", {kWide}, 0.25f);
  net.call("torch.ops.aten.mul.Tensor", {{"self", of(y)}, {"other", of(weight)}}, {"normed"});
  EXPECT_EQ(lowered(net.finish("normed", kWide)), kNormed);
}

TEST(LowerNorm, takes_the_op) {
  Pt2Builder net;
  const std::string x = net.embed(kWide);
  const std::string weight = net.floats("norm.weight", {kWide}, 0.25f);
  net.call("torch.ops.aten.rms_norm.default",
           {{"input", of(x)},
            {"normalized_shape", sizes({kWide})},
            {"weight", of(weight)},
            {"eps", of(1e-5)}},
           {"normed"});
  EXPECT_EQ(lowered(net.finish("normed", kWide)), kNormed);
}

TEST(LowerNorm, normalizes_heads_on_their_own) {
  Pt2Builder net;
  const std::string x = net.embed(kWide);
  const std::string heads = net.aten("view.default", x, {{"size", sizes({1, "length", 2, 4})}});
  const std::string weight = net.floats("norm.weight", {4}, 0.25f);
  const std::string y =
      net.call("torch.ops.aten.rms_norm.default", {{"input", of(heads)},
                                                   {"normalized_shape", sizes({4})},
                                                   {"weight", of(weight)},
                                                   {"eps", of(1e-5)}});
  const std::string flat = net.aten("view.default", y, {{"size", sizes({1, "length", kWide})}});
  const std::string graph = lowered(net.finish(flat, kWide));
  EXPECT_TRUE(has(graph, "rms_norm(embed, norm.weight) eps=1e-05 heads=2")) << graph;
}

// Gemma's weight is an offset from one.
TEST(LowerNorm, folds_what_is_computed_of_the_weight) {
  Pt2Builder net;
  const std::string x = net.embed(kWide);
  const std::string y = net.aten(
      "mul.Tensor", x,
      {{"other", of(inverse_root(net, net.aten("pow.Tensor_Scalar", x, {{"exponent", of(2)}})))}});
  const std::string weight =
      net.aten("add.Tensor", net.floats("norm.weight", {kWide}, 0.25f), {{"other", of(1.0)}});
  const std::string normed = net.aten("mul.Tensor", y, {{"other", of(weight)}});
  const pt2::Lowered result = pt2::lower(net.finish(normed, kWide), {});
  ASSERT_EQ(result.graph.ops[1].kind, OpKind::rms_norm);
  const auto& gain = result.graph.tensor(result.graph.ops[1].inputs[1]).constant->values;
  EXPECT_EQ(gain, std::vector<float>(kWide, 1.25f));
}

// x f is normalized as x is, under an epsilon that shrinks by f^2.
TEST(LowerNorm, takes_a_factor_on_its_operand_into_the_epsilon) {
  Pt2Builder net;
  const std::string x = net.aten("mul.Tensor", net.embed(kWide), {{"other", of(4.0)}});
  const std::string square = net.aten("pow.Tensor_Scalar", x, {{"exponent", of(2)}});
  const std::string y = net.aten("mul.Tensor", x, {{"other", of(inverse_root(net, square))}});
  const pt2::Lowered result = pt2::lower(net.finish(y, kWide), {});
  ASSERT_EQ(result.graph.ops[1].kind, OpKind::rms_norm);
  EXPECT_FLOAT_EQ(result.graph.ops[1].eps, 1e-5f / 16);
  EXPECT_EQ(result.graph.ops.size(), 4u);
}

TEST(LowerNorm, refuses_a_mean_that_is_none_of_squares) {
  Pt2Builder net;
  const std::string x = net.embed(kWide);
  const std::string mean = net.aten("mean.dim", x, {{"dim", sizes({-1})}, {"keepdim", of(true)}});
  const std::string y = net.aten("mul.Tensor", x, {{"other", of(mean)}});
  EXPECT_TRUE(has(lower_error(net.finish(y, kWide)), "not one of squares"));
}

TEST(LowerNorm, refuses_the_mean_of_another_tensor) {
  Pt2Builder net;
  const std::string x = net.embed(kWide);
  const std::string other = net.linear(x, "other", kWide, kWide);
  const std::string square = net.aten("pow.Tensor_Scalar", other, {{"exponent", of(2)}});
  const std::string y = net.aten("mul.Tensor", x, {{"other", of(inverse_root(net, square))}});
  EXPECT_TRUE(has(lower_error(net.finish(y, kWide)), "another tensor"));
}

}  // namespace
}  // namespace nbl::test
