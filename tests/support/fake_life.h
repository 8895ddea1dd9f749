// A whole life of an engine on the fake driver: opened in exactly the memory that it asked for,
// a prompt longer than a chunk, bursts, a full context, a state saved and gone back to, logits and
// times where there are any, closed. It stops at the first failure.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "boards/fake/fake_vulkan.h"
#include "tests/support/exact_arena.h"
#include "tests/support/fake_kernels.h"
#include "tests/support/sentence.h"

namespace nbl::test {

class FakeLife {
 public:
  static constexpr size_t kPage = 65536;  // no device imports in larger ones
  static constexpr std::byte kPoison{0xee};

  FakeLife(const Caps& caps, const AlignedBytes& model, uint32_t flags = 0)
      : vulkan(caps),
        has_timestamps_((caps.features & kTimestamps) != 0),
        file_(model.size + kPage),
        state_(size_t{1} << 20),
        timings_(256) {
    vulkan.stand_in(run_fake_kernel);
    vulkan.refine(fake_pattern);
    // Imported memory lies on pages, and whole ones of it.
    const uintptr_t start = reinterpret_cast<uintptr_t>(file_.data());
    std::byte* const page = file_.data() + (-start & (kPage - 1));
    std::memcpy(page, model.span().data(), model.size);
    config = small_config(model);
    config.get_instance_proc_addr = vulkan.entry();
    config.model = page;
    config.flags = flags;
    config.logits = NBL_LOGITS_LAST;
    config.driver_pool_bytes = 1u << 20;
    config.staging_bytes = 65536;
  }

  // Gives the config an arena of exactly what nbl_memory_needed() says.
  nbl_status measure(nbl_error* error) { return give_arena(&config, &arena_, &memory, error); }

  // Failing outputs hold what they held before, or as far as they were written what they should.
  nbl_status run(nbl_error* error) {
    tokens.assign(kTokens, 0xeeeeeeee);
    std::fill(state_.begin(), state_.end(), kPoison);
    opened = false;
    nbl_engine* engine = nullptr;
    nbl_status status = nbl_open(&config, &engine, error);
    opened = status == 0;
    EXPECT_EQ(opened, engine != nullptr);
    if (opened) status = live(engine, error);
    nbl_close(engine);
    return status;
  }

  // Runs without any fault and keeps what came as what is right.
  void learn() {
    nbl_error error = {};
    ASSERT_EQ(measure(&error), 0u) << sentence(error);
    vulkan.forget();
    ASSERT_EQ(run(&error), 0u) << sentence(error);
    expected = tokens;
  }

  // Nothing was misused, raced or left.
  void expect_clean(const std::string& what) const {
    EXPECT_EQ(vulkan.complaints(), std::vector<std::string>{}) << what;
    EXPECT_EQ(vulkan.alive(), "") << what;
    EXPECT_EQ(vulkan.device_bytes(), 0u) << what;
    EXPECT_EQ(vulkan.without_callbacks(), 0u) << what;
  }

  fake::FakeVulkan vulkan;
  nbl_config config = {};
  nbl_memory memory = {};
  std::vector<uint32_t> tokens;
  std::vector<uint32_t> expected;
  bool opened = false;
  std::string step;  // of live(), the last that began

 private:
  static constexpr uint32_t kFirst = 16, kTokens = 20;

  nbl_status live(nbl_engine* engine, nbl_error* error) {
    nbl_status status = story(engine, error);
    if (status == 0) status = read(engine, error);
    if (status != 0) expect_dead(engine, *error);
    return status;
  }

  nbl_status generate(nbl_engine* engine, uint32_t from, uint32_t limit, nbl_error* error) {
    step = "nbl_generate";
    uint32_t count = kUntouched;
    const nbl_status status = nbl_generate(engine, limit, &tokens[from], &count, error);
    EXPECT_EQ(count, status == 0 ? limit : kUntouched);
    return status;
  }

  nbl_status story(nbl_engine* engine, nbl_error* error) {
    const uint32_t prompt[] = {1, 300, 17, 5, 220, 9, 31, 44, 2, 199, 12};
    step = "nbl_evaluate";
    // Words in host memory that steps read and no step writes.
    const nbl_logit_bias biases[] = {{3, 1.0f}, {5, -2.0f}};
    nbl_sampling sampling = {};
    sampling.repeat_penalty = 1.1f;
    nbl_status status = nbl_set_logit_bias(engine, biases, 2, error);
    if (status == 0) status = nbl_set_sampling(engine, &sampling, error);
    if (status == 0) status = nbl_evaluate(engine, prompt, std::size(prompt), error);
    if (status == 0) status = generate(engine, 0, kFirst, error);
    if (status != 0) return status;
    step = "nbl_save_state";
    size_t bytes = kUntouched;
    status = nbl_save_state(engine, state_.data(), state_.size(), &bytes, error);
    if (status != 0) {
      EXPECT_EQ(bytes, kUntouched);
      EXPECT_EQ(state_[0], kPoison) << "half a state looks like one";
      return status;
    }
    step = "nbl_load_state";
    status = nbl_load_state(engine, state_.data(), bytes, error);
    if (status != 0) return status;
    status = generate(engine, kFirst, kTokens - kFirst, error);
    if (status != 0) return status;
    step = "nbl_restart";
    return nbl_restart(engine, error);
  }

  nbl_status read(nbl_engine* engine, nbl_error* error) {
    if ((config.flags & NBL_FLAG_TIMESTAMPS) == 0 || !has_timestamps_) return 0;
    step = "nbl_timings";
    for (const int prefill : {0, 1}) {
      std::memset(timings_.data(), 0xee, timings_.size() * sizeof timings_[0]);
      const std::vector<nbl_timing> before = timings_;
      uint32_t count = kUntouched;
      const nbl_status status = nbl_timings(engine, prefill, timings_.data(),
                                            static_cast<uint32_t>(timings_.size()), &count, error);
      if (status == 0) {
        for (const nbl_timing& t : std::span(timings_).first(count))
          EXPECT_GT(t.local_size[0], 1u) << t.kernel;
        continue;
      }
      EXPECT_EQ(count, kUntouched);
      EXPECT_EQ(std::memcmp(timings_.data(), before.data(), sizeof timings_[0] * timings_.size()),
                0);
      return status;
    }
    return 0;
  }

  // What failed before is named, and nothing but closing is left.
  void expect_dead(nbl_engine* engine, const nbl_error& failed) {
    const std::string name = nbl_status_name(failed.status);
    if (name == "no_timestamps") return;
    nbl_error error = {};
    const uint32_t token = 1;
    EXPECT_STREQ(nbl_status_name(nbl_evaluate(engine, &token, 1, &error)), "engine_dead");
    if (name == "gpu_timeout") return;
    EXPECT_NE(sentence(error).find(vulkan.failed()), std::string::npos) << sentence(error);
  }

  static constexpr uint32_t kUntouched = 0xeeeeeeee;
  bool has_timestamps_;
  std::vector<std::byte> file_;
  std::vector<std::byte> state_;
  std::vector<nbl_timing> timings_;
  ExactBytes arena_{0};
};

}  // namespace nbl::test
