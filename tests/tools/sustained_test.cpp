// Could break: a device that slows down and is said to keep its speed, an interval that is left out
// or counted twice, a clock that goes on where work takes longer than an interval.
#include "tools/common/sustained.h"

#include <gtest/gtest.h>

#include "tests/support/temp_folder.h"

namespace nbl::tools {
namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Pieces of ten tokens that take what `seconds_of` says, by a clock of their own.
Sustained run(double seconds, const std::function<double(double now)>& seconds_of) {
  double now = 1000;
  return sustain(seconds, {.now_seconds = [&] { return now; },
                           .run =
                               [&] {
                                 now += seconds_of(now);
                                 return uint64_t{10};
                               },
                           .temperatures =
                               [&] {
                                 return std::vector<Temperature>{{"gpu", 40 + (now - 1000) / 10}};
                               }});
}

TEST(Sustained, has_ten_intervals_of_one_length) {
  const Sustained result = run(100, [](double) { return 0.5; });
  ASSERT_EQ(result.intervals.size(), 10u);
  for (const Interval& interval : result.intervals) {
    EXPECT_DOUBLE_EQ(interval.seconds, 10);
    EXPECT_EQ(interval.tokens, 200u);
    EXPECT_DOUBLE_EQ(interval.rate(), 20);
  }
  EXPECT_DOUBLE_EQ(result.seconds(), 100);
  EXPECT_EQ(result.tokens(), 2000u);
  EXPECT_DOUBLE_EQ(result.lowest_share(), 1);
  EXPECT_FALSE(result.throttled());
  EXPECT_EQ(result.before[0].celsius, 40);
  EXPECT_EQ(result.intervals[9].temperatures[0].celsius, 50);
}

TEST(Sustained, finds_a_device_that_slows_down) {
  const auto from_half = [](double slow) {
    return [slow](double now) { return now < 1050 ? 0.5 : slow; };
  };
  const Sustained slow = run(100, from_half(0.625));
  EXPECT_DOUBLE_EQ(slow.lowest_share(), 0.8);
  EXPECT_TRUE(slow.throttled());
  EXPECT_TRUE(has(sustained_table(slow), "80.0 % of the first: it throttles (below 90 %)"))
      << sustained_table(slow);
  const Sustained little = run(100, from_half(0.5 / 0.92));
  EXPECT_FALSE(little.throttled()) << little.lowest_share();
  EXPECT_TRUE(has(sustained_table(little), "it keeps its speed"));
  // One that comes back has throttled all the same; one that gets faster has not.
  EXPECT_TRUE(
      run(100, [](double now) { return now > 1030 && now < 1041 ? 5.0 : 0.5; }).throttled());
  EXPECT_FALSE(run(100, [](double now) { return now < 1050 ? 0.5 : 0.25; }).throttled());
}

TEST(Sustained, has_fewer_intervals_where_work_takes_longer) {
  const Sustained result = run(10, [](double) { return 4.0; });
  ASSERT_EQ(result.intervals.size(), 3u);
  EXPECT_DOUBLE_EQ(result.seconds(), 12);
  EXPECT_EQ(result.tokens(), 30u);
  EXPECT_EQ(run(1, [](double) { return 60.0; }).intervals.size(), 1u);
}

TEST(Sustained, has_a_column_for_every_zone) {
  const std::string table = sustained_table(run(10, [](double) { return 1.0; }));
  EXPECT_TRUE(has(table, "gpu °C")) << table;
  EXPECT_TRUE(has(table, "41.0")) << table;
  EXPECT_EQ(sustained_table({}), "");
}

TEST(Thermal, reads_zones_in_thousandths) {
  const test::TempFolder sys;
  const auto put = [&](const std::string& zone, const std::string& name, const std::string& text) {
    std::filesystem::create_directories(sys.path() / "class/thermal" / zone);
    sys.write("class/thermal/" + zone + "/" + name, text);
  };
  put("thermal_zone0", "type", "cpu-thermal\n");
  put("thermal_zone0", "temp", "45500\n");
  put("thermal_zone1", "temp", "-2000\n");
  put("thermal_zone2", "temp", "hot\n");
  put("cooling_device0", "temp", "1000\n");
  const std::vector<Temperature> zones = read_temperatures(sys.path());
  ASSERT_EQ(zones.size(), 2u);
  EXPECT_EQ(zones[0].zone, "cpu-thermal");
  EXPECT_EQ(zones[0].celsius, 45.5);
  EXPECT_EQ(zones[1].zone, "thermal_zone1");
  EXPECT_EQ(zones[1].celsius, -2);
  EXPECT_TRUE(read_temperatures(sys.path() / "nowhere").empty());
}

}  // namespace
}  // namespace nbl::tools
