// Could break: the RoPE table is off by a row or a sign, or a model that the runtime cannot compute
// is accepted.
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
