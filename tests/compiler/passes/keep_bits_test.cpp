// Could break: another matrix than the one named is kept, a rule that names none is passed over, or
// matrices of 4 and 8 bits are fused.
#include <gtest/gtest.h>

#include "compiler/arch/architecture.h"
#include "compiler/error.h"
#include "compiler/passes/passes.h"
#include "tests/support/small_llama.h"

namespace nbl::compiler {
namespace {

Graph build(const Checkpoint& checkpoint, const PassOptions& options) {
  Graph graph = build_graph(checkpoint, {.context = 70});
  run_passes(&graph, options);
  return graph;
}

// "name kind" of the ops with an 8-bit weight.
std::string eights(const Graph& graph) {
  std::string text;
  for (const GraphOp& op : graph.ops) {
    const bool eight = op.kind == OpKind::embedding_q8gsw || op.kind == OpKind::linear_q8gsw;
    if (!eight) continue;
    EXPECT_EQ(graph.tensor(op.inputs[1]).dtype, DType::q8);
    text += (text.empty() ? "" : " ") + op.name;
  }
  return text;
}

TEST(KeepBits, keeps_embedding_and_head_tied_or_not) {
  for (const bool tied : {true, false}) {
    const Checkpoint checkpoint = test::small_llama({.layers = 1, .tied = tied});
    const Graph graph = build(checkpoint, {.head_bits = 8});
    EXPECT_EQ(eights(graph), "embedding logits");
    const int32_t table = graph.ops.front().inputs[1];
    const int32_t head = graph.ops[graph.ops.size() - 2].inputs[1];
    EXPECT_EQ(table == head, tied);
    EXPECT_EQ(eights(build(checkpoint, {})), "");
  }
}

TEST(KeepBits, finds_the_head_behind_what_is_done_to_logits) {
  Checkpoint checkpoint = test::small_llama({.layers = 1, .tied = false});
  checkpoint.hyper.logit_softcap = 30;
  EXPECT_EQ(eights(build(checkpoint, {.head_bits = 8})), "embedding logits");
}

TEST(KeepBits, takes_patterns_and_the_last_one_that_names_a_matrix) {
  const Checkpoint checkpoint = test::small_llama({.layers = 2, .tied = false});
  EXPECT_EQ(eights(build(checkpoint, {.keep = {{"blk.*.ffn_down", 8}, {"output.weight", 8}}})),
            "blk.0.ffn_down blk.1.ffn_down logits");
  EXPECT_EQ(eights(build(checkpoint, {.keep = {{"blk.*.ffn_down", 8}, {"blk.0.*", 4}}})),
            "blk.1.ffn_down");
  EXPECT_EQ(eights(build(checkpoint, {.head_bits = 8, .keep = {{"output", 4}}})), "embedding");
  EXPECT_EQ(eights(build(checkpoint,
                         {.activations = Activations::int8, .keep = {{"blk.1.ffn_down", 8}}})),
            "blk.1.ffn_down");
}

TEST(KeepBits, fuses_matrices_of_equal_bits_only) {
  const Checkpoint checkpoint = test::small_llama({.layers = 1, .tied = false});
  EXPECT_EQ(eights(build(checkpoint, {.keep = {{"blk.*", 8}}})),
            "blk.0.attn_qkv blk.0.attn_output blk.0.ffn_gate_up blk.0.ffn_down");
  EXPECT_EQ(eights(build(checkpoint, {.keep = {{"*.attn_v", 8}, {"*.ffn_up", 8}}})),
            "blk.0.attn_v blk.0.ffn_up");
}

TEST(KeepBits, refuses_a_pattern_that_names_nothing) {
  const Checkpoint checkpoint = test::small_llama({.layers = 1, .tied = true});
  // A norm is no matrix, and a tied head has no name of its own.
  for (const char* pattern : {"blk.7.ffn_down", "output", "blk.0.attn_norm"}) {
    try {
      build(checkpoint, {.keep = {{"blk.0.ffn_down", 8}, {pattern, 8}}});
      ADD_FAILURE() << pattern;
    } catch (const CompileError& error) {
      EXPECT_EQ(error.what(), "no matrix of the model is named '" + std::string(pattern) +
                                  "', which was to be kept at 8 bits");
    }
  }
}

}  // namespace
}  // namespace nbl::compiler
