// Could break: a NaN or an infinity in any weight that comes out as tokens, a position that is not
// the one, an engine that is of no use after it, or a healthy model that is refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>

#include "tests/support/engine.h"
#include "tests/support/planted.h"
#include "tests/support/sampling_options.h"
#include "tests/support/small_llama.h"

namespace nbl::test {
namespace {

constexpr uint32_t kVocab = 211;
constexpr uint32_t kPrompt[] = {0, 5, 9, 133, 70};
constexpr uint32_t kSteps = 32;
constexpr uint32_t kFlags[] = {0, NBL_FLAG_FLOOR_KERNELS, NBL_FLAG_GPU_KERNELS, NBL_FLAG_CHAIN};

// With an output head of its own.
AlignedBytes llama(BuildOptions options = {}) {
  compiler::Checkpoint checkpoint = small_llama({.dim = 64,
                                                 .heads = 4,
                                                 .kv_heads = 2,
                                                 .head_dim = 16,
                                                 .ffn = 96,
                                                 .vocab = kVocab,
                                                 .context = 64,
                                                 .tied = false,
                                                 .seed = 8});
  return build_model(checkpoint, options);
}

const AlignedBytes& healthy() {
  static const AlignedBytes file = llama();
  return file;
}

// The sentence's position where a call failed with not_finite; -1 where it did not fail.
int64_t position_of(nbl_status status, const nbl_error& error) {
  if (status == 0) return -1;
  EXPECT_STREQ(nbl_status_name(status), "not_finite") << sentence(error);
  EXPECT_NE(sentence(error).find("position " + std::to_string(error.value)), std::string::npos);
  return static_cast<int64_t>(error.value);
}

int64_t evaluate(TestEngine& engine, std::span<const uint32_t> tokens) {
  nbl_error error = {};
  const nbl_status status =
      nbl_evaluate(engine.get(), tokens.data(), static_cast<uint32_t>(tokens.size()), &error);
  return position_of(status, error);
}

int64_t generate(TestEngine& engine, uint32_t limit) {
  std::vector<uint32_t> tokens(limit);
  uint32_t count = 1234567;
  nbl_error error = {};
  const nbl_status status = nbl_generate(engine.get(), limit, tokens.data(), &count, &error);
  if (status != 0) {
    EXPECT_EQ(count, 1234567u);
  }
  return position_of(status, error);
}

class NotFinite : public testing::Test {
 protected:
  void SetUp() override { NBL_REQUIRE_VULKAN(); }
};

TEST_F(NotFinite, numbers_in_any_weight_are_reported) {
  struct Case {
    bool fuse;
    DType cache;
  };
  for (const Case& c : {Case{true, DType::f16}, Case{false, DType::f16}, Case{true, DType::i8}}) {
    BuildOptions options;
    options.passes.fuse = c.fuse;
    options.cache = c.cache;
    const AlignedBytes good = llama(options);
    const uint32_t count = PlantedFile(good).model().tensor_count();
    uint32_t planted = 0;
    for (uint32_t tensor = 0; tensor < count; ++tensor) {
      PlantedFile file(good);
      // The second layer is as the first.
      if (!file.is_weight(tensor) || file.model().tensor(tensor).name.starts_with("blk.1."))
        continue;
      const uint32_t bits = (planted % 2 == 0) == c.fuse ? kNanBits : kInfinityBits;
      const uint32_t flags = kFlags[planted / 2 % 4];
      // Of a table the row of the prompt's first token; of a vector and of other matrices
      // everything depends on any element.
      file.plant(tensor, 0, bits);
      TestEngine engine(file.bytes(), {.flags = flags});
      EXPECT_EQ(evaluate(engine, kPrompt), 4)
          << file.model().tensor(tensor).name << (bits == kNanBits ? " NaN" : " infinity")
          << " flags " << flags;
      EXPECT_EQ(engine.position(), 0u);
      ++planted;
    }
    EXPECT_GE(planted, c.fuse ? 9u : 12u);
  }
}

// The row of one token in the table is bad. Steps in front of it are what they are without it.
TEST_F(NotFinite, row_of_a_token_is_met_at_its_step_of_any_burst) {
  TestEngine good(healthy().span());
  good.evaluate(kPrompt);
  const std::vector<uint32_t> expected = good.generate(kSteps);
  ASSERT_EQ(expected.size(), kSteps);
  // A token that neither the prompt nor the first steps have.
  uint32_t at = 6;
  const auto known = [&](uint32_t token) {
    return std::find(expected.begin(), expected.begin() + at, token) != expected.begin() + at ||
           std::find(std::begin(kPrompt), std::end(kPrompt), token) != std::end(kPrompt);
  };
  while (at < kSteps && known(expected[at]))
    ++at;
  ASSERT_LT(at, kSteps) << "the healthy text repeats itself";
  PlantedFile file(healthy());
  file.plant_row(file.find("token_embd.weight"), expected[at], kNanBits);

  for (uint32_t i = 0; i < 4; ++i) {
    const uint32_t flags = kFlags[i];
    const uint32_t burst = std::array{32u, 1u, 4u, 32u}[i];
    TestEngine engine(file.bytes(),
                      {.flags = flags, .max_burst = burst, .logits = NBL_LOGITS_LAST});
    engine.evaluate(kPrompt);
    const uint32_t first = engine.next_token();
    EXPECT_EQ(generate(engine, kSteps), 5 + at) << "burst " << burst << " flags " << flags;
    // As it was before the call, but for the logits.
    EXPECT_EQ(engine.position(), 5u);
    EXPECT_EQ(engine.next_token(), first);
    EXPECT_THROW(engine.logits(), std::runtime_error);
    // The tokens in front of it can be had, and it is still there.
    EXPECT_EQ(engine.generate(at), std::vector<uint32_t>(expected.begin(), expected.begin() + at));
    EXPECT_EQ(engine.next_token(), expected[at]);
    EXPECT_EQ(generate(engine, 1), 5 + at);
    // Other tokens in its place are fine, and so is the token banned.
    engine.rewind(5);
    const nbl_logit_bias ban = {expected[at], -std::numeric_limits<float>::infinity()};
    nbl_error error = {};
    ASSERT_EQ(nbl_set_logit_bias(engine.get(), &ban, 1, &error), 0u);
    engine.evaluate({&expected[0], 1});
    EXPECT_EQ(engine.generate(kSteps - 1).size(), kSteps - 1);
    EXPECT_EQ(engine.position(), 5 + kSteps);
  }
}

TEST_F(NotFinite, row_of_a_prompt_is_met_in_its_chunk) {
  constexpr uint32_t kBad = 77;
  PlantedFile file(healthy());
  file.plant_row(file.find("token_embd.weight"), kBad, kInfinityBits);
  std::vector<uint32_t> prompt(30);
  for (uint32_t i = 0; i < prompt.size(); ++i)
    prompt[i] = 1 + i;
  prompt[19] = kBad;  // in the chunk at positions 18 to 25
  for (const uint32_t logits : {NBL_LOGITS_NONE, NBL_LOGITS_LAST, NBL_LOGITS_ALL}) {
    TestEngine engine(file.bytes(), {.prefill_chunk = 8, .logits = logits});
    engine.evaluate({prompt.data(), 2});
    const uint32_t next = engine.next_token();
    // The chunk's last row tells, or where there are all of them the first that is not finite:
    // kernels multiply what a row does not see by 0.
    const int64_t met = evaluate(engine, std::span(prompt).subspan(2));
    EXPECT_GE(met, logits == NBL_LOGITS_ALL ? 18 : 25) << logits;
    EXPECT_LE(met, logits == NBL_LOGITS_ALL ? 19 : 25) << logits;
    EXPECT_EQ(engine.position(), 2u);
    EXPECT_EQ(engine.next_token(), next);
    engine.evaluate(std::span(prompt).subspan(2, 16));
    EXPECT_EQ(engine.position(), 18u);
    EXPECT_EQ(engine.generate(4).size(), 4u);
  }
}

// Caches of f16 and int8 take no infinity: f16 ends at 65504, where larger numbers are clamped, and
// what is past float32 comes out.
TEST_F(NotFinite, sums_that_overflow_are_reported) {
  for (const DType cache : {DType::f32, DType::f16, DType::i8}) {
    for (const uint32_t flags : {0u, uint32_t{NBL_FLAG_GPU_KERNELS}}) {
      PlantedFile file(llama({.cache = cache}));
      file.multiply(file.find("blk.1.attn_norm.weight"), 1e7f);
      TestEngine large(file.bytes(), {.flags = flags});
      EXPECT_EQ(evaluate(large, kPrompt), -1);
      file.multiply(file.find("blk.0.ffn_norm.weight"), 3e38f);
      TestEngine engine(file.bytes(), {.flags = flags});
      EXPECT_EQ(evaluate(engine, kPrompt), 4);
    }
  }
  PlantedFile file(healthy());
  file.multiply(file.find("output_norm.weight"), 3e38f);
  TestEngine engine(file.bytes());
  EXPECT_EQ(evaluate(engine, {kPrompt, 1}), 0);
}

TEST_F(NotFinite, numbers_behind_a_slide_leave_an_engine_that_goes_on) {
  constexpr uint32_t kBad = 77;
  PlantedFile file(healthy());
  file.plant_row(file.find("token_embd.weight"), kBad, kNanBits);
  TestEngine engine(file.bytes(),
                    {.context = 20, .prefill_chunk = 8, .on_full = NBL_ON_FULL_SLIDE});
  std::vector<uint32_t> prompt(50, 3);
  prompt.back() = kBad;
  const int64_t met = evaluate(engine, prompt);
  EXPECT_GE(met, 4);
  EXPECT_LT(met, 20);
  EXPECT_LE(engine.position(), met);
  EXPECT_GT(engine.info().dropped_positions, 0u);
  nbl_error error = {};
  uint32_t token = 0;
  EXPECT_NE(nbl_next_token(engine.get(), &token, &error), 0u) << "a token of another position";
  engine.evaluate({prompt.data(), 1});
  EXPECT_EQ(engine.generate(40).size(), 40u);
}

}  // namespace
}  // namespace nbl::test
