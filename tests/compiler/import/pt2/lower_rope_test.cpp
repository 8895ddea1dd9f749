// Could break: a spelling of the rotary embedding that is not seen, the wrong convention, or a
// table that only looks like one.
#include <gtest/gtest.h>

#include <cmath>

#include "compiler/arch/rope_table.h"
#include "tests/support/pt2_builder.h"

namespace nbl::test {
namespace {

constexpr int64_t kHeads = 2;
constexpr int64_t kDim = 8;
constexpr int64_t kPositions = 16;

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

double frequency(int64_t pair, int64_t rotary_dim) {
  return std::pow(10000.0, -2.0 * static_cast<double>(pair) / static_cast<double>(rotary_dim));
}

// cos or sin of position * frequency: [kPositions, columns], column i being of pair i % pairs.
std::string table(Pt2Builder& net, const std::string& name, bool sine, int64_t columns,
                  int64_t rotary_dim, double scale = 1) {
  std::vector<float> values;
  for (int64_t p = 0; p < kPositions; ++p) {
    for (int64_t i = 0; i < columns; ++i) {
      const double angle = static_cast<double>(p) * frequency(i % (rotary_dim / 2), rotary_dim);
      values.push_back(static_cast<float>(scale * (sine ? std::sin(angle) : std::cos(angle))));
    }
  }
  return net.floats(name, {kPositions, columns}, values);
}

// Rows of a table at the positions of the tokens: [1, T, 1, columns].
std::string rows(Pt2Builder& net, const std::string& values) {
  const std::string picked = net.aten("index.Tensor", values, {{"indices", tensors({"range"})}});
  return net.aten("unsqueeze.default", net.aten("unsqueeze.default", picked, {{"dim", of(0)}}),
                  {{"dim", of(2)}});
}

// x of the tokens as heads: [1, T, kHeads, kDim].
std::string heads(Pt2Builder& net) {
  net.call("torch.ops.aten.arange.default", {{"end", of("length")}}, {"range"});
  const std::string x = net.embed(kHeads * kDim);
  return net.aten("view.default", x, {{"size", sizes({1, "length", kHeads, kDim})}});
}

std::string columns(Pt2Builder& net, const std::string& x, int64_t start, int64_t end) {
  return net.aten("slice.Tensor", x, {{"dim", of(-1)}, {"start", of(start)}, {"end", of(end)}});
}

std::string times(Pt2Builder& net, const std::string& a, const std::string& b) {
  return net.aten("mul.Tensor", a, {{"other", of(b)}});
}

std::string plus(Pt2Builder& net, const std::string& a, const std::string& b) {
  return net.aten("add.Tensor", a, {{"other", of(b)}});
}

std::string minus(Pt2Builder& net, const std::string& a, const std::string& b) {
  return net.aten("sub.Tensor", a, {{"other", of(b)}});
}

std::string join(Pt2Builder& net, const std::string& a, const std::string& b) {
  return net.call("torch.ops.aten.cat.default", {{"tensors", tensors({a, b})}, {"dim", of(-1)}});
}

// x cos + rotate_half(x) sin over all columns of x.
std::string rotate_half(Pt2Builder& net, const std::string& x, int64_t dim,
                        const std::string& cosine, const std::string& sine) {
  const std::string turned = join(net, net.aten("neg.default", columns(net, x, dim / 2, dim)),
                                  columns(net, x, 0, dim / 2));
  return plus(net, times(net, x, cosine), times(net, turned, sine));
}

std::string flat(Pt2Builder& net, const std::string& x) {
  return net.aten("reshape.default", x, {{"shape", sizes({1, "length", kHeads * kDim})}});
}

const pt2::LowerOptions kOptions = {.context = kPositions};

// The rotation in the graph, and its table as the compiler's own of the same frequencies.
void expect_rope(Pt2Builder& net, const std::string& y, const std::string& attributes,
                 int64_t rotary_dim) {
  const pt2::Lowered result = pt2::lower(net.finish(flat(net, y), kHeads * kDim), kOptions);
  const std::string graph = compiler::dump(result.graph);
  EXPECT_EQ(compiler::verify(result.graph), "");
  EXPECT_TRUE(has(graph, "rope(embed, rope_table) heads=2 head_dim=8 " + attributes + "\n"))
      << graph;
  ASSERT_EQ(result.graph.ops[1].kind, OpKind::rope);
  std::vector<double> frequencies;
  for (int64_t i = 0; i < rotary_dim / 2; ++i)
    frequencies.push_back(frequency(i, rotary_dim));
  const std::vector<float> expected = compiler::rope_table(frequencies, kPositions);
  const auto& values = result.graph.tensor(result.graph.ops[1].inputs[1]).constant->values;
  ASSERT_EQ(values.size(), expected.size());
  for (size_t i = 0; i < values.size(); ++i)
    EXPECT_NEAR(values[i], expected[i], 1e-6) << i;
}

TEST(LowerRope, sees_rotated_halves) {
  Pt2Builder net;
  const std::string x = heads(net);
  const std::string cosine = rows(net, table(net, "cos", false, kDim, kDim));
  const std::string sine = rows(net, table(net, "sin", true, kDim, kDim));
  expect_rope(net, rotate_half(net, x, kDim, cosine, sine), "rotary_dim=8 rope_half", kDim);
}

TEST(LowerRope, sees_halves_written_out) {
  Pt2Builder net;
  const std::string x = heads(net);
  const std::string cosine = rows(net, table(net, "cos", false, kDim / 2, kDim));
  const std::string sine = rows(net, table(net, "sin", true, kDim / 2, kDim));
  const std::string a = columns(net, x, 0, 4);
  const std::string b = columns(net, x, 4, 8);
  const std::string y = join(net, minus(net, times(net, a, cosine), times(net, b, sine)),
                             plus(net, times(net, b, cosine), times(net, a, sine)));
  expect_rope(net, y, "rotary_dim=8 rope_half", kDim);
}

TEST(LowerRope, sees_interleaved_pairs) {
  Pt2Builder net;
  const std::string x = heads(net);
  const std::string cosine = rows(net, table(net, "cos", false, kDim / 2, kDim));
  const std::string sine = rows(net, table(net, "sin", true, kDim / 2, kDim));
  const std::string pairs =
      net.aten("reshape.default", x, {{"shape", sizes({1, "length", kHeads, -1, 2})}});
  net.call("torch.ops.aten.unbind.int", {{"self", of(pairs)}, {"dim", of(-1)}}, {"a", "b"});
  const std::string even = minus(net, times(net, "a", cosine), times(net, "b", sine));
  const std::string odd = plus(net, times(net, "a", sine), times(net, "b", cosine));
  const std::string both = net.call("torch.ops.aten.stack.default",
                                    {{"tensors", tensors({even, odd})}, {"dim", of(-1)}});
  const std::string y = net.aten("flatten.using_ints", both, {{"start_dim", of(3)}});
  expect_rope(net, y, "rotary_dim=8", kDim);
}

TEST(LowerRope, sees_complex_products) {
  Pt2Builder net;
  const std::string x = heads(net);
  std::vector<float> angles;
  for (int64_t p = 0; p < kPositions; ++p) {
    for (int64_t i = 0; i < kDim / 2; ++i)
      angles.push_back(static_cast<float>(static_cast<double>(p) * frequency(i, kDim)));
  }
  const std::string angle = rows(net, net.floats("angles", {kPositions, kDim / 2}, angles));
  const std::string one = net.aten("ones_like.default", angle);
  const std::string turns =
      net.call("torch.ops.aten.polar.default", {{"abs", of(one)}, {"angle", of(angle)}});
  const std::string pairs =
      net.aten("view_as_complex.default",
               net.aten("reshape.default", x, {{"shape", sizes({1, "length", kHeads, -1, 2})}}));
  const std::string y =
      net.aten("flatten.using_ints", net.aten("view_as_real.default", times(net, pairs, turns)),
               {{"start_dim", of(3)}});
  expect_rope(net, y, "rotary_dim=8", kDim);
}

TEST(LowerRope, lets_the_rest_of_a_head_pass) {
  Pt2Builder net;
  const std::string x = heads(net);
  const std::string cosine = rows(net, table(net, "cos", false, 4, 4));
  const std::string sine = rows(net, table(net, "sin", true, 4, 4));
  const std::string turned = rotate_half(net, columns(net, x, 0, 4), 4, cosine, sine);
  expect_rope(net, join(net, turned, columns(net, x, 4, 8)), "rotary_dim=4 rope_half", 4);
}

TEST(LowerRope, keeps_a_factor_on_the_table) {
  Pt2Builder net;
  const std::string x = heads(net);
  const std::string cosine = rows(net, table(net, "cos", false, kDim, kDim, 1.25));
  const std::string sine = rows(net, table(net, "sin", true, kDim, kDim, 1.25));
  const std::string y = flat(net, rotate_half(net, x, kDim, cosine, sine));
  const pt2::Lowered result = pt2::lower(net.finish(y, kHeads * kDim), kOptions);
  ASSERT_EQ(result.graph.ops[2].kind, OpKind::elementwise);
  const auto& factors = result.graph.tensor(result.graph.ops[2].inputs[1]).constant->values;
  for (const float factor : factors)
    EXPECT_NEAR(factor, 1.25f, 1e-6);
}

TEST(LowerRope, refuses_factors_that_turn_nothing) {
  Pt2Builder net;
  const std::string x = heads(net);
  const std::string cosine = rows(net, table(net, "cos", false, kDim, kDim));
  const std::string y = flat(net, times(net, x, cosine));
  EXPECT_TRUE(has(lower_error(net.finish(y, kHeads * kDim), kOptions), "no rotary embedding"));
}

TEST(LowerRope, refuses_a_table_that_is_no_cosine_at_one_position) {
  Pt2Builder net;
  const std::string x = heads(net);
  const std::string cosine = rows(net, table(net, "cos", false, kDim, kDim));
  std::vector<float> wrong;
  for (int64_t p = 0; p < kPositions; ++p) {
    for (int64_t i = 0; i < kDim; ++i) {
      const double angle = static_cast<double>(p) * frequency(i % 4, kDim);
      wrong.push_back(static_cast<float>(p == 11 && i % 4 == 2 ? 0.5 : std::sin(angle)));
    }
  }
  const std::string sine = rows(net, net.floats("sin", {kPositions, kDim}, wrong));
  const std::string y = flat(net, rotate_half(net, x, kDim, cosine, sine));
  const std::string error = lower_error(net.finish(y, kHeads * kDim), kOptions);
  EXPECT_TRUE(has(error, "not the cosine and sine")) << error;
}

TEST(LowerRope, ends_the_context_with_the_table) {
  Pt2Builder net(0, 64);
  const std::string x = heads(net);
  const std::string cosine = rows(net, table(net, "cos", false, kDim, kDim));
  const std::string sine = rows(net, table(net, "sin", true, kDim, kDim));
  const std::string y = flat(net, rotate_half(net, x, kDim, cosine, sine));
  EXPECT_EQ(pt2::lower(net.finish(y, kHeads * kDim), {}).context_limit, kPositions);
}

}  // namespace
}  // namespace nbl::test
