// Could break: a layer turns by another table than its own, the RoPE table is off by a row or a
// sign, or a model that the runtime cannot compute is accepted.
#include "compiler/arch/architecture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "compiler/arch/rope_table.h"
#include "compiler/error.h"
#include "tests/support/small_llama.h"

namespace nbl::compiler {
namespace {

TEST(RopeTable, gives_every_position_as_the_sum_of_two_rows) {
  const std::vector<double> frequencies = {1.0, 0.31622776601683794, 0.1, 1e-4};
  constexpr uint32_t kContext = 1000;
  const std::vector<float> table = rope_table(frequencies, kContext);
  ASSERT_EQ(table.size(), (64u + 16u) * 8u);
  for (uint32_t position = 0; position < kContext; ++position) {
    const float* fine = &table[size_t{position % 64} * 8];
    const float* coarse = &table[(64 + size_t{position / 64}) * 8];
    for (size_t i = 0; i < frequencies.size(); ++i) {
      const double c =
          static_cast<double>(fine[2 * i]) * static_cast<double>(coarse[2 * i]) -
          static_cast<double>(fine[2 * i + 1]) * static_cast<double>(coarse[2 * i + 1]);
      const double s = static_cast<double>(fine[2 * i + 1]) * static_cast<double>(coarse[2 * i]) +
                       static_cast<double>(fine[2 * i]) * static_cast<double>(coarse[2 * i + 1]);
      EXPECT_NEAR(c, std::cos(position * frequencies[i]), 2e-7);
      EXPECT_NEAR(s, std::sin(position * frequencies[i]), 2e-7);
    }
  }
}

TEST(Architecture, turns_by_the_local_base_however_short_the_context) {
  for (const uint32_t context : {10u, 30u}) {
    Checkpoint checkpoint = test::small_llama({.architecture = "gemma3"});
    checkpoint.hyper.windows = {20, 0};
    checkpoint.hyper.local_rope_inv_freq = checkpoint.hyper.rope_inv_freq;
    const Graph graph = build_graph(checkpoint, {.context = context});
    int seen = 0;
    for (const GraphOp& op : graph.ops) {
      const bool first = op.name.starts_with("blk.0.");
      if (op.kind == OpKind::rope) {
        EXPECT_EQ(graph.tensor(op.inputs[1]).name, first ? "local_rope_table" : "rope_table");
        ++seen;
      }
      if (op.kind == OpKind::sdpa_with_kv_cache) {
        EXPECT_EQ(op.window, first && context > 20 ? 20u : 0u);
        ++seen;
      }
    }
    EXPECT_EQ(seen, 6);
  }
}

TEST(Architecture, chooses_frequencies_by_the_context) {
  Checkpoint checkpoint = test::small_llama({.layers = 1, .architecture = "phi3"});
  Hyper& hyper = checkpoint.hyper;
  hyper.rope_short_context = 40;
  hyper.rope_magnitude = 1.25f;
  hyper.rope_long_inv_freq = hyper.rope_inv_freq;
  for (double& frequency : hyper.rope_long_inv_freq)
    frequency /= 8;
  for (const uint32_t context : {40u, 41u}) {
    const Graph graph = build_graph(checkpoint, {.context = context});
    const double frequency = context == 40 ? 1 : 0.125;
    for (const GraphTensor& tensor : graph.tensors) {
      if (tensor.name != "rope_table") continue;
      const std::vector<float>& table = tensor.constant->values;
      // Position 3 of the fine rows is 1.25 long, the one coarse row is 1.
      EXPECT_NEAR(table[3 * 32], 1.25 * std::cos(3 * frequency), 1e-6);
      EXPECT_NEAR(table[3 * 32 + 1], 1.25 * std::sin(3 * frequency), 1e-6);
      EXPECT_EQ(table[64 * 32], 1);
    }
  }
}

TEST(Architecture, adds_one_to_the_norms_that_are_stored_without_it) {
  Checkpoint checkpoint = test::small_llama({.layers = 1, .architecture = "gemma3"});
  checkpoint.hyper.norm_offset = 1;
  const Graph graph = build_graph(checkpoint, {.context = 40});
  int norms = 0;
  for (const GraphTensor& tensor : graph.tensors) {
    if (!tensor.name.ends_with("norm.weight")) continue;
    const SourceTensor& source =
        checkpoint.tensors.at(tensor.name.substr(0, tensor.name.size() - 7));
    std::vector<float> values(source.columns);
    source.read_row(0, values.data());
    EXPECT_EQ(constant_values(*tensor.constant).at(3), values[3] + 1);
    ++norms;
  }
  EXPECT_EQ(norms, 7);  // attn, q, k, post-attention, ffn, post-ffw, output
}

TEST(Architecture, refuses_what_the_runtime_cannot_compute) {
  const struct {
    const char* part;  // of the sentence
    std::function<void(Checkpoint*, ArchitectureOptions*)> change;
  } cases[] = {
      {"head dimension is 30", [](auto* c, auto*) { c->hyper.head_dim = 30; }},
      {"head dimension is 260", [](auto* c, auto*) { c->hyper.head_dim = 260; }},
      {"cannot share 4", [](auto* c, auto*) { c->hyper.kv_heads = 4; }},
      {"rotary dimension is 7", [](auto* c, auto*) { c->hyper.rotary_dim = 7; }},
      {"rotary frequencies", [](auto* c, auto*) { c->hyper.rope_inv_freq.pop_back(); }},
      {"epsilon is 0", [](auto* c, auto*) { c->hyper.eps = 0; }},
      {"architecture gpt", [](auto* c, auto*) { c->hyper.architecture = "gpt"; }},
      {"3 layers have an attention window",
       [](auto* c, auto*) {
         c->hyper.windows = {1, 2, 3};
       }},
      {"has no blk.0.attn_q_norm", [](auto* c, auto*) { c->hyper.architecture = "qwen3"; }},
      {"has 1 rotary frequencies", [](auto* c, auto*) { c->hyper.local_rope_inv_freq = {1}; }},
      {"has 0 rotary frequencies", [](auto* c, auto*) { c->hyper.rope_short_context = 9; }},
      {"has no blk.1.ffn_up", [](auto* c, auto*) { c->tensors.erase("blk.1.ffn_up"); }},
      {"context is 78", [](auto*, auto* o) { o->context = 78; }},
      {"context is 0", [](auto*, auto* o) { o->context = 0; }},
      {"prefill chunk is 0", [](auto*, auto* o) { o->prefill_chunk = 0; }},
  };
  for (const auto& wrong : cases) {
    Checkpoint checkpoint = test::small_llama({});
    ArchitectureOptions options{.context = 77};
    wrong.change(&checkpoint, &options);
    try {
      build_graph(checkpoint, options);
      ADD_FAILURE() << wrong.part;
    } catch (const CompileError& error) {
      EXPECT_NE(std::string(error.what()).find(wrong.part), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace nbl::compiler
