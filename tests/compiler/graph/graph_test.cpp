// Could break: a malformed graph passes for a good one and reaches a file.
#include "compiler/graph/graph.h"

#include <gtest/gtest.h>

#include "compiler/arch/llama.h"
#include "tests/support/small_llama.h"

namespace nbl::compiler {
namespace {

class GraphTest : public testing::Test {
 protected:
  const Checkpoint checkpoint_ = test::small_llama({.layers = 1});
  Graph graph_ = build_llama(checkpoint_, {.context = 70});

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
