// Could break: what is drawn, how often. Many draws against the float64 distribution, for every
// way to narrow the choice and for vocabularies of all sizes, on fixed seeds and on fresh ones.
#include <gtest/gtest.h>

#include "tests/rt/kernels/sampler.h"
#include "tests/support/chi_square.h"

namespace nbl::test {
namespace {

// A right sampler fails a test of fresh seeds this rarely.
constexpr double kRare = 1e-6;

// Draws after the logits got what `adjust` says, with `context` evaluated.
void expect_distribution(Gpu* gpu, const Caps& caps, const std::vector<float>& logits,
                         const SampleRule& rule, uint32_t draws, const AdjustRule& adjust = {},
                         const std::vector<uint32_t>& context = {}) {
  const std::vector<double> changed = adjust_reference(logits, adjust, context);
  std::vector<double> p(logits.size(), 0.0);
  double total = 0;
  const std::vector<Survivor> survivors = survivors_reference(changed, rule);
  for (const Survivor& s : survivors)
    total += std::exp(-s.distance);
  for (const Survivor& s : survivors)
    p[s.index] = std::exp(-s.distance) / total;

  Sampler sampler = Sampler::of(gpu, caps, logits);
  const uint32_t before = context.empty() ? 0 : static_cast<uint32_t>(context.size()) - 1;
  sampler.set(rule, before);
  sampler.remember(std::span(context).first(before));
  if (!context.empty()) sampler.step[STEP_TOKENS] = context.back();
  sampler.adjust(adjust);
  sampler.run_argmax();
  sampler.adjust({});  // the changed logits stay for all draws
  std::vector<uint32_t> seen(logits.size(), 0);
  for (const uint32_t token : sampler.run_sample(draws))
    ++seen[token];
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0) {
      ASSERT_EQ(seen[i], 0u) << "token " << i << " is not allowed";
    } else if (p[i] * draws > 40) {
      ASSERT_GT(seen[i], 0u) << "token " << i << " never comes";
    }
  }
  const Fit fit = fit_of(seen, p);
  EXPECT_GT(fit.far, kRare) << survivors.size() << " tokens in " << fit.bins << " bins";
  EXPECT_GT(fit.near, kRare) << "too regular to be random, " << fit.bins << " bins";
}

std::vector<float> steps_of(float step) {
  std::vector<float> logits;
  for (int i = 0; i < 22; ++i)
    logits.push_back(-step * static_cast<float>((i * 7) % 22));
  return logits;
}

struct Case {
  const char* name;
  SampleRule rule;
  AdjustRule adjust = {};
};

const Case kCases[] = {
    {"temperature 1", {.temperature = 1}},
    {"temperature 3", {.temperature = 3}},
    {"top k", {.temperature = 0.7f, .top_k = 6}},
    {"top p", {.temperature = 1, .top_p = 0.8f}},
    {"min p", {.temperature = 1.2f, .min_p = 0.13f}},
    {"top k and top p", {.temperature = 1.5f, .top_k = 12, .top_p = 0.9f}},
    {"all three", {.temperature = 2, .top_k = 14, .top_p = 0.95f, .min_p = 0.2f}},
    {"repeat penalty", {.temperature = 1}, {.repeat = 1.7f, .window = 9}},
    {"a reward", {.temperature = 1, .min_p = 0.01f}, {.repeat = 0.5f, .window = 1024}},
    {"presence and frequency",
     {.temperature = 1},
     {.presence = 0.5f, .frequency = 0.3f, .window = 12}},
    {"everything",
     {.temperature = 1.3f, .top_k = 15, .top_p = 0.97f, .min_p = 0.05f},
     {.biases = {{3, 2.5f}, {21, -INFINITY}, {0, -0.5f}},
      .repeat = 1.2f,
      .presence = -0.4f,
      .frequency = 0.25f,
      .window = 7}},
};

const std::vector<uint32_t> kContext = {5, 5, 0, 21, 3, 3, 3, 16, 9, 1, 3, 19, 5, 0, 2};

TEST(SampleDistribution, is_right_on_fixed_seeds) {
  NBL_REQUIRE_GPU(gpu);
  uint64_t seed = 0x123456789abcdefull;
  for (const Case& one : kCases) {
    SampleRule rule = one.rule;
    rule.seed = ++seed;
    SCOPED_TRACE(one.name);
    expect_distribution(gpu, gpu->caps(), steps_of(0.25f), rule, 8000, one.adjust, kContext);
  }
}

TEST(SampleDistribution, is_right_on_fresh_seeds) {
  NBL_REQUIRE_GPU(gpu);
  Random random(21);
  for (const Case& one : kCases) {
    SampleRule rule = one.rule;
    rule.seed = uint64_t{random.below(~0u)} << 32 | random.below(~0u);
    SCOPED_TRACE(one.name);
    const std::vector<float> logits = steps_of(random.uniform(0.1f, 0.3f));
    expect_distribution(gpu, gpu->caps(), logits, rule, 4000, one.adjust, kContext);
    expect_distribution(gpu, gpu->floor_of_caps(), logits, rule, 300, one.adjust, kContext);
  }
}

TEST(SampleDistribution, is_right_for_every_vocabulary) {
  NBL_REQUIRE_GPU(gpu);
  Random random(22);
  for (const uint32_t vocab : {1u, 2u, 31u, 997u, 32000u, 262144u}) {
    const std::vector<float> logits = random_logits(&random, vocab, 2);
    for (const float min_p : {0.0f, 0.02f}) {
      const SampleRule rule{.temperature = 1,
                            .top_k = vocab > 31 ? 500u : 0u,
                            .top_p = 0.9f,
                            .seed = random.below(~0u),
                            .min_p = min_p};
      SCOPED_TRACE(vocab);
      expect_distribution(gpu, gpu->caps(), logits, rule, vocab > 100000 ? 100 : 1000);
    }
  }
}

TEST(SampleDistribution, keeps_all_ties_at_the_threshold_of_min_p) {
  NBL_REQUIRE_GPU(gpu);
  for (const uint32_t vocab : {2u, 31u, 257u}) {
    for (const Caps& caps : both(gpu)) {
      // A third each at the maximum, half as likely, and a quarter as likely.
      std::vector<float> logits(vocab);
      for (uint32_t i = 0; i < vocab; ++i)
        logits[i] = 4 - 0.69314718f * static_cast<float>((i + 1) % 3);
      const uint32_t draws = 8 * vocab;
      for (const float min_p : {1.0f, 0.4999f, 0.3f, 0.2499f}) {
        const SampleRule rule{.temperature = 1, .seed = vocab, .min_p = min_p};
        SCOPED_TRACE(min_p);
        expect_distribution(gpu, caps, logits, rule, draws);
      }
    }
  }
}

TEST(SampleDistribution, keeps_the_likeliest_whatever_min_p_is) {
  NBL_REQUIRE_GPU(gpu);
  std::vector<float> logits = steps_of(0.01f);
  for (const float min_p : {0.0f, 1e-38f, 1e-14f, 0.5f, 1.0f}) {
    Sampler sampler = Sampler::of(gpu, gpu->caps(), logits);
    sampler.set({.temperature = 1, .top_k = 1, .seed = 3, .min_p = min_p}, 0);
    for (const uint32_t token : sampler.run(20))
      EXPECT_EQ(token, 0u);
    // Far below any distance that is told apart nothing is cut.
    sampler.set({.temperature = 1, .seed = 3}, 0);
    const std::vector<uint32_t> all = sampler.run(200);
    if (min_p > 0.1f) continue;
    sampler.set({.temperature = 1, .seed = 3, .min_p = min_p}, 0);
    EXPECT_EQ(sampler.run(200), all) << min_p;
  }
}

TEST(ChiSquare, has_the_tails_of_the_tables) {
  EXPECT_NEAR(chi_square_tail(3.841, 1), 0.05, 1e-4);
  EXPECT_NEAR(chi_square_tail(18.307, 10), 0.05, 1e-4);
  EXPECT_NEAR(chi_square_tail(29.707, 50), 0.99, 1e-4);
  EXPECT_NEAR(chi_square_tail(149.449, 100), 0.001, 1e-5);
  EXPECT_LT(fit_of({50, 150}, {0.5, 0.5}).far, 1e-9);
  EXPECT_GT(fit_of({96, 104}, {0.5, 0.5}).far, 0.4);
}

}  // namespace
}  // namespace nbl::test
