// Could break: a malformed graph passes for a good one and reaches a file.
#include "compiler/graph/graph.h"

#include <gtest/gtest.h>

#include <cmath>

#include "compiler/arch/architecture.h"
#include "tests/support/small_llama.h"

namespace nbl::compiler {
namespace {

class GraphTest : public testing::Test {
 protected:
  const Checkpoint checkpoint_ = test::small_llama({.layers = 1});
  Graph graph_ = build_graph(checkpoint_, {.context = 70});

  GraphOp& op(const std::string& name) {
    for (GraphOp& candidate : graph_.ops) {
      if (candidate.name == name) return candidate;
    }
    throw std::runtime_error("no op " + name);
  }
  void expect_wrong(const std::string& part) {
    const std::string sentence = verify(graph_);
    EXPECT_NE(sentence.find(part), std::string::npos) << "it said: " << sentence;
  }
};

TEST_F(GraphTest, of_the_llama_builder_is_well_formed) {
  EXPECT_EQ(verify(graph_), "");
}

TEST_F(GraphTest, must_define_a_tensor_before_it_is_read) {
  std::swap(graph_.ops[1], graph_.ops[2]);
  expect_wrong("reads blk.0.attn_norm before it is written");
}

TEST_F(GraphTest, must_write_a_tensor_once) {
  graph_.ops[2].outputs = graph_.ops[1].outputs;
  expect_wrong("again");
}

TEST_F(GraphTest, must_name_tensors_that_exist) {
  op("blk.0.attn_q").inputs[1] = 100000;
  expect_wrong("reads no tensor 100000");
}

TEST_F(GraphTest, must_agree_in_shapes) {
  graph_.tensor(op("blk.0.attn_q").inputs[1]).shape[1] += 1;
  expect_wrong("weight columns is 97, 96 wanted");
}

TEST_F(GraphTest, must_agree_in_roles) {
  op("blk.0.attn_norm").inputs[1] = op("blk.0.attn_q").inputs[1];
  expect_wrong("a rank-1 f32 weight wanted");
}

TEST_F(GraphTest, must_have_values_for_every_weight) {
  graph_.tensor(op("blk.0.attn_q").inputs[1]).constant = nullptr;
  expect_wrong("has no values");
}

TEST_F(GraphTest, must_end_in_sample) {
  graph_.ops.pop_back();
  expect_wrong("does not end in its one sample op");
}

TEST_F(GraphTest, has_room_for_the_context_in_its_state) {
  graph_.context_length += 64;
  EXPECT_NE(verify(graph_), "");
}

TEST_F(GraphTest, keeps_keys_and_values_in_one_type) {
  graph_.tensor(op("blk.0.attention").inputs[1]).dtype = DType::i8;
  expect_wrong("the keys' cache is i8, the values' f16");
}

TEST_F(GraphTest, has_heads_that_kernels_take) {
  for (const uint32_t dim : {6u, 260u}) {
    graph_.tensor(op("blk.0.attention").inputs[2]).shape[2] = dim;
    expect_wrong("multiples of 4 up to 256");
  }
}

TEST_F(GraphTest, has_a_cap_that_is_a_number) {
  for (const float cap : {-1.0f, std::nanf(""), INFINITY}) {
    op("blk.0.attention").softcap = cap;
    expect_wrong("softcap is");
  }
}

TEST_F(GraphTest, has_masks_of_the_context) {
  auto constant = std::make_shared<Constant>();
  const int32_t mask = graph_.add({.name = "mask",
                                   .role = Role::weight,
                                   .dtype = DType::f32,
                                   .shape = {70, 69},
                                   .constant = constant});
  op("blk.0.attention").inputs.push_back(mask);
  expect_wrong("mask columns is 69, 70 wanted");
  graph_.tensor(mask).shape[1] = 70;
  EXPECT_EQ(verify(graph_), "");
}

TEST_F(GraphTest, shows_what_attention_is_asked_for) {
  GraphOp& attention = op("blk.0.attention");
  attention.window = 9;
  attention.softcap = 30;
  attention.full = true;
  EXPECT_NE(dump(graph_).find("window=9 softcap=30 full"), std::string::npos);
}

TEST_F(GraphTest, loses_unused_tensors_when_tidied) {
  const std::string before = dump(graph_);
  const size_t count = graph_.tensors.size();
  graph_.add({.name = "nobody reads this", .shape = {0, 4}});
  tidy(&graph_);
  EXPECT_EQ(graph_.tensors.size(), count);
  EXPECT_EQ(dump(graph_), before);
}

}  // namespace
}  // namespace nbl::compiler
