// Could break: a malformed elementwise, slice, cat, permute, softmax or norm passes for a good one,
// or an op reads rows that a linear of the last row has left out.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "compiler/graph/graph.h"
#include "tests/support/graph_builder.h"
#include "tests/support/lines.h"

namespace nbl::compiler {
namespace {

using test::GraphBuilder;

// x [T, 40] before the op in question, which is ops[1], and a linear after it.
struct Case {
  GraphBuilder net{1};
  int32_t x = net.embedding(40);

  void expect_wrong(int32_t out, const std::function<void(GraphOp*)>& spoil,
                    const std::string& part) {
    net.sample(net.linear(out, 283, true));
    EXPECT_EQ(verify(net.graph), "");
    spoil(&net.graph.ops[1]);
    const std::string sentence = verify(net.graph);
    EXPECT_NE(sentence.find(part), std::string::npos) << "it said: " << sentence;
  }
};

TEST(VerifyElementwise, wants_a_function_and_its_operands) {
  const auto binary = [](const std::function<void(GraphOp*)>& spoil, const std::string& part) {
    Case c;
    c.expect_wrong(c.net.function(Function::add, c.x, c.x, 1), spoil, part);
  };
  binary([](GraphOp* op) { op->function = Function::none; }, "no function");
  binary([](GraphOp* op) { op->function = Function::tanh; }, "tanh takes one operand");
  binary([](GraphOp* op) { op->alpha = 0; }, "alpha is 0");
  binary([](GraphOp* op) { op->alpha = std::nanf(""); }, "alpha is nan");
  binary([](GraphOp* op) { op->alpha = INFINITY; }, "alpha is inf");
  binary([](GraphOp* op) { op->function = Function::mul, op->alpha = 2; }, "only add and sub");
  binary([](GraphOp* op) { op->inputs[0] = kAbsent; }, "input 0 is missing");
  binary([](GraphOp* op) { op->inputs.push_back(0); }, "3 inputs");
  Case unary;
  unary.expect_wrong(
      unary.net.function(Function::exp, unary.x), [](GraphOp* op) { op->alpha = 2; },
      "exp takes one operand");
}

TEST(VerifyElementwise, wants_a_second_operand_that_fits) {
  for (const uint32_t columns : {2u, 20u, 41u}) {
    GraphBuilder net(1);
    const int32_t x = net.embedding(40);
    net.sample(net.linear(net.function(Function::mul, x, net.linear(x, columns)), 283));
    EXPECT_NE(verify(net.graph).find("40 or 1 wanted"), std::string::npos) << columns;
  }
  Case weight;
  const int32_t eight = weight.net.vector(8);
  weight.expect_wrong(
      weight.net.function(Function::mul, weight.x, eight),
      [&](GraphOp*) { weight.net.graph.tensor(eight).shape[0] = 9; },
      "a weight of 9 does not repeat over 40 columns");
}

TEST(VerifyColumns, want_what_the_input_has) {
  Case slice;
  slice.expect_wrong(
      slice.net.slice(slice.x, 3, 37), [](GraphOp* op) { op->offset = 4; },
      "columns 4 to 41 of 40");
  Case wraps;
  wraps.expect_wrong(
      wraps.net.slice(wraps.x, 3, 37), [](GraphOp* op) { op->offset = ~0u; },
      "of 40 are asked for");
  Case cat;
  cat.expect_wrong(
      cat.net.cat({cat.x, cat.x}), [](GraphOp* op) { op->inputs.push_back(op->inputs[0]); },
      "columns is 80, 120");
  Case alone;
  alone.expect_wrong(
      alone.net.cat({alone.x, alone.x}), [](GraphOp* op) { op->inputs.resize(1); }, "1 inputs");
  Case permute;
  permute.expect_wrong(
      permute.net.permute(permute.x, 8), [](GraphOp* op) { op->heads = 7; },
      "columns is 40, 35 wanted");
  Case flat;
  flat.expect_wrong(
      flat.net.permute(flat.x, 8), [](GraphOp* op) { op->heads = 0; }, "0 heads");
  Case softmax;
  softmax.expect_wrong(
      softmax.net.softmax(softmax.x, 1), [](GraphOp* op) { op->scale = -1; }, "scale is -1");
  Case norm;
  norm.expect_wrong(
      norm.net.rms_norm(norm.x, 5), [](GraphOp* op) { op->heads = 3; },
      "40 columns are no 3 equal slices");
  Case weights;
  weights.expect_wrong(
      weights.net.rms_norm(weights.x, 5), [](GraphOp* op) { op->heads = 4; },
      "weight length is 8, 10 wanted");
}

TEST(VerifyRows, lets_logits_be_capped) {
  GraphBuilder net(1);
  int32_t logits = net.linear(net.embedding(40), 283, true);
  logits = net.function(Function::mul, net.function(Function::tanh, logits), kAbsent, 30);
  net.sample(net.softmax(logits, 1));
  EXPECT_EQ(verify(net.graph), "");
}

TEST(VerifyRows, keeps_the_last_row_apart_from_the_others) {
  GraphBuilder before(1);
  const int32_t all = before.linear(before.embedding(40), 283);
  const int32_t last = before.linear(all, 283, true);
  before.sample(before.function(Function::add, last, all, 1));
  EXPECT_NE(verify(before.graph).find("op3 reads op1 after a linear of the last row"),
            std::string::npos);
  GraphBuilder behind(1);
  const int32_t one = behind.linear(behind.embedding(40), 40, true);
  behind.sample(behind.linear(one, 283));
  EXPECT_NE(verify(behind.graph).find("comes after a linear of the last row"), std::string::npos);
}

TEST(Dump, shows_what_a_general_op_does) {
  GraphBuilder net(1);
  const int32_t x = net.embedding(40);
  int32_t y = net.function(Function::add, x, x, -0.5f);
  y = net.slice(net.permute(y, 8), 3, 7);
  net.sample(net.linear(y, 283, true));
  EXPECT_EQ(test::lines_with(net.graph, "elementwise").at(0),
            "op1 [T, 40] = elementwise(op0, op0) function=add alpha=-0.5");
  EXPECT_EQ(test::lines_with(net.graph, "permute(").at(0),
            "op2 [T, 40] = permute(op1) heads=8 head_dim=5");
  EXPECT_EQ(test::lines_with(net.graph, "slice(").at(0), "op3 [T, 7] = slice(op2) offset=3");
}

}  // namespace
}  // namespace nbl::compiler
