// What could break: a function at the ends of its range, where it cancels, or far out; a second
// operand that repeats in the wrong place; padding, rows past the live tokens, the folded grid.
#include "rt/kernels/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "spirv/elementwise.push.h"
#include "tests/support/gpu.h"
#include "tests/support/interpreter.h"
#include "tests/support/q4.h"
#include "tests/support/rows.h"

namespace nbl::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> run(Gpu* gpu, const Caps& caps, const ElementwiseArgs& args, uint32_t live,
                       const std::vector<uint32_t>& a, const std::vector<uint32_t>& b) {
  std::vector<uint32_t> out(size_t{args.tokens} * row_stride(args.columns), kPoison);
  KernelCall call;
  EXPECT_TRUE(call_elementwise(caps, args, &call, nullptr).ok());
  EXPECT_EQ(gpu->run(call, {reads(step_words(3, live)), reads(a), reads(b), writes(out)}), "");
  return live_rows(out, live, args.columns);
}

// f of each value, in one row.
std::vector<float> map(Gpu* gpu, uint32_t function, const std::vector<float>& values) {
  const uint32_t columns = static_cast<uint32_t>(values.size());
  const ElementwiseArgs args{
      .tokens = 1, .columns = columns, .function = function, .operand = OPERAND_SCALAR, .alpha = 0};
  const auto words = activation_words(values, 1, columns);
  return run(gpu, gpu->floor_of_caps(), args, 1, words, words);
}

std::string_view name_of(uint32_t function) {
  return kFunctionNames[function];
}

// From -20 to 20, finer near 0.
std::vector<float> sweep() {
  std::vector<float> values;
  for (int i = -4000; i <= 4000; ++i)
    values.push_back(static_cast<float>(i) / 200);
  for (int i = -4000; i <= 4000; ++i)
    values.push_back(static_cast<float>(i) * static_cast<float>(std::abs(i)) / 8e6f);
  return values;
}

struct Bound {
  uint32_t function;
  double absolute, relative;
};

// A float is right to 6e-8 of itself. exp() may be off by (3 + 2 |x|) units in the last place
// (Vulkan specification, precision of GLSL.std.450), 43 of them at 20; a division by 2.5. erfc's
// formula is off by 1.5e-7, times |x| / 2 with x up to 3 where it counts.
constexpr Bound kBounds[] = {
    {FUNCTION_SIGMOID, 1e-38, 5e-6}, {FUNCTION_SILU, 1e-37, 5e-6},
    {FUNCTION_GELU, 5e-7, 3e-7},     {FUNCTION_GELU_TANH, 5e-7, 3e-7},
    {FUNCTION_TANH, 1e-38, 1e-6},    {FUNCTION_EXP, 1e-38, 5e-6},
    {FUNCTION_RELU, 0, 0},           {FUNCTION_NEG, 0, 0},
    {FUNCTION_SQUARE, 1e-38, 1e-7},
};

TEST(Elementwise, matches_float64_from_minus_20_to_20) {
  NBL_REQUIRE_GPU(gpu);
  const std::vector<float> values = sweep();
  for (const Bound& bound : kBounds) {
    const auto got = map(gpu, bound.function, values);
    ASSERT_EQ(got.size(), values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      const double x = static_cast<double>(values[i]);
      const double want = function_of(name_of(bound.function), x, 0);
      ASSERT_NEAR(static_cast<double>(got[i]), want,
                  bound.absolute + bound.relative * std::abs(want))
          << name_of(bound.function) << " of " << x;
    }
  }
}

TEST(Elementwise, has_erf_to_2e_6) {
  NBL_REQUIRE_GPU(gpu);
  const std::vector<float> values = sweep();
  const auto got = map(gpu, FUNCTION_GELU, values);
  for (size_t i = 0; i < values.size(); ++i) {
    const double x = static_cast<double>(values[i]);
    if (std::abs(x) < 1e-3) continue;
    const double erf = 2 * static_cast<double>(got[i]) / x - 1;
    ASSERT_NEAR(erf, std::erf(x / std::sqrt(2.0)), 2e-6) << "gelu of " << x;
  }
}

TEST(Elementwise, takes_roots_and_reciprocals) {
  NBL_REQUIRE_GPU(gpu);
  std::vector<float> values;
  for (int e = -100; e <= 100; e += 5) {
    for (const float m : {1.0f, 1.3f, 1.9f})
      values.push_back(std::ldexp(m, e));
  }
  for (const uint32_t function : {FUNCTION_SQRT, FUNCTION_RSQRT, FUNCTION_RECIPROCAL}) {
    const auto got = map(gpu, function, values);
    for (size_t i = 0; i < values.size(); ++i) {
      const double want = function_of(name_of(function), static_cast<double>(values[i]), 0);
      ASSERT_NEAR(static_cast<double>(got[i]), want, 5e-7 * want)
          << name_of(function) << " of " << values[i];
    }
  }
}

// The limit of each function at the ends, where exp() or a cube overflows on the way.
TEST(Elementwise, has_the_limits_of_its_functions) {
  NBL_REQUIRE_GPU(gpu);
  const std::vector<float> huge = {88, 89, 200, 1e4f, 1e13f, 1e20f, 1e38f, 3.4e38f, kInfinity};
  for (const float x : huge) {
    for (const uint32_t function :
         {FUNCTION_SILU, FUNCTION_GELU, FUNCTION_GELU_TANH, FUNCTION_RELU}) {
      const auto got = map(gpu, function, {x, -x});
      EXPECT_EQ(got[0], x) << name_of(function);
      EXPECT_NEAR(got[1], 0, 1e-30) << name_of(function) << " of " << -x;
    }
    const auto sigmoid = map(gpu, FUNCTION_SIGMOID, {x, -x});
    EXPECT_EQ(sigmoid[0], 1);
    EXPECT_NEAR(sigmoid[1], 0, 1e-30);
    const auto tanh = map(gpu, FUNCTION_TANH, {x, -x});
    EXPECT_EQ(tanh[0], 1);
    EXPECT_EQ(tanh[1], -1);
    const auto exp = map(gpu, FUNCTION_EXP, {x, -x});
    EXPECT_TRUE(exp[0] == kInfinity || x == 88);
    EXPECT_NEAR(exp[1], 0, 1e-30);
  }
}

TEST(Elementwise, keeps_ieee_where_a_function_has_no_value) {
  NBL_REQUIRE_GPU(gpu);
  const std::vector<float> roots = map(gpu, FUNCTION_RSQRT, {0, -1, kInfinity, 4});
  EXPECT_EQ(roots[0], kInfinity);
  EXPECT_TRUE(std::isnan(roots[1]));
  EXPECT_EQ(roots[2], 0);
  EXPECT_EQ(roots[3], 0.5f);
  EXPECT_TRUE(std::isnan(map(gpu, FUNCTION_SQRT, {-1})[0]));
  const std::vector<float> parts = map(gpu, FUNCTION_RECIPROCAL, {0, -0.0f, kInfinity});
  EXPECT_EQ(parts, (std::vector<float>{kInfinity, -kInfinity, 0}));
  for (uint32_t function = FUNCTION_SIGMOID; function <= FUNCTION_RECIPROCAL; ++function) {
    EXPECT_TRUE(std::isnan(map(gpu, function, {1, kNan})[1])) << name_of(function);
  }
}

TEST(Elementwise, divides_by_zero_as_ieee_does) {
  NBL_REQUIRE_GPU(gpu);
  const std::vector<float> a = {1, -1, 0, 3}, b = {0, 0, 0, 2};
  const ElementwiseArgs args{
      .tokens = 1, .columns = 4, .function = FUNCTION_DIV, .operand = OPERAND_SAME};
  const auto got =
      run(gpu, gpu->floor_of_caps(), args, 1, activation_words(a, 1, 4), activation_words(b, 1, 4));
  EXPECT_EQ(got[0], kInfinity);
  EXPECT_EQ(got[1], -kInfinity);
  EXPECT_TRUE(std::isnan(got[2]));
  EXPECT_EQ(got[3], 1.5f);
}

struct Shape {
  uint32_t tokens, live, columns;
};
constexpr Shape kShapes[] = {{1, 1, 1},  {5, 3, 2},   {17, 17, 3}, {3, 2, 31},
                             {5, 5, 32}, {17, 1, 33}, {7, 6, 97},  {4, 3, 576}};

// One of the forms of b: its columns, and whether it has a row a token.
void expect_binary(Gpu* gpu, const Caps& caps, const Shape& shape, uint32_t b_columns, bool b_rows,
                   float alpha) {
  Random random(shape.columns * 64 + b_columns);
  const auto a = random.normals(size_t{shape.tokens} * shape.columns);
  const auto b = random.normals(size_t{b_rows ? shape.tokens : 1} * b_columns);
  const auto a_words = activation_words(a, shape.tokens, shape.columns);
  const auto b_words = activation_words(b, b_rows ? shape.tokens : 1, b_columns);
  const bool same = b_rows && b_columns == shape.columns;
  for (uint32_t function = FUNCTION_ADD; function <= FUNCTION_DIV; ++function) {
    const ElementwiseArgs args{.tokens = shape.tokens,
                               .columns = shape.columns,
                               .function = function,
                               .operand = same ? OPERAND_SAME : OPERAND_REPEAT,
                               .b_columns = b_columns,
                               .b_rows = b_rows,
                               .alpha = alpha};
    const auto got = run(gpu, caps, args, shape.live, a_words, b_words);
    ASSERT_EQ(got.size(), size_t{shape.live} * shape.columns);
    const double factor = function <= FUNCTION_SUB ? static_cast<double>(alpha) : 1;
    for (size_t i = 0; i < got.size(); ++i) {
      const size_t t = i / shape.columns, c = i % shape.columns;
      const double x = static_cast<double>(a[i]);
      const double y =
          factor * static_cast<double>(b[(b_rows ? t * b_columns : 0) + c % b_columns]);
      const double want = function_of(name_of(function), x, y);
      // Two roundings, of a sum that may cancel.
      ASSERT_NEAR(
          static_cast<double>(got[i]), want,
          4e-7 * (std::abs(want) + (function <= FUNCTION_SUB ? std::abs(x) + std::abs(y) : 0)))
          << name_of(function) << " at row " << t << ", column " << c << " of " << shape.columns;
    }
  }
}

TEST(Elementwise, takes_a_second_operand_of_every_form) {
  NBL_REQUIRE_GPU(gpu);
  Caps narrow = gpu->floor_of_caps();
  narrow.max_grid[0] = narrow.max_grid[1] = 9;
  for (const Caps& caps : {gpu->caps(), narrow}) {
    for (const Shape& shape : kShapes) {
      expect_binary(gpu, caps, shape, shape.columns, true, 1);
      expect_binary(gpu, caps, shape, shape.columns, true, -0.75f);
      expect_binary(gpu, caps, shape, 1, true, 2.5f);
      for (uint32_t repeat = 1; repeat <= shape.columns; ++repeat) {
        if (shape.columns % repeat == 0 && (repeat < 12 || repeat > shape.columns / 4))
          expect_binary(gpu, caps, shape, repeat, false, 3);
      }
    }
  }
}

TEST(Elementwise, takes_a_scalar) {
  NBL_REQUIRE_GPU(gpu);
  const std::vector<float> a = {1, -2, 0, 7, 100};
  const auto words = activation_words(a, 1, 5);
  const auto with = [&](uint32_t function, float alpha) {
    const ElementwiseArgs args{
        .tokens = 1, .columns = 5, .function = function, .operand = OPERAND_SCALAR, .alpha = alpha};
    return run(gpu, gpu->floor_of_caps(), args, 1, words, words);
  };
  EXPECT_EQ(with(FUNCTION_ADD, 3), (std::vector<float>{4, 1, 3, 10, 103}));
  EXPECT_EQ(with(FUNCTION_SUB, 3), (std::vector<float>{-2, -5, -3, 4, 97}));
  EXPECT_EQ(with(FUNCTION_MUL, -2), (std::vector<float>{-2, 4, 0, -14, -200}));
  EXPECT_EQ(with(FUNCTION_DIV, 4), (std::vector<float>{0.25f, -0.5f, 0, 1.75f, 25}));
  EXPECT_EQ(with(FUNCTION_DIV, 0)[0], kInfinity);
}

TEST(Elementwise, adds_exactly) {
  NBL_REQUIRE_GPU(gpu);
  for (const Shape& shape : kShapes) {
    Random random(shape.columns);
    const auto a = random.normals(size_t{shape.tokens} * shape.columns);
    const auto b = random.normals(size_t{shape.tokens} * shape.columns);
    const ElementwiseArgs args{.tokens = shape.tokens,
                               .columns = shape.columns,
                               .function = FUNCTION_ADD,
                               .operand = OPERAND_SAME};
    const auto got =
        run(gpu, gpu->caps(), args, shape.live, activation_words(a, shape.tokens, shape.columns),
            activation_words(b, shape.tokens, shape.columns));
    for (size_t i = 0; i < got.size(); ++i)
      ASSERT_EQ(got[i], a[i] + b[i]) << "element " << i;
  }
}

// exp and one division: a few units in the last place.
TEST(Elementwise, gates_by_swiglu) {
  NBL_REQUIRE_GPU(gpu);
  for (const Shape& shape : kShapes) {
    Random random(shape.columns + 1);
    auto gate = random.normals(size_t{shape.tokens} * shape.columns);
    const auto up = random.normals(size_t{shape.tokens} * shape.columns);
    for (float& value : gate)
      value *= 4;
    gate[0] = -1e30f;
    const ElementwiseArgs args{.tokens = shape.tokens,
                               .columns = shape.columns,
                               .function = FUNCTION_SWIGLU,
                               .operand = OPERAND_SAME};
    const auto got =
        run(gpu, gpu->caps(), args, shape.live, activation_words(gate, shape.tokens, shape.columns),
            activation_words(up, shape.tokens, shape.columns));
    EXPECT_EQ(std::fabs(got[0]), 0);
    for (size_t i = 1; i < got.size(); ++i) {
      const double want = function_of("silu", static_cast<double>(gate[i]), 0) * up[i];
      ASSERT_NEAR(static_cast<double>(got[i]), want, 5e-6 * std::abs(want) + 1e-37);
    }
  }
}

// Where a tensor has one row, whatever the live count.
TEST(Elementwise, stays_within_the_rows_it_has) {
  NBL_REQUIRE_GPU(gpu);
  const std::vector<float> a(40, 2);
  std::vector<uint32_t> out(64, kPoison);
  const ElementwiseArgs args{.tokens = 1,
                             .columns = 40,
                             .function = FUNCTION_SQUARE,
                             .operand = OPERAND_SCALAR,
                             .alpha = 0};
  KernelCall call;
  ASSERT_TRUE(call_elementwise(gpu->caps(), args, &call, nullptr).ok());
  const auto words = activation_words(a, 1, 40);
  ASSERT_EQ(gpu->run(call, {reads(step_words(0, 9)), reads(words), reads(words), writes(out)}), "");
  EXPECT_EQ(live_rows(out, 1, 40), std::vector<float>(40, 4));
}

TEST(Elementwise, refuses_what_no_grid_holds) {
  Caps narrow = floor_caps();
  narrow.max_grid[0] = narrow.max_grid[1] = 2;
  KernelCall call;
  Error error;
  const ElementwiseArgs args{
      .tokens = 100, .columns = 1024, .function = FUNCTION_ADD, .operand = OPERAND_SAME};
  EXPECT_EQ(call_elementwise(narrow, args, &call, &error).code(), Code::device_limit);
  EXPECT_STREQ(error.name, "elementwise_floor");
}

}  // namespace
}  // namespace nbl::test
