// Could break: a function is replaced that is not quite the op it looks like, or one whose result
// something else reads.
#include <gtest/gtest.h>

#include "compiler/passes/passes.h"
#include "tests/support/graph_builder.h"
#include "tests/support/lines.h"

namespace nbl::compiler {
namespace {

using Lines = std::vector<std::string>;
using test::GraphBuilder;
using test::lines_with;

// Two linears a, b of the same x, 40 wide.
struct TwoLinears {
  GraphBuilder net{1};
  int32_t x = net.embedding(24);
  int32_t a = net.linear(x, 40);
  int32_t b = net.linear(x, 40);

  Graph& finish(int32_t last) {
    net.sample(net.linear(last, 283, true));
    return net.graph;
  }
  // The graph after the pass, less what stands around the ops in question.
  Lines lowered(int expected) {
    EXPECT_EQ(verify(net.graph), "");
    EXPECT_EQ(lower_elementwise(&net.graph), expected);
    EXPECT_EQ(verify(net.graph), "");
    return lines_with(net.graph, "[T, 40] = ");
  }
};

TEST(LowerElementwise, makes_a_sum_an_add) {
  TwoLinears t;
  t.finish(t.net.function(Function::add, t.a, t.b, 1));
  EXPECT_EQ(t.lowered(1).back(), "op3 [T, 40] = add(op1, op2)");
}

TEST(LowerElementwise, leaves_other_sums_alone) {
  TwoLinears t;
  int32_t y = t.net.function(Function::add, t.a, t.b, 2);
  y = t.net.function(Function::add, y, t.net.slice(t.b, 0, 1), 1);
  y = t.net.function(Function::add, y, t.net.vector(8), 1);
  y = t.net.function(Function::add, y, kAbsent, 1);
  t.finish(t.net.function(Function::sub, y, t.b, 1));
  t.lowered(0);
}

TEST(LowerElementwise, makes_a_gated_silu_swiglu) {
  for (const bool swapped : {false, true}) {
    TwoLinears t;
    const int32_t silu = t.net.function(Function::silu, t.a);
    t.finish(swapped ? t.net.function(Function::mul, t.b, silu)
                     : t.net.function(Function::mul, silu, t.b));
    const Lines lines = t.lowered(1);
    EXPECT_EQ(lines.back(), "op4 [T, 40] = swiglu(op1, op2)");
    EXPECT_EQ(lines.size(), 3u);
  }
}

TEST(LowerElementwise, sees_silu_in_a_product_with_sigmoid) {
  for (const bool swapped : {false, true}) {
    TwoLinears t;
    const int32_t sigmoid = t.net.function(Function::sigmoid, t.a);
    const int32_t silu = swapped ? t.net.function(Function::mul, sigmoid, t.a)
                                 : t.net.function(Function::mul, t.a, sigmoid);
    t.finish(t.net.function(Function::mul, silu, t.b));
    EXPECT_EQ(t.lowered(2).back(), "op5 [T, 40] = swiglu(op1, op2)");
  }
}

TEST(LowerElementwise, leaves_the_sigmoid_of_something_else) {
  TwoLinears t;
  const int32_t sigmoid = t.net.function(Function::sigmoid, t.a);
  t.finish(t.net.function(Function::mul, sigmoid, t.b));
  t.lowered(0);
}

TEST(LowerElementwise, leaves_a_silu_that_is_read_twice) {
  TwoLinears t;
  const int32_t silu = t.net.function(Function::silu, t.a);
  const int32_t product = t.net.function(Function::mul, silu, t.b);
  t.finish(t.net.cat({product, silu}));
  t.lowered(0);
}

TEST(LowerElementwise, leaves_the_square_of_a_silu) {
  TwoLinears t;
  const int32_t silu = t.net.function(Function::silu, t.a);
  t.finish(t.net.function(Function::mul, silu, silu));
  t.lowered(0);
}

TEST(LowerElementwise, leaves_a_silu_that_gates_by_one_column) {
  TwoLinears t;
  const int32_t silu = t.net.function(Function::silu, t.a);
  t.finish(t.net.function(Function::mul, silu, t.net.slice(t.b, 3, 1)));
  t.lowered(0);
}

TEST(LowerElementwise, lets_the_passes_behind_it_fuse) {
  TwoLinears t;
  const int32_t silu = t.net.function(Function::silu, t.a);
  const int32_t hidden = t.net.function(Function::mul, silu, t.b);
  const int32_t down = t.net.linear(hidden, 24);
  Graph& graph = t.finish(t.net.function(Function::add, down, t.x, 1));
  Graph plain = graph;
  run_passes(&graph, {});
  // embedding, gate and up, down with the residual, logits, sample.
  EXPECT_EQ(graph.ops.size(), 5u);
  run_passes(&plain, {.disabled = {"lower_elementwise"}});
  EXPECT_EQ(plain.ops.size(), 9u);
}

TEST(FuseNorm, leaves_a_norm_of_heads_on_its_own) {
  TwoLinears t;
  const int32_t heads = t.net.rms_norm(t.a, 5);
  t.finish(heads);
  EXPECT_EQ(fuse_norm(&t.net.graph), 0);
  EXPECT_EQ(lines_with(t.net.graph, "rms_norm").size(), 1u);
}

}  // namespace
}  // namespace nbl::compiler
