// Power sensors that the kernel exposes, and what energy some work took by them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tools/common/table.h"

namespace nbl::tools {

// By one sensor. Sensors overlap: that of a package is part of that of the board.
struct Energy {
  std::string sensor;  // "package-0", "ina3221 VDD_IN"
  double joules = 0;
};

// "| tg 64 | package-0 | 1.234 | 5.6 |": joules a token and watts, a row a sensor.
std::vector<Row> energy_rows(const std::string& what, const std::vector<Energy>& energy,
                             double tokens, double seconds);

// A counter in microjoules that begins at 0 again after its range.
class EnergyCounter {
 public:
  // Units  range: the largest value that it shows; 0 = not known, a step back then counts nothing.
  explicit EnergyCounter(uint64_t range) : range_(range) {}

  void read(uint64_t microjoules);
  void pause() { first_ = true; }  // what follows up to the next reading does not count
  void clear() { total_ = 0; }
  double joules() const { return static_cast<double>(total_) * 1e-6; }

 private:
  uint64_t range_;
  uint64_t last_ = 0;
  uint64_t total_ = 0;
  bool first_ = true;
};

// Power that is read now and then: between two readings it counts as their mean.
class PowerIntegral {
 public:
  void read(double seconds, double watts);
  void pause() { first_ = true; }
  void clear() { joules_ = 0; }
  double joules() const { return joules_; }

 private:
  double last_seconds_ = 0;
  double last_watts_ = 0;
  double joules_ = 0;
  bool first_ = true;
};

// Meters of a machine: class/powercap/*/energy_uj, counted, and class/hwmon/*/power*_input (else
// power*_average) below the folder, in microwatts. start() and stop() read all of them; in between
// a thread of its own does ten times a second, so that no counter passes its range twice.
//
// Units   sys: where the kernel's folder lies, "/sys".
class PowerMeter {
 public:
  explicit PowerMeter(const std::filesystem::path& sys);
  ~PowerMeter() { end_thread(); }
  PowerMeter(const PowerMeter&) = delete;
  PowerMeter& operator=(const PowerMeter&) = delete;

  bool empty() const { return sensors_.empty(); }
  // Why there is no sensor: one sentence. Empty where there is one.
  const std::string& why_empty() const { return why_empty_; }

  void start();
  void stop();
  // The energy between start() and stop(), of all of these since the last take(). Sensors are in
  // the order of their paths; one that could not be read at a start or stop is left out.
  std::vector<Energy> take();

 private:
  struct Sensor {
    std::filesystem::path file;
    std::string name;
    bool counts;  // energy, not power
    EnergyCounter counter;
    PowerIntegral integral;
    bool spoiled = false;
  };

  void add_counters(const std::filesystem::path& folder, uint32_t* refused);
  void add_powers(const std::filesystem::path& folder, uint32_t* refused);
  void add(Sensor sensor, uint32_t* refused);
  // A reading that is needed and fails spoils the sensor's sum.
  void read_all(bool needed);
  void end_thread();

  std::vector<Sensor> sensors_;
  std::string why_empty_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::thread thread_;
  bool ending_ = false;
};

}  // namespace nbl::tools
