// Could break: weights that differ become one, equal ones stay two, or an op keeps the old index.
#include <gtest/gtest.h>

#include <cstring>

#include "compiler/arch/architecture.h"
#include "compiler/passes/passes.h"
#include "tests/support/small_llama.h"

namespace nbl::compiler {
namespace {

Graph build(const Checkpoint& checkpoint) {
  return build_graph(checkpoint, {.context = 70});
}

int32_t weight_of(const Graph& graph, const std::string& op) {
  for (const GraphOp& candidate : graph.ops) {
    if (candidate.name == op) return candidate.inputs[1];
  }
  return kAbsent;
}

TEST(TieWeights, makes_one_tensor_of_embedding_and_head_of_the_same_source) {
  const Checkpoint checkpoint = test::small_llama({.tied = true});
  Graph graph = build(checkpoint);
  ASSERT_NE(weight_of(graph, "embedding"), weight_of(graph, "logits"));
  EXPECT_EQ(tie_weights(&graph), 1);
  tidy(&graph);
  EXPECT_EQ(weight_of(graph, "embedding"), weight_of(graph, "logits"));
  EXPECT_EQ(verify(graph), "");
}

TEST(TieWeights, makes_one_tensor_of_two_sources_with_equal_bytes) {
  Checkpoint checkpoint = test::small_llama({.tied = false});
  const SourceTensor& embedding = checkpoint.tensors.at("token_embd");
  const std::vector<std::byte> copy(embedding.data,
                                    embedding.data + embedding.rows * embedding.row_bytes());
  checkpoint.tensors.at("output").data = copy.data();
  Graph graph = build(checkpoint);
  EXPECT_EQ(tie_weights(&graph), 1);
  EXPECT_EQ(weight_of(graph, "embedding"), weight_of(graph, "logits"));
}

TEST(TieWeights, keeps_weights_apart_that_differ_in_the_last_bit) {
  Checkpoint checkpoint = test::small_llama({.tied = false});
  const SourceTensor& embedding = checkpoint.tensors.at("token_embd");
  std::vector<std::byte> copy(embedding.data,
                              embedding.data + embedding.rows * embedding.row_bytes());
  copy.back() ^= std::byte{1};
  checkpoint.tensors.at("output").data = copy.data();
  Graph graph = build(checkpoint);
  EXPECT_EQ(tie_weights(&graph), 0);
  EXPECT_NE(weight_of(graph, "embedding"), weight_of(graph, "logits"));
}

}  // namespace
}  // namespace nbl::compiler
