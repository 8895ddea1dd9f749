// Could break: a counter that wraps and counts backwards, microwatts taken for watts, a sensor that
// is left out, counted twice or named as another, a machine without sensors that has figures.
#include "tools/common/power.h"

#include <gtest/gtest.h>

#include "tests/support/temp_folder.h"

namespace nbl::tools {
namespace {

using test::TempFolder;

// A made-up /sys.
class Sys : public TempFolder {
 public:
  void put(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path() / name).parent_path());
    write(name, text + "\n");
  }
};

TEST(EnergyCounter, adds_up_across_its_range) {
  EnergyCounter counter(1000000);
  counter.read(900000);
  EXPECT_EQ(counter.joules(), 0) << "what was before the first reading is not the work's";
  counter.read(950000);
  EXPECT_DOUBLE_EQ(counter.joules(), 0.05);
  counter.read(50000);
  EXPECT_DOUBLE_EQ(counter.joules(), 0.15);
  counter.read(50000);
  EXPECT_DOUBLE_EQ(counter.joules(), 0.15);
}

TEST(EnergyCounter, of_an_unknown_range_counts_no_step_back) {
  EnergyCounter counter(0);
  for (const uint64_t value : {900000u, 100000u, 300000u})
    counter.read(value);
  EXPECT_DOUBLE_EQ(counter.joules(), 0.2);
}

TEST(PowerIntegral, is_the_mean_power_times_the_time) {
  PowerIntegral power;
  power.read(100, 4);
  EXPECT_EQ(power.joules(), 0);
  power.read(102, 6);
  EXPECT_DOUBLE_EQ(power.joules(), 10);
  power.read(102.5, 0);
  EXPECT_DOUBLE_EQ(power.joules(), 11.5);
}

TEST(PowerMeter, counts_what_powercap_counts) {
  const Sys sys;
  sys.put("class/powercap/intel-rapl:0/name", "package-0");
  sys.put("class/powercap/intel-rapl:0/energy_uj", "9000000");
  sys.put("class/powercap/intel-rapl:0/max_energy_range_uj", "10000000");
  sys.put("class/powercap/intel-rapl:1/energy_uj", "0");
  sys.put("class/powercap/intel-rapl/enabled", "1");
  PowerMeter meter(sys.path());
  EXPECT_EQ(meter.why_empty(), "");
  for (int run = 0; run < 2; ++run) {  // the second one does not count the first
    sys.put("class/powercap/intel-rapl:0/energy_uj", "9000000");
    meter.start();
    sys.put("class/powercap/intel-rapl:0/energy_uj", "2000000");
    meter.stop();
    const std::vector<Energy> energy = meter.take();
    ASSERT_EQ(energy.size(), 2u);
    EXPECT_EQ(energy[0].sensor, "package-0");
    EXPECT_DOUBLE_EQ(energy[0].joules, 3);
    EXPECT_EQ(energy[1].sensor, "intel-rapl:1") << "a zone without a name";
    EXPECT_EQ(energy[1].joules, 0);
  }
}

TEST(PowerMeter, samples_what_hwmon_shows) {
  const Sys sys;
  sys.put("class/hwmon/hwmon0/name", "ina3221");
  sys.put("class/hwmon/hwmon0/power1_input", "2000000");
  sys.put("class/hwmon/hwmon0/power1_label", "VDD_IN");
  sys.put("class/hwmon/hwmon0/power2_average", "1000000");
  sys.put("class/hwmon/hwmon1/name", "cpu_thermal");
  sys.put("class/hwmon/hwmon1/temp1_input", "45000");
  PowerMeter meter(sys.path());
  meter.start();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  meter.stop();
  const std::vector<Energy> energy = meter.take();
  ASSERT_EQ(energy.size(), 2u);
  EXPECT_EQ(energy[0].sensor, "ina3221 VDD_IN");
  EXPECT_EQ(energy[1].sensor, "ina3221 power2");
  EXPECT_GE(energy[0].joules, 0.02 * 2);
  EXPECT_GE(energy[1].joules, 0.02 * 1);
  EXPECT_LT(energy[0].joules, 2 * 60) << "microwatts";
}

TEST(EnergyRows, are_joules_a_token_and_watts) {
  const std::vector<Row> rows = energy_rows("tg 64", {{"package-0", 32}, {"board", 0}}, 128, 4);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0], (Row{"tg 64", "package-0", "0.2500", "8.00"}));
  EXPECT_EQ(rows[1], (Row{"tg 64", "board", "0.0000", "0.00"}));
  EXPECT_EQ(energy_rows("x", {{"s", 1}}, 0, 0)[0], (Row{"x", "s", "", ""}));
}

TEST(PowerMeter, without_a_sensor_says_why) {
  const Sys sys;
  const PowerMeter none(sys.path() / "nowhere");
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.why_empty(), (sys.path() / "nowhere/class/powercap").string() + " and " +
                                  (sys.path() / "nowhere/class/hwmon").string() +
                                  " have no power sensor");
  sys.put("class/powercap/intel-rapl:0/energy_uj", "unreadable");
  sys.put("class/hwmon/hwmon0/power1_input", "-5");
  PowerMeter refused(sys.path());
  EXPECT_TRUE(refused.empty());
  EXPECT_NE(refused.why_empty().find("none of the 2 power sensors"), std::string::npos)
      << refused.why_empty();
  refused.start();
  refused.stop();
  EXPECT_TRUE(refused.take().empty());
}

TEST(PowerMeter, adds_up_runs_and_leaves_out_what_lies_between) {
  const Sys sys;
  const auto show = [&](const char* value) { sys.put("class/powercap/a/energy_uj", value); };
  show("1000000");
  PowerMeter meter(sys.path());
  meter.start();
  show("3000000");
  meter.stop();
  show("9000000");
  meter.start();
  show("9500000");
  meter.stop();
  const std::vector<Energy> energy = meter.take();
  ASSERT_EQ(energy.size(), 1u);
  EXPECT_DOUBLE_EQ(energy[0].joules, 2.5);
  EXPECT_EQ(meter.take().at(0).joules, 0);
}

TEST(PowerMeter, leaves_out_a_sensor_that_went_away) {
  const Sys sys;
  sys.put("class/powercap/a/energy_uj", "1");
  sys.put("class/powercap/b/energy_uj", "1");
  PowerMeter meter(sys.path());
  meter.start();
  std::filesystem::remove(sys.path() / "class/powercap/a/energy_uj");
  sys.put("class/powercap/b/energy_uj", "4000001");
  meter.stop();
  const std::vector<Energy> energy = meter.take();
  ASSERT_EQ(energy.size(), 1u);
  EXPECT_EQ(energy[0].sensor, "b");
  EXPECT_DOUBLE_EQ(energy[0].joules, 4);
}

}  // namespace
}  // namespace nbl::tools
