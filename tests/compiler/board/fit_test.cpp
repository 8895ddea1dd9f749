// Could break: a model that does not fit a board is said to; a watchdog that a step would outlast
// is not seen; what is suggested does not help.
#include "compiler/board/fit.h"

#include <gtest/gtest.h>

#include "compiler/emit/set_prefill_chunk.h"
#include "compiler/import/mapped_file.h"
#include "compiler/inspect/inspect.h"
#include "compiler/open_model.h"
#include "rt/load.h"
#include "tests/support/compiled.h"
#include "tests/support/small_llama.h"
#include "tests/support/temp_file.h"

namespace nbl::compiler {
namespace {

constexpr uint32_t kContext = 512;

test::AlignedBytes build(test::LlamaSpec spec = {}) {
  Checkpoint checkpoint = test::small_llama(spec);
  checkpoint.hyper.context = kContext;
  return test::build_model(checkpoint, {.context = kContext, .prefill_chunk = 64});
}

Model load_or_fail(const test::AlignedBytes& file) {
  Model model;
  Error error;
  EXPECT_TRUE(load(file.span(), &model, &error).ok()) << error.name;
  return model;
}

bool has(const std::vector<std::string>& sentences, const std::string& words) {
  for (const std::string& sentence : sentences) {
    if (sentence.find(words) != std::string::npos) return true;
  }
  return false;
}

std::string all(const std::vector<std::string>& sentences) {
  std::string text;
  for (const std::string& sentence : sentences)
    text += sentence + "\n";
  return text;
}

TEST(Fit, a_small_model_fits_every_board_with_the_memory_of_its_plan) {
  const test::AlignedBytes file = build();
  const Model model = load_or_fail(file);
  for (const Board& board : boards()) {
    const Fit fit = check_fit(model, board);
    EXPECT_TRUE(fit.problems.empty()) << board.name << ": " << all(fit.problems);
    const OwnedPlan owned = make_plan(model, board.caps, {.prefill_chunk = fit.prefill_chunk});
    uint64_t bytes = 0;
    for (const uint64_t role : owned.plan.role_bytes)
      bytes += role;
    EXPECT_EQ(fit.device_bytes, bytes) << board.name;
    EXPECT_GT(fit.decode_ms[0], 0) << board.name;
    EXPECT_GE(fit.decode_ms[1], fit.decode_ms[0]) << board.name;
    EXPECT_NE(fit_text(fit, board).find("  fits;"), std::string::npos);
    EXPECT_EQ(fit_json(fit, board)["fits"], true);
  }
}

// Time that is bytes alone: a board without operations or dispatches to wait for.
TEST(Fit, estimates_a_step_by_the_bytes_that_it_reads) {
  const test::AlignedBytes file = build();
  const Model model = load_or_fail(file);
  Board board = *find_board("floor");
  board.speed = {.dram_gb_per_s = 2, .decode_share = 0.5, .prefill_gflops = 1e9, .dispatch_us = 0};
  const OwnedPlan owned = make_plan(model, board.caps);
  uint64_t bytes = 0;
  for (const Dispatch& d : owned.plan.decode.dispatches)
    bytes += d.bytes + d.bytes_per_position;
  const Fit fit = check_fit(model, board);
  EXPECT_NEAR(fit.decode_ms[0], static_cast<double>(bytes) / 1e6, 1e-9);
  board.speed.dispatch_us = 1000;
  const double dispatches = static_cast<double>(owned.plan.decode.dispatches.size());
  EXPECT_NEAR(check_fit(model, board).decode_ms[0], fit.decode_ms[0] + dispatches, 1e-9);
  board.speed = {
      .dram_gb_per_s = 1e9, .decode_share = 1, .prefill_gflops = 0.001, .dispatch_us = 0};
  EXPECT_GT(check_fit(model, board).prefill_ms, 60 * check_fit(model, board).decode_ms[0]);
}

TEST(Fit, names_what_takes_too_much_memory_and_what_would_help) {
  const test::AlignedBytes file = build({.dim = 128, .layers = 4, .ffn = 256, .vocab = 3000});
  const Model model = load_or_fail(file);
  Board board = *find_board("rpi5");
  const uint64_t needed = check_fit(model, board).device_bytes;
  board.budget.device_memory_bytes = needed;
  EXPECT_TRUE(check_fit(model, board).problems.empty());
  board.budget.device_memory_bytes = needed - 1;
  const Fit fit = check_fit(model, board);
  ASSERT_EQ(fit.problems.size(), 1u);
  EXPECT_NE(fit.problems[0].find("device memory: "), std::string::npos) << fit.problems[0];
  EXPECT_TRUE(has(fit.remedies, "--cache i8 saves")) << all(fit.remedies);
  EXPECT_TRUE(has(fit.remedies, "--group-size 128 saves")) << all(fit.remedies);
  ASSERT_TRUE(has(fit.remedies, "--context 256 comes to")) << all(fit.remedies);
  EXPECT_TRUE(check_fit(model, board, {.context = 256}).problems.empty());
  EXPECT_EQ(fit_json(fit, board)["fits"], false);
  board.budget.host_arena_bytes = 1 << 20;
  EXPECT_TRUE(has(check_fit(model, board).problems, "host memory: an arena of "));
  board.budget.device_memory_bytes = 1000;
  EXPECT_TRUE(has(check_fit(model, board).remedies, "a model with fewer parameters"));
}

TEST(Fit, says_what_the_planner_says_where_there_is_no_plan) {
  const test::AlignedBytes file = build();
  const Model model = load_or_fail(file);
  Board board = *find_board("rpi5");
  board.caps.memory_heap_bytes[0] = 4096;
  const Fit fit = check_fit(model, board);
  ASSERT_EQ(fit.problems.size(), 1u);
  EXPECT_FALSE(fit.planned);
  EXPECT_NE(fit.problems[0].find("memory"), std::string::npos) << fit.problems[0];
  EXPECT_NE(fit_text(fit, board).find("does not fit: "), std::string::npos);
}

TEST(Fit, makes_submits_short_enough_for_the_watchdog) {
  const test::AlignedBytes file = build();
  const Model model = load_or_fail(file);
  Board board = *find_board("rk3588");
  board.watchdog = {};
  const Fit free = check_fit(model, board);
  EXPECT_EQ(free.prefill_chunk, 64u);
  EXPECT_EQ(free.max_burst, 32u);
  // Slow enough for a chunk of 64 to outlast half of the second, not for one of 16.
  board.watchdog = {.ms = 1000, .of_submit = true};
  board.speed.prefill_gflops *= free.prefill_ms / 500 / 3.9;
  const Fit fit = check_fit(model, board);
  EXPECT_TRUE(fit.problems.empty()) << all(fit.problems);
  EXPECT_LT(fit.prefill_chunk, 64u);
  EXPECT_LE(fit.prefill_ms, 500);
  EXPECT_LE(fit.max_burst * fit.decode_ms[1], 500);
  EXPECT_GT(check_fit(model, board, {.prefill_chunk = 2 * fit.prefill_chunk}).prefill_ms, 500);
  // A chunk that was asked for is not changed but found too long.
  const Fit asked = check_fit(model, board, {.prefill_chunk = 64});
  EXPECT_TRUE(has(asked.problems, "a prefill step of 64 tokens is estimated at"));
  // By dispatches, the longest one counts.
  board.watchdog.of_submit = false;
  EXPECT_LE(check_fit(model, board).longest_ms, 500);
  board.speed.decode_share = 1e-9;
  EXPECT_TRUE(has(check_fit(model, board).problems, "the dispatch of "));
  board.watchdog.of_submit = true;
  EXPECT_TRUE(has(check_fit(model, board).problems, "a decode step is estimated at "));
}

TEST(PrefillChunk, of_a_written_model_changes_and_nothing_else) {
  const test::AlignedBytes file = build();
  const test::TempFile path({reinterpret_cast<const char*>(file.span().data()), file.span().size()},
                            ".nbl");
  set_prefill_chunk(path.path(), 24);
  const MappedFile mapped(path.path());
  const Model changed = open_model(mapped);
  EXPECT_EQ(changed.prefill_chunk(), 24u);
  const Model before = load_or_fail(file);
  ASSERT_EQ(changed.file().size(), before.file().size());
  size_t differ = 0;
  for (size_t i = 64; i < before.file().size(); ++i)
    differ += changed.file()[i] != before.file()[i] ? 1 : 0;
  EXPECT_EQ(differ, 1u);
  EXPECT_THROW(set_prefill_chunk("/no/such/model.nbl", 8), std::exception);
}

}  // namespace
}  // namespace nbl::compiler
