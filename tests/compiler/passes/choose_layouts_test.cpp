// Could break: a table that a linear reads lies in rows, one that shares its nibbles is stored
// twice, or a table that came in one order of nibbles is kept in the other.
#include <gtest/gtest.h>

#include "tests/support/quantized_llama.h"

namespace nbl::compiler {
namespace {

using test::QuantizedLlama;
using test::random_rows;

const GraphTensor& table_of(const Graph& graph) {
  return graph.tensor(graph.ops[0].inputs[1]);
}
const GraphTensor& head_of(const Graph& graph) {
  return graph.tensor(graph.ops[graph.ops.size() - 2].inputs[1]);
}

TEST(ChooseLayouts, lays_a_tied_table_in_tiles_and_another_in_rows) {
  for (const bool tied : {true, false}) {
    const Checkpoint checkpoint = test::small_llama({.tied = tied});
    Graph graph = make_graph(checkpoint, 64, 8, {});
    EXPECT_EQ(table_of(graph).q4_layout, tied ? Layout::q4_t16k8 : Layout::q4_rows_linear);
    EXPECT_EQ(head_of(graph).q4_layout, Layout::q4_t16k8);
    // Without the pass that makes them one tensor they are still one segment.
    graph = make_graph(checkpoint, 64, 8, {.disabled = {"tie_weights"}});
    EXPECT_EQ(table_of(graph).q4_layout, tied ? Layout::q4_t16k8 : Layout::q4_rows_linear);
  }
}

TEST(ChooseLayouts, keeps_the_order_that_a_table_came_in) {
  for (const bool swapped : {true, false}) {
    QuantizedLlama llama;
    llama.embedding = random_rows(1, llama.vocab(), llama.dim(), 32);
    llama.embedding->embedding_order = swapped;
    EXPECT_EQ(table_of(llama.graph()).q4_layout,
              swapped ? Layout::q4_rows_embedding : Layout::q4_rows_linear);
  }
}

TEST(ChooseLayouts, looks_at_the_nibbles_alone) {
  QuantizedLlama llama;
  llama.embedding = random_rows(2, llama.vocab(), llama.dim(), 32);
  llama.embedding->embedding_order = true;
  llama.head = std::make_shared<Q4Rows>(*llama.embedding);
  llama.head->embedding_order = false;
  llama.head->scales[5] *= 2;
  Graph graph = llama.graph();
  EXPECT_NE(graph.ops[0].inputs[1], graph.ops[graph.ops.size() - 2].inputs[1]);
  EXPECT_EQ(table_of(graph).q4_layout, Layout::q4_t16k8);
  llama.head->values[7] = llama.head->values[7] == 0 ? 1 : 0;
  EXPECT_EQ(table_of(llama.graph()).q4_layout, Layout::q4_rows_embedding);
}

TEST(ChooseLayouts, gives_a_forced_table_a_tensor_of_its_own) {
  const Checkpoint checkpoint = test::small_llama({.tied = true});
  for (const auto& [wanted, layout] :
       {std::pair(EmbeddingLayout::linear, Layout::q4_rows_linear),
        std::pair(EmbeddingLayout::embedding, Layout::q4_rows_embedding),
        std::pair(EmbeddingLayout::tiled, Layout::q4_t16k8)}) {
    const Graph graph = make_graph(checkpoint, 64, 8, {.embedding_layout = wanted});
    EXPECT_EQ(table_of(graph).q4_layout, layout);
    EXPECT_EQ(head_of(graph).q4_layout, Layout::q4_t16k8);
    EXPECT_EQ(&table_of(graph) == &head_of(graph), wanted == EmbeddingLayout::tiled);
    EXPECT_EQ(verify(graph), "");
  }
}

TEST(ChooseLayouts, must_leave_linears_their_tiles) {
  const Checkpoint checkpoint = test::small_llama({.tied = true});
  Graph graph = make_graph(checkpoint, 64, 8, {});
  graph.tensor(graph.ops[0].inputs[1]).q4_layout = Layout::q4_rows_linear;
  EXPECT_NE(verify(graph).find("has the layout q4_rows_linear, q4_t16k8 wanted"),
            std::string::npos);
}

// The embedding and the output head of one parameter of two lookups, as of one and a head.
TEST(ChooseLayouts, serves_two_lookups_of_one_table) {
  QuantizedLlama llama;
  llama.embedding = random_rows(3, llama.vocab(), llama.dim(), 32);
  Graph graph = llama.graph({.fuse = false});
  GraphOp second = graph.ops[0];
  second.name = "second";
  second.outputs = {graph.add({.name = "second", .shape = {0, llama.dim()}})};
  graph.ops.insert(graph.ops.begin() + 1, second);
  choose_layouts(&graph, EmbeddingLayout::embedding);
  EXPECT_EQ(graph.ops[0].inputs[1], graph.ops[1].inputs[1]);
  EXPECT_EQ(table_of(graph).q4_layout, Layout::q4_rows_embedding);
}

}  // namespace
}  // namespace nbl::compiler
