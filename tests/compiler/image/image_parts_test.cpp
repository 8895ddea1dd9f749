// Could break: a kernel that a model needs on its board is left out of the image; sizes in the
// header that are not what the engine takes.
#include <gtest/gtest.h>

#include <algorithm>

#include "compiler/image/config_file.h"
#include "compiler/image/kernels_file.h"
#include "compiler/inspect/inspect.h"
#include "rt/load.h"
#include "tests/support/compiled.h"
#include "tests/support/small_llama.h"

namespace nbl::compiler {
namespace {

Model load_or_fail(const test::AlignedBytes& file) {
  Model model;
  Error error;
  EXPECT_TRUE(load(file.span(), &model, &error).ok()) << error.name;
  return model;
}

bool has(const std::vector<VariantId>& kernels, uint16_t variant) {
  return std::find(kernels.begin(), kernels.end(), static_cast<VariantId>(variant)) !=
         kernels.end();
}

void expect_all_of(const OwnedPlan& owned, const std::vector<VariantId>& kernels) {
  const Plan& plan = owned.plan;
  for (const Phase* phase : {&plan.decode, &plan.prefill, &plan.window, &plan.slide}) {
    for (const Dispatch& dispatch : phase->dispatches) {
      EXPECT_TRUE(has(kernels, dispatch.call.variant))
          << plan.caps.name << " " << kVariants[dispatch.call.variant].name;
    }
  }
}

TEST(ImageKernels, are_those_of_the_boards_plan_and_of_the_floors) {
  const test::AlignedBytes file = test::build_model(test::small_llama({}));
  const Model model = load_or_fail(file);
  uint64_t all = 0;
  for (const Variant& variant : kVariants)
    all += variant.word_bytes;
  for (const Board& board : boards()) {
    const std::vector<VariantId> kernels = needed_kernels(model, board);
    EXPECT_TRUE(std::is_sorted(kernels.begin(), kernels.end()));
    for (const bool slide : {false, true}) {
      expect_all_of(make_plan(model, board.caps, {.slide = slide}), kernels);
      expect_all_of(make_plan(model, find_board("floor")->caps, {.slide = slide}), kernels);
    }
    EXPECT_LT(kernel_bytes(kernels), all / 2) << board.name;
    const std::string source = kernels_source(kernels, "a test");
    for (size_t i = 0; i < kVariantCount; ++i) {
      const std::string row = "case VariantId::" + std::string(kVariants[i].name) + ":";
      EXPECT_EQ(source.find(row) != std::string::npos, has(kernels, static_cast<uint16_t>(i)));
    }
  }
}

TEST(ImageConfig, has_the_sizes_of_the_plan) {
  const test::AlignedBytes file = test::build_model(test::small_llama({}));
  const Model model = load_or_fail(file);
  for (const Board& board : boards()) {
    const Fit fit = check_fit(model, board);
    const nbl_memory memory = memory_on(model, board, sizes_of(fit));
    EXPECT_GT(memory.host_bytes, memory.driver_pool_bytes) << board.name;
    const std::string header = config_source(memory, fit, board, file.size);
    const auto has_line = [&](const char* name, uint64_t value) {
      const std::string line = "#define " + std::string(name) + " " + std::to_string(value);
      return header.find(line + "\n") != std::string::npos ||
             header.find(line + " ") != std::string::npos;
    };
    EXPECT_TRUE(has_line("NIBBLE_MODEL_BYTES", file.size)) << header;
    EXPECT_TRUE(has_line("NIBBLE_ARENA_BYTES", memory.host_bytes)) << header;
    EXPECT_TRUE(has_line("NIBBLE_DEVICE_BYTES", memory.device_bytes)) << header;
    EXPECT_TRUE(has_line("NIBBLE_PREFILL_CHUNK", fit.prefill_chunk)) << header;
  }
}

}  // namespace
}  // namespace nbl::compiler
