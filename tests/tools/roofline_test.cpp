// Could break: a share of the wrong rate, a limit named where nothing is known, a yardstick that is
// off by orders.
#include "tools/common/roofline.h"

#include <gtest/gtest.h>

#include "tests/support/engine.h"
#include "tools/common/failure.h"

namespace nbl::tools {
namespace {

DeviceRates rates_of(double gigabytes_per_second, double gigaflops) {
  DeviceRates rates;
  rates.copy.gigabytes_per_second = gigabytes_per_second;
  rates.gigaflops = gigaflops;
  return rates;
}

TEST(Roofline, names_what_is_nearest_to_the_devices_rate) {
  const DeviceRates rates = rates_of(10, 100);
  const Roof roof = roof_of(5000, 20000, 1000, rates);
  EXPECT_DOUBLE_EQ(roof.gigabytes_per_second, 5);
  EXPECT_DOUBLE_EQ(roof.gigaflops, 20);
  EXPECT_DOUBLE_EQ(roof.intensity, 4);
  EXPECT_DOUBLE_EQ(roof.percent_of_copy, 50);
  EXPECT_DOUBLE_EQ(roof.percent_of_peak, 20);
  EXPECT_EQ(roof.bound, "bytes");
  EXPECT_EQ(roof_of(5000, 60000, 1000, rates).bound, "flops");
  EXPECT_EQ(roof_of(3999, 39999, 1000, rates).bound, "latency");
  EXPECT_EQ(roof_of(4000, 0, 1000, rates).bound, "bytes");
  EXPECT_EQ(roof_of(0, 40000, 1000, rates).bound, "flops");
  EXPECT_EQ(roof_of(0, 400000, 1000, rates).percent_of_peak, 400) << "matrix units";
}

TEST(Roofline, of_what_is_not_known_is_empty) {
  EXPECT_EQ(roof_of(5000, 20000, 1000, rates_of(10, 0)).bound, "");
  EXPECT_EQ(roof_of(5000, 20000, 1000, rates_of(0, 10)).bound, "");
  EXPECT_EQ(roof_of(5000, 20000, 1000, {}).percent_of_copy, 0);
  EXPECT_DOUBLE_EQ(roof_of(5000, 20000, 1000, {}).gigaflops, 20);
  const Roof none = roof_of(0, 0, 0, rates_of(10, 100));
  EXPECT_EQ(none.gigabytes_per_second + none.gigaflops + none.intensity, 0);
  EXPECT_EQ(none.bound, "");
}

TEST(DeviceRates, are_those_of_a_machine_of_today) {
  NBL_REQUIRE_VULKAN();
  const DeviceRates rates = measure_device(test::vulkan_entry(), -1);
  EXPECT_GT(rates.copy.gigabytes_per_second, 0.05);
  EXPECT_LT(rates.copy.gigabytes_per_second, 2e4);
  EXPECT_GT(rates.gigaflops, 0.5) << "a kernel that does nothing, or calls a function for each";
  EXPECT_LT(rates.gigaflops, 1e6) << "a driver that left the loop out";
}

TEST(DeviceRates, of_a_device_that_is_not_there_are_refused) {
  NBL_REQUIRE_VULKAN();
  try {
    measure_device(test::vulkan_entry(), 1 << 20);
    FAIL() << "there is no such device";
  } catch (const Failure& failure) {
    EXPECT_NE(std::string(failure.what()).find("measuring the memory bandwidth: "),
              std::string::npos)
        << failure.what();
  }
}

}  // namespace
}  // namespace nbl::tools
