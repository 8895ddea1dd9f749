// Could break: times that overlap, are rounded or are of another step; an engine with timestamps on
// a device that has none; calls about queries in an engine that was opened without.
#include "rt/timings.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "rt/base/ticks.h"
#include "rt/engine.h"
#include "rt/load.h"
#include "rt/nibble.hpp"
#include "rt/vk/host_memory.h"
#include "tests/support/failing_vulkan.h"
#include "tests/support/fault_rig.h"

namespace nbl {
namespace {

using test::FailingVulkan;
using test::FakeTimestamps;

constexpr float kMaliPeriod = 52.083332f;
constexpr uint64_t kMask36 = (uint64_t{1} << 36) - 1;

void keep_line(void* lines, const char* line) {
  static_cast<std::vector<std::string>*>(lines)->emplace_back(line);
}

bool is_about_queries(const std::string& call) {
  return call.find("Query") != std::string::npos ? call.find("QueueFamily") == std::string::npos
                                                 : call.find("Timestamp") != std::string::npos;
}

class Timings : public testing::Test {
 protected:
  void SetUp() override {
    NBL_REQUIRE_VULKAN();
    model_ = test::tiny_model(false);
  }

  // An engine over the machine's Vulkan, of which `fake` is told.
  void open(uint32_t flags, const FakeTimestamps& fake) {
    engine_.close();
    config_ = test::fault_config(model_);
    config_.flags = flags | NBL_FLAG_NO_IMPORT;
    config_.log = keep_line;
    config_.user = &log_;
    config_.get_instance_proc_addr = FailingVulkan::over(test::vulkan_entry());
    FailingVulkan::fake_timestamps(fake);
    FailingVulkan::keep_stream();
    log_.clear();
    nbl_error error = {};
    ASSERT_EQ(test::give_arena(&config_, &arena_, &memory_, &error), 0u) << test::sentence(error);
    ASSERT_EQ(engine_.open(config_, &error), 0u) << test::sentence(error);
  }
  void TearDown() override { engine_.close(); }

  void tell_a_story() {
    std::vector<uint32_t> tokens;
    nbl_error error = {};
    ASSERT_EQ(test::short_story(engine_.get(), &tokens, &error), 0u) << test::sentence(error);
  }

  std::vector<nbl_timing> timings(bool prefill) {
    const nbl_info info = engine_.info();
    std::vector<nbl_timing> out(prefill ? info.prefill_dispatches : info.decode_dispatches);
    uint32_t count = 0;
    nbl_error error = {};
    EXPECT_EQ(engine_.timings(prefill, out, &count, &error), 0u) << test::sentence(error);
    EXPECT_EQ(count, out.size());
    return out;
  }

  void expect_no_timestamps(bool prefill, const std::string& reason) {
    std::vector<nbl_timing> out(64);
    std::memset(static_cast<void*>(out.data()), 0x5a, out.size() * sizeof out[0]);
    const std::vector<nbl_timing> before = out;
    uint32_t count = 77;
    nbl_error error = {};
    EXPECT_STREQ(nbl_status_name(engine_.timings(prefill, out, &count, &error)), "no_timestamps");
    EXPECT_NE(test::sentence(error).find(reason), std::string::npos) << test::sentence(error);
    EXPECT_EQ(std::memcmp(out.data(), before.data(), out.size() * sizeof out[0]), 0);
    EXPECT_EQ(count, 77u);
  }

  test::AlignedBytes model_;
  nbl_config config_ = {};
  nbl_memory memory_ = {};
  test::ExactBytes arena_{0};
  std::vector<std::string> log_;
  nibble::Engine engine_;
};

TEST_F(Timings, keep_the_period_and_wrap_with_the_counter) {
  const uint64_t origin = kMask36 - 55;  // wraps within the third dispatch
  open(NBL_FLAG_TIMESTAMPS, {.valid_bits = 36, .period_ns = kMaliPeriod, .tick = [&](uint64_t i) {
                               return (origin + 1'000'000'007 * i) & kMask36;
                             }});
  tell_a_story();
  const std::vector<nbl_timing> decode = timings(false);
  ASSERT_GT(decode.size(), 3u);
  for (uint64_t i = 0; i < decode.size(); ++i) {
    const nbl_timing& t = decode[i];
    EXPECT_EQ(t.index, i);
    EXPECT_EQ(t.start_ns, ticks_to_ns((2 * i + 1) * 1'000'000'007, kMaliPeriod));
    EXPECT_EQ(t.end_ns, ticks_to_ns((2 * i + 2) * 1'000'000'007, kMaliPeriod));
    EXPECT_EQ(t.duration_ns, t.end_ns - t.start_ns);
    EXPECT_NEAR(static_cast<double>(t.duration_ns), 1'000'000'007 * double{kMaliPeriod}, 1);
  }
}

// Begin stamps are those of the submit, whose earlier steps took until 5000.
uint64_t pinned(uint64_t i) {
  return i % 2 == 1 ? 1000 : 5000 + 10 * i;
}

TEST_F(Timings, never_overlap_where_begin_stamps_are_pinned) {
  open(NBL_FLAG_TIMESTAMPS, {});
  tell_a_story();
  for (const bool prefill : {false, true}) {
    FailingVulkan::fake_timestamps({.tick = pinned});
    uint64_t end = 0;
    for (const nbl_timing& t : timings(prefill)) {
      EXPECT_EQ(t.start_ns, end);
      EXPECT_EQ(t.duration_ns, 20u);
      end = t.end_ns;
    }
  }
}

TEST_F(Timings, name_kernel_node_and_op) {
  open(NBL_FLAG_TIMESTAMPS, {});
  tell_a_story();
  for (const bool prefill : {false, true}) {
    for (const nbl_timing& t : timings(prefill)) {
      EXPECT_NE(std::string(t.kernel).find('_'), std::string::npos) << t.kernel;
      EXPECT_GT(std::strlen(t.node), 2u);
      EXPECT_TRUE(std::any_of(std::begin(kOpKindNames), std::end(kOpKindNames),
                              [&](std::string_view kind) { return kind == t.op; }))
          << t.op;
      for (uint32_t axis = 0; axis < 3; ++axis)
        EXPECT_EQ(t.global_size[axis], uint64_t{t.grid[axis]} * t.local_size[axis]);
    }
  }
  EXPECT_STREQ(timings(false).front().op, "embedding_q4gsw");
  EXPECT_STREQ(timings(false).back().op, "sample");
}

TEST_F(Timings, are_missing_until_such_a_step_has_run) {
  open(NBL_FLAG_TIMESTAMPS, {});
  expect_no_timestamps(false, "no decode step has run");
  expect_no_timestamps(true, "no prefill step has run");
  const uint32_t prompt[] = {1, 300, 17, 5, 220};
  ASSERT_EQ(engine_.evaluate(prompt), 0u);
  expect_no_timestamps(false, "no decode step has run");
  EXPECT_GT(timings(true).size(), 3u);
  ASSERT_EQ(engine_.rewind(0), 0u);
  ASSERT_EQ(engine_.evaluate({prompt, 1}), 0u);
  EXPECT_GT(timings(false).size(), 3u);
}

TEST_F(Timings, describe_the_last_step_of_a_burst) {
  const auto bytes_after = [&](uint32_t calls, uint32_t limit) {
    open(NBL_FLAG_TIMESTAMPS, {});
    const uint32_t prompt[] = {1, 300, 17, 5, 220};
    EXPECT_EQ(engine_.evaluate(prompt), 0u);
    uint32_t tokens[4] = {}, count = 0;
    for (uint32_t i = 0; i < calls; ++i)
      EXPECT_EQ(engine_.generate({tokens, limit}, &count), 0u);
    EXPECT_EQ(engine_.position(), 9u);
    EXPECT_EQ(engine_.rewind(2), 0u);  // the last step stays what it was
    std::vector<uint64_t> bytes;
    for (const nbl_timing& t : timings(false))
      bytes.push_back(t.bytes);
    return bytes;
  };
  const std::vector<uint64_t> burst = bytes_after(1, 4);
  EXPECT_EQ(burst, bytes_after(4, 1));
  FailingVulkan::fake_timestamps({.tick = [](uint64_t i) { return i; }});
  EXPECT_EQ(timings(false).back().end_ns, 2 * burst.size()) << "each query is read once";
}

TEST_F(Timings, open_with_a_note_where_the_device_has_none) {
  const float nan = std::nanf("");
  std::vector<FakeTimestamps> devices = {{.valid_bits = 0}};
  for (const float period : {0.0f, -1.0f, nan, HUGE_VALF, 2e9f})
    devices.push_back({.period_ns = period});
  open(0, {});
  const uint64_t plain_bytes = memory_.host_bytes;
  EXPECT_EQ(log_.size(), 1u) << "the device's name";
  for (const FakeTimestamps& device : devices) {
    SCOPED_TRACE(device.period_ns);
    open(NBL_FLAG_TIMESTAMPS, device);
    ASSERT_EQ(log_.size(), 2u);
    EXPECT_NE(log_[1].find("no timestamps"), std::string::npos) << log_[1];
    EXPECT_EQ(memory_.host_bytes, plain_bytes);
    tell_a_story();
    expect_no_timestamps(false, "this device has none");
    expect_no_timestamps(true, "this device has none");
    for (const std::string& call : FailingVulkan::stream())
      EXPECT_FALSE(is_about_queries(call)) << call;
  }
}

TEST_F(Timings, say_so_where_the_driver_does_not_have_them) {
  open(NBL_FLAG_TIMESTAMPS, {});
  tell_a_story();
  FailingVulkan::fail(1, VK_NOT_READY);
  expect_no_timestamps(false, "does not have them ready");
  EXPECT_GT(timings(false).size(), 3u) << "the engine goes on";
  for (const std::string& call : FailingVulkan::stream()) {
    if (call.find("vkGetQueryPoolResults") == std::string::npos) continue;
    const std::string flags = call.substr(call.rfind(' '));
    EXPECT_EQ(flags, " " + std::to_string(VK_QUERY_RESULT_64_BIT) + ")") << "waits: " << call;
  }
}

TEST_F(Timings, end_in_a_status_where_reading_fails) {
  open(NBL_FLAG_TIMESTAMPS, {});
  tell_a_story();
  FailingVulkan::fail(1, VK_ERROR_OUT_OF_HOST_MEMORY);
  std::vector<nbl_timing> out(64);
  std::memset(static_cast<void*>(out.data()), 0x5a, out.size() * sizeof out[0]);
  uint32_t count = 77;
  nbl_error error = {};
  EXPECT_STREQ(nbl_status_name(engine_.timings(true, out, &count, &error)), "vulkan_call");
  EXPECT_NE(test::sentence(error).find("vkGetQueryPoolResults"), std::string::npos);
  EXPECT_EQ(count, 77u);
  EXPECT_EQ(out[0].index, 0x5a5a5a5au);
  EXPECT_STREQ(nbl_status_name(engine_.timings(true, out, &count, &error)), "engine_dead");
}

TEST_F(Timings, leave_the_calls_as_they_are_when_off) {
  const auto calls = [&](uint32_t flags) {
    open(flags, {});
    tell_a_story();
    engine_.close();
    return FailingVulkan::stream();
  };
  const std::vector<std::string> off = calls(0);
  std::vector<std::string> on = calls(NBL_FLAG_TIMESTAMPS);
  EXPECT_EQ(calls(0), off);
  EXPECT_GT(off.size(), 200u);
  EXPECT_EQ(std::count_if(off.begin(), off.end(), is_about_queries), 0);
  const auto stamps = std::count_if(on.begin(), on.end(), [](const std::string& call) {
    return call.find("vkCmdWriteTimestamp") == 0;
  });
  const auto dispatches = std::count_if(on.begin(), on.end(), [](const std::string& call) {
    return call.find("vkCmdDispatch") == 0;
  });
  const auto runs = std::count_if(on.begin(), on.end(), [](const std::string& call) {
    return call.find("vkCmdResetQueryPool") == 0;
  });
  // Rows of two caches to and from the window, and of both to where they slide, are not timed.
  constexpr std::ptrdiff_t kMoves = 3;
  EXPECT_EQ(runs, 2) << "one of each phase";
  EXPECT_EQ(stamps, 2 * (dispatches - kMoves) + runs);
  EXPECT_GT(dispatches, 10);
  std::erase_if(on, is_about_queries);
  ASSERT_EQ(on.size(), off.size());
  for (size_t i = 0; i < on.size(); ++i)
    ASSERT_EQ(on[i], off[i]) << "call " << i;
}

// An engine of the runtime's own stages, for options that the C API has not.
class PoolRig {
 public:
  PoolRig(const test::AlignedBytes& model, uint32_t pool_queries)
      : arena_(size_t{8} << 20), driver_(size_t{8} << 20) {
    e_.config.flags = NBL_FLAG_TIMESTAMPS;
    e_.config.timeout_ms = 20000;
    e_.pool.init({driver_.data.get(), driver_.size});
    e_.arena = Arena({arena_.data.get(), arena_.size});
    EXPECT_TRUE(build(model, pool_queries).ok()) << error_.name;
  }
  ~PoolRig() { close_engine(&e_); }

  std::vector<nbl_timing> step() {
    const uint32_t prompt[] = {1, 300, 17, 5, 220};
    EXPECT_TRUE(evaluate(e_.stepper(), prompt, &e_.sequence, &error_).ok());
    FailingVulkan::fake_timestamps({.tick = [](uint64_t i) { return i * i; }});
    std::vector<nbl_timing> out(e_.plan.prefill.dispatches.size());
    uint32_t count = 0;
    EXPECT_TRUE(last_timings(e_, true, out, &count, &error_).ok());
    return out;
  }
  uint32_t queries() const { return e_.recording.prefill.timestamps.count; }
  size_t pools() const { return e_.recording.prefill.timestamps.pools.size(); }

 private:
  Status build(const test::AlignedBytes& model, uint32_t pool_queries) {
    NBL_TRY(open_device(
        reinterpret_cast<PFN_vkGetInstanceProcAddr>(FailingVulkan::over(test::vulkan_entry())),
        pool_callbacks(&e_.pool), 0, extensions_, &e_.device, &error_));
    FailingVulkan::keep_stream();
    NBL_TRY(load(model.span(), &e_.model, &error_));
    NBL_TRY(plan(e_.model, e_.device.caps, {}, &e_.arena, &e_.plan, &error_));
    RecordOptions options;
    options.timestamps = true;
    options.pool_queries = pool_queries;
    return record(e_.model, e_.plan, e_.device, options, &e_.arena, &e_.recording, &error_);
  }

  test::ExactBytes arena_, driver_;
  std::vector<VkExtensionProperties> extensions_{kExtensionScratch};
  Engine e_;
  Error error_;
};

std::string text_of(const std::vector<nbl_timing>& timings) {
  std::string text;
  for (const nbl_timing& t : timings)
    text += std::to_string(t.start_ns) + "-" + std::to_string(t.end_ns) + " ";
  return text;
}

TEST_F(Timings, are_the_same_from_one_pool_and_from_several) {
  std::string expected;
  uint32_t queries = 0;
  {
    PoolRig rig(model_, kMaxPoolQueries);
    expected = text_of(rig.step());
    queries = rig.queries();
    EXPECT_EQ(rig.pools(), 1u);
  }
  EXPECT_EQ(FailingVulkan::alive(), "");
  ASSERT_GT(queries, 12u);
  EXPECT_EQ(expected.find("1-4 9-16 25-36 "), 0u) << expected;
  for (const uint32_t size : {1u, 2u, 3u, 7u, queries - 1, queries, queries + 1}) {
    SCOPED_TRACE(std::to_string(size) + " queries a pool");
    {
      PoolRig rig(model_, size);
      EXPECT_EQ(text_of(rig.step()), expected);
      EXPECT_EQ(rig.pools(), div_up(queries, size));
    }
    EXPECT_EQ(FailingVulkan::alive(), "");
  }
}

}  // namespace
}  // namespace nbl
