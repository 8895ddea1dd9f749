// Could break: graphs that are no llama: functions, moved columns, softmax and norms of heads
// between embedding and logits, with widths that fill no vector, on every way through a step.
#include <gtest/gtest.h>

#include "compiler/arch/rope_table.h"
#include "tests/support/engine.h"
#include "tests/support/graph_builder.h"
#include "tests/support/interpreter.h"

namespace nbl::test {
namespace {

using compiler::GraphOp;
using compiler::kAbsent;

// An f16 cache entry that rounds to the other side moves what follows by up to half of this.
constexpr double kTolerance = 1e-3;
constexpr uint32_t kContext = 70;
constexpr uint32_t kTokens = 41;
constexpr uint32_t kFlags[] = {NBL_FLAG_FLOAT32, NBL_FLAG_FLOOR_KERNELS,
                               NBL_FLAG_FLOAT32 | NBL_FLAG_GPU_KERNELS};

std::vector<uint32_t> some_tokens(uint32_t vocab, uint32_t count) {
  Random random(count);
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < count; ++i)
    tokens.push_back(random.below(vocab));
  return tokens;
}

// Every function, of values in its range and of about the same size after it.
int32_t every_function(GraphBuilder* net, int32_t x) {
  for (const Function f :
       {Function::silu, Function::gelu, Function::gelu_tanh, Function::relu, Function::neg,
        Function::tanh, Function::sigmoid, Function::exp, Function::rsqrt, Function::square,
        Function::sqrt, Function::reciprocal}) {
    // Its own input stays in it, so that no function wipes out what was before.
    const bool positive = f == Function::rsqrt || f == Function::sqrt || f == Function::reciprocal;
    int32_t in = x;
    if (positive) {
      in = net->function(Function::add, net->function(Function::square, x), kAbsent, 0.5f);
    }
    const int32_t y = net->function(f, in);
    x = net->function(Function::add, x, y, 0.25f);
    x = net->function(Function::div, x, kAbsent, 1.25f);
  }
  return x;
}

// Attention with norms of heads in front of it, as newer models have it.
int32_t attention(GraphBuilder* net, int32_t x) {
  constexpr uint32_t kHeads = 3, kDim = 12;
  const std::vector<double> frequencies = {1, 0.3, 0.09, 0.027, 0.008, 0.002};
  auto constant = std::make_shared<compiler::Constant>();
  constant->values = compiler::rope_table(frequencies, net->graph.context_length);
  const auto rows = static_cast<uint32_t>(constant->values.size() / kDim);
  const int32_t table = net->graph.add({.name = "table",
                                        .role = Role::weight,
                                        .shape = {rows, kDim},
                                        .constant = std::move(constant)});
  const GraphOp rope{.kind = OpKind::rope,
                     .heads = kHeads,
                     .head_dim = kDim,
                     .rotary_dim = kDim,
                     .rope_half = true};
  const auto turned = [&](uint32_t heads) {
    GraphOp op = rope;
    op.heads = heads;
    op.inputs = {net->rms_norm(net->linear(x, heads * kDim), heads), table};
    return net->op(std::move(op), heads * kDim);
  };
  const auto cached = [&](const char* name, int32_t values) {
    const int32_t cache = net->graph.add({.name = name,
                                          .role = Role::state,
                                          .dtype = DType::f16,
                                          .shape = {1, net->graph.context_length, kDim}});
    net->graph.ops.push_back({.kind = OpKind::update_cache,
                              .name = std::string("write ") + name,
                              .inputs = {values},
                              .outputs = {cache}});
    return cache;
  };
  const int32_t q = turned(kHeads);
  const int32_t k = cached("k", turned(1));
  const int32_t v = cached("v", net->linear(x, kDim));
  return net->op({.kind = OpKind::sdpa_with_kv_cache,
                  .inputs = {q, k, v},
                  .scale = 0.3f,
                  .heads = kHeads,
                  .kv_heads = 1,
                  .head_dim = kDim},
                 kHeads * kDim);
}

// Moves the columns of a row about: slices at every offset of a vector, cats of two to four.
int32_t moved_columns(GraphBuilder* net, int32_t x) {
  const uint32_t columns = net->graph.columns(x);
  const int32_t turned = net->permute(x, 3);
  const int32_t a = net->slice(turned, 1, 31);
  const int32_t b = net->slice(x, 2, 1);
  const int32_t c = net->slice(turned, 3, 33);
  const int32_t d = net->slice(x, columns - 7, 7);
  const int32_t joined = net->cat({net->cat({a, b, c, d}), net->permute(net->cat({d, d}), 7)});
  const int32_t one = net->cat({b, net->cat({d, b, a})});
  return net->cat({joined, one, net->softmax(c, 1.5f)});
}

// A layer of everything between embedding and logits; the logits are capped behind a linear of the
// last row or, without `last_row`, of all rows.
compiler::Graph build(GraphBuilder* net, uint32_t width, bool last_row) {
  int32_t x = net->embedding(width);
  const int32_t y = net->linear(x, 105);
  int32_t z = net->rms_norm(y, 35);  // slices of 3
  z = net->function(Function::mul, z, net->vector(35));
  z = net->function(Function::sub, z, y, 0.5f);
  z = net->function(Function::mul, z, net->slice(y, 5, 1));
  z = net->function(Function::div, z, net->vector(1));
  z = moved_columns(net, every_function(net, net->rms_norm(z, 1)));
  x = net->function(Function::add, x, net->linear(net->rms_norm(z, 1), width), 1);
  x = net->function(Function::add, x, net->linear(attention(net, net->rms_norm(x, 1)), width), 1);
  const int32_t gate = net->linear(x, 61);
  const int32_t silu = net->function(Function::mul, gate, net->function(Function::sigmoid, gate));
  const int32_t up = net->linear(x, 61);
  x = net->function(Function::add, net->linear(net->function(Function::mul, silu, up), width), x,
                    1);
  int32_t logits = net->linear(net->rms_norm(x, 1), net->graph.vocab_size, last_row);
  logits = net->function(Function::tanh, net->function(Function::div, logits, kAbsent, 3));
  net->sample(net->function(Function::mul, logits, kAbsent, 3));
  return net->graph;
}

void expect_rows(std::span<const std::vector<float>> rows,
                 std::span<const std::vector<double>> expected, const std::string& what) {
  ASSERT_EQ(rows.size(), expected.size());
  for (size_t i = 0; i < rows.size(); ++i)
    ASSERT_LE(relative_error(rows[i], expected[i]), kTolerance) << what << ", position " << i;
}

struct Way {
  uint32_t width;
  bool last_row;
  compiler::PassOptions passes;
};

void PrintTo(const Way& way, std::ostream* out) {
  *out << "width " << way.width;
}

class GeneralOps : public testing::TestWithParam<Way> {};

TEST_P(GeneralOps, have_the_logits_of_their_file) {
  NBL_REQUIRE_VULKAN();
  const Way& way = GetParam();
  GraphBuilder net(way.width, {.context = kContext});
  const AlignedBytes file = emit_graph(build(&net, way.width, way.last_row), way.passes);
  const std::vector<uint32_t> tokens = some_tokens(net.graph.vocab_size, kTokens);
  Interpreter reference(file.span());
  const std::vector<std::vector<double>> expected = reference.evaluate(tokens);
  for (const uint32_t flags : kFlags) {
    TestEngine engine(file.span(), {.flags = flags, .logits = NBL_LOGITS_ALL});
    for (const uint32_t chunk : {1u, 3u, 16u}) {
      engine.rewind(0);
      expect_rows(engine.logits_of(tokens, chunk), expected,
                  "flags " + std::to_string(flags) + ", chunk " + std::to_string(chunk));
    }
  }
}

// The row that counts is that of the last live token, in a chunk that is full and one that is not.
TEST_P(GeneralOps, leave_the_last_row_where_no_other_is_asked_for) {
  NBL_REQUIRE_VULKAN();
  const Way& way = GetParam();
  GraphBuilder net(way.width, {.context = kContext});
  const AlignedBytes file = emit_graph(build(&net, way.width, way.last_row), way.passes);
  const std::vector<uint32_t> tokens = some_tokens(net.graph.vocab_size, kTokens);
  Interpreter reference(file.span());
  const std::vector<std::vector<double>> expected = reference.evaluate(tokens);
  for (const uint32_t flags : {0u, uint32_t{NBL_FLAG_FLOOR_KERNELS}}) {
    TestEngine engine(file.span(), {.flags = flags, .logits = NBL_LOGITS_LAST});
    TestEngine silent(file.span(), {.flags = flags});
    uint32_t position = 0;
    for (const uint32_t chunk : {16u, 3u, 1u, 16u, 5u}) {
      const std::span<const uint32_t> part = std::span(tokens).subspan(position, chunk);
      engine.evaluate(part);
      silent.evaluate(part);
      position += chunk;
      const std::vector<std::vector<float>> rows = engine.logits();
      expect_rows(rows, std::span(expected).subspan(position - 1, 1),
                  "flags " + std::to_string(flags) + ", after " + std::to_string(position));
      EXPECT_EQ(engine.next_token(), silent.next_token());
      const std::vector<double> row(rows[0].begin(), rows[0].end());
      EXPECT_EQ(engine.next_token(), argmax(row));
    }
    EXPECT_EQ(engine.generate(8), silent.generate(8));
  }
}

INSTANTIATE_TEST_SUITE_P(all, GeneralOps,
                         testing::Values(Way{97, true, {}}, Way{33, false, {}},
                                         Way{64, true, {.disabled = {"lower_elementwise"}}},
                                         Way{31, false, {.fuse = false}}),
                         [](const auto& way) { return "width" + std::to_string(way.param.width); });

}  // namespace
}  // namespace nbl::test
