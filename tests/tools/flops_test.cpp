// Could break: operations that are counted twice or not at all: weights in windows, dispatches that
// do the work of two ops or none, the last row alone, windows of attention.
#include "tools/common/flops.h"

#include <gtest/gtest.h>

#include <map>

#include "boards/boards.h"
#include "rt/kernels/variants.h"
#include "rt/load.h"
#include "rt/plan.h"
#include "tests/support/compiled.h"
#include "tests/support/small_llama.h"

namespace nbl::tools {
namespace {

constexpr uint32_t kContext = 640;
constexpr uint32_t kChunk = 512;
const test::LlamaSpec kSpec{
    .dim = 512, .layers = 3, .heads = 8, .kv_heads = 2, .head_dim = 64, .ffn = 1536, .vocab = 1301};

test::AlignedBytes build(compiler::Activations activations) {
  test::BuildOptions options{.context = kContext, .prefill_chunk = kChunk};
  options.passes.activations = activations;
  compiler::Checkpoint checkpoint = test::small_llama(kSpec);
  checkpoint.hyper.context = kContext;
  return test::build_model(checkpoint, options);
}

const test::AlignedBytes& model_file() {
  static const test::AlignedBytes file = build(compiler::Activations::f32);
  return file;
}

struct Planned {
  Model model;
  std::vector<std::byte> memory = std::vector<std::byte>(size_t{16} << 20);
  Plan plan;
  TimedStep decode, prefill;
};

TimedStep step_of(const Model& model, const Phase& phase, uint32_t positions) {
  TimedStep step;
  for (const Dispatch& dispatch : phase.dispatches) {
    const Op op = model.op(dispatch.op);
    TimedDispatch d;
    d.kernel = kVariants[dispatch.call.variant].name;
    d.node = op.name;
    d.op = kOpKindNames[static_cast<size_t>(op.kind)];
    d.bytes = dispatch.bytes + dispatch.bytes_per_position * positions;
    step.push_back(d);
  }
  return step;
}

// What the dispatches of a plan would be timed as, with their operations from position `first` on.
std::unique_ptr<Planned> planned(const Caps& caps, uint32_t first,
                                 const test::AlignedBytes& file = model_file()) {
  auto p = std::make_unique<Planned>();
  Error error;
  EXPECT_TRUE(load(file.span(), &p->model, &error).ok()) << error.name;
  const auto address = reinterpret_cast<uintptr_t>(p->memory.data());
  Arena arena(std::span(p->memory).subspan(-address % 64));
  EXPECT_TRUE(plan(p->model, caps, {}, &arena, &p->plan, &error).ok()) << error.name;
  p->decode = step_of(p->model, p->plan.decode, first + 1);
  p->prefill = step_of(p->model, p->plan.prefill, first + kChunk);
  estimate_flops(p->model, 1, first, &p->decode);
  estimate_flops(p->model, kChunk, first, &p->prefill);
  return p;
}

std::map<std::string, uint64_t> by_op(const TimedStep& step, const std::string& kernels) {
  std::map<std::string, uint64_t> sums;
  for (const TimedDispatch& d : step) {
    if (d.kernel.find(kernels) != std::string::npos) sums[d.op] += d.flops;
  }
  return sums;
}

// Of a token in one layer, and of the logits.
const uint64_t kLayer = 2ull * kSpec.dim * ((8 + 2 + 2) * 64) + 2ull * 8 * 64 * kSpec.dim +
                        3 * 2ull * kSpec.dim * kSpec.ffn;
const uint64_t kHead = 2ull * kSpec.dim * kSpec.vocab;

uint64_t products(const TimedStep& step) {
  uint64_t sum = 0;
  for (const char* const kernel : {"gemv_", "gemm_", "linear_"}) {
    for (const auto& [op, flops] : by_op(step, kernel))
      sum += flops;
  }
  return sum;
}

// A share of a weight is rounded down.
void expect_products(const Planned& p) {
  const uint64_t decode = kSpec.layers * kLayer + kHead;
  const uint64_t prefill = kSpec.layers * kLayer * kChunk + kHead;
  EXPECT_LE(products(p.decode), decode);
  EXPECT_GE(products(p.decode), decode - p.decode.size());
  EXPECT_LE(products(p.prefill), prefill);
  EXPECT_GE(products(p.prefill), prefill - p.prefill.size());
}

TEST(Flops, of_products_are_those_of_their_weights) {
  for (const Board& board : boards()) {
    SCOPED_TRACE(board.name);
    expect_products(*planned(board.caps, 7));
  }
  const test::AlignedBytes int8 = build(compiler::Activations::int8);
  expect_products(*planned(find_board("floor")->caps, 7, int8));
}

TEST(Flops, of_a_chain_are_those_of_the_ops_in_it) {
  Caps caps = find_board("floor")->caps;
  caps.cores = 20;
  caps.max_invocations = caps.max_workgroup_x = 1024;
  caps.max_shared_bytes = 49152;
  const auto p = planned(caps, 99);
  const uint64_t attention = 100ull * 4 * 8 * 64;
  uint64_t chains = 0;
  for (const auto& [op, flops] : by_op(p->decode, "chain_"))
    chains += flops;
  EXPECT_EQ(chains, kSpec.layers * (kLayer + attention) + kHead);
}

TEST(Flops, of_a_weight_in_windows_are_counted_once) {
  Caps caps = find_board("floor")->caps;
  caps.dispatch_limit_us = 20;
  const auto p = planned(caps, 0);
  const auto whole = planned(find_board("floor")->caps, 0);
  EXPECT_GT(p->decode.size(), whole->decode.size());
  expect_products(*p);
}

TEST(Flops, of_a_dispatch_that_leaves_at_once_are_none) {
  const Caps* caps = &find_board("h100")->caps;
  ASSERT_NE(caps, nullptr);
  const auto p = planned(*caps, 0);
  uint32_t idle = 0;
  for (const TimedDispatch& d : p->prefill) {
    if (d.bytes > 0) continue;
    ++idle;
    EXPECT_EQ(d.flops, 0u) << d.kernel;
  }
  EXPECT_GT(idle, 0u);
}

TEST(Flops, of_attention_are_those_of_the_pairs_that_see_each_other) {
  const uint64_t kPair = 4ull * 8 * 64 * kSpec.layers;
  for (const char* const name : {"h100", "floor"}) {
    SCOPED_TRACE(name);
    const Caps* caps = &find_board(name)->caps;
    ASSERT_NE(caps, nullptr);
    const auto p = planned(*caps, 30);
    uint64_t decode = 0, prefill = 0;
    for (const TimedDispatch& d : p->decode)
      decode += d.kernel.starts_with("sdpa_") && d.kernel != "sdpa_combine_floor" ? d.flops : 0;
    for (const TimedDispatch& d : p->prefill)
      prefill += d.kernel.starts_with("sdpa_") && d.kernel != "sdpa_combine_floor" ? d.flops : 0;
    EXPECT_EQ(decode, 31 * kPair);
    EXPECT_EQ(prefill, (30ull * kChunk + kChunk * (kChunk + 1) / 2) * kPair);
  }
}

TEST(Flops, of_all_that_works_are_known) {
  for (const Board& board : boards()) {
    const auto p = planned(board.caps, 3);
    for (const TimedStep* step : {&p->decode, &p->prefill}) {
      for (const TimedDispatch& d : *step)
        EXPECT_EQ(d.flops > 0, d.bytes > 0) << board.name << " " << d.kernel << " " << d.node;
    }
  }
}

TEST(Flops, of_dispatches_of_another_model_are_not_made_up) {
  const auto p = planned(find_board("floor")->caps, 0);
  TimedStep step(2);
  step[0].node = "no such node";
  step[0].bytes = step[1].bytes = 100;
  estimate_flops(p->model, 1, 0, &step);
  EXPECT_EQ(step[0].flops + step[1].flops, 0u);
}

}  // namespace
}  // namespace nbl::tools
