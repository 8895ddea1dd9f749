#include "tools/common/power.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "tools/common/sys_file.h"

namespace nbl::tools {
namespace {

constexpr auto kPeriod = std::chrono::milliseconds(100);

double now_seconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

}  // namespace

std::vector<Row> energy_rows(const std::string& what, const std::vector<Energy>& energy,
                             double tokens, double seconds) {
  std::vector<Row> rows;
  rows.reserve(energy.size());
  for (const Energy& e : energy) {
    rows.push_back({what, e.sensor, tokens > 0 ? fmt::format("{:.4f}", e.joules / tokens) : "",
                    seconds > 0 ? fmt::format("{:.2f}", e.joules / seconds) : ""});
  }
  return rows;
}

void EnergyCounter::read(uint64_t microjoules) {
  if (first_) {
    first_ = false;
  } else if (microjoules >= last_) {
    total_ += microjoules - last_;
  } else if (range_ >= last_) {
    total_ += range_ - last_ + microjoules;
  }
  last_ = microjoules;
}

void PowerIntegral::read(double seconds, double watts) {
  if (!first_) joules_ += (seconds - last_seconds_) * (watts + last_watts_) / 2;
  first_ = false;
  last_seconds_ = seconds;
  last_watts_ = watts;
}

PowerMeter::PowerMeter(const std::filesystem::path& sys) {
  uint32_t refused = 0;
  for (const auto& folder : folders_in(sys / "class/powercap"))
    add_counters(folder, &refused);
  for (const auto& folder : folders_in(sys / "class/hwmon"))
    add_powers(folder, &refused);
  if (!sensors_.empty()) return;
  const std::string where =
      fmt::format("{0}/class/powercap and {0}/class/hwmon", sys.generic_string());
  why_empty_ =
      refused == 0
          ? fmt::format("{} have no power sensor", where)
          : fmt::format("none of the {} power sensors of {} can be read (as root, perhaps)",
                        refused, where);
}

void PowerMeter::add_counters(const std::filesystem::path& folder, uint32_t* refused) {
  const std::filesystem::path file = folder / "energy_uj";
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return;
  const uint64_t range = sys_number(folder / "max_energy_range_uj").value_or(0);
  const std::string name = sys_text(folder / "name").value_or(folder.filename().string());
  add({file, name, true, EnergyCounter(range), {}}, refused);
}

void PowerMeter::add_powers(const std::filesystem::path& folder, uint32_t* refused) {
  const std::string chip = sys_text(folder / "name").value_or(folder.filename().string());
  for (uint32_t i = 1; i <= 32; ++i) {
    const std::string start = fmt::format("power{}_", i);
    std::error_code ignored;
    std::filesystem::path file = folder / (start + "input");
    if (!std::filesystem::exists(file, ignored)) file = folder / (start + "average");
    if (!std::filesystem::exists(file, ignored)) continue;
    const std::string label =
        sys_text(folder / (start + "label")).value_or(fmt::format("power{}", i));
    add({file, fmt::format("{} {}", chip, label), false, EnergyCounter(0), {}}, refused);
  }
}

void PowerMeter::add(Sensor sensor, uint32_t* refused) {
  if (sys_number(sensor.file)) {
    sensors_.push_back(std::move(sensor));
  } else {
    ++*refused;
  }
}

void PowerMeter::read_all(bool needed) {
  for (Sensor& sensor : sensors_) {
    const std::optional<uint64_t> value = sys_number(sensor.file);
    if (!value) {
      sensor.spoiled = sensor.spoiled || needed;
    } else if (sensor.counts) {
      sensor.counter.read(*value);
    } else {
      sensor.integral.read(now_seconds(), static_cast<double>(*value) * 1e-6);
    }
  }
}

void PowerMeter::start() {
  end_thread();
  if (empty()) return;
  for (Sensor& sensor : sensors_) {
    sensor.counter.pause();
    sensor.integral.pause();
  }
  read_all(true);
  ending_ = false;
  thread_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, kPeriod, [this] { return ending_; }))
      read_all(false);
  });
}

void PowerMeter::stop() {
  if (!thread_.joinable()) return;
  end_thread();
  read_all(true);
}

std::vector<Energy> PowerMeter::take() {
  std::vector<Energy> all;
  for (Sensor& sensor : sensors_) {
    const double joules = sensor.counts ? sensor.counter.joules() : sensor.integral.joules();
    if (!sensor.spoiled) all.push_back({sensor.name, joules});
    sensor.counter.clear();
    sensor.integral.clear();
    sensor.spoiled = false;
  }
  return all;
}

void PowerMeter::end_thread() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

}  // namespace nbl::tools
