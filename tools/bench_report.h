// What nibble-bench measured, and its three spellings.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rt/nibble.h"
#include "tools/common/device_facts.h"
#include "tools/common/device_rates.h"
#include "tools/common/kernel_times.h"
#include "tools/common/power.h"
#include "tools/common/start_times.h"
#include "tools/common/statistics.h"
#include "tools/common/sustained.h"

namespace nbl::tools {

// One test: the same tokens, over and over.
struct TestResult {
  bool prefill = false;
  uint32_t tokens = 0;               // of one repetition
  uint32_t depth = 0;                // positions in use before them
  std::vector<double> seconds = {};  // of each repetition
  std::vector<Energy> energy = {};   // of all repetitions
  uint32_t stop_tokens = 0;          // generations that a stop token cut into more than one call

  std::string name() const;   // "pp 128", "tg 64 @ 1024" at a depth
  double all_tokens() const;  // of all repetitions
  double all_seconds() const;
  std::vector<double> rates() const;  // tokens per second
};

struct Report {
  std::string model_file;
  std::string model_name;
  std::string device_name;
  DeviceFacts facts;
  std::string command;  // as it was called
  uint64_t model_bytes = 0;
  uint32_t depth = 0;  // the first, at which kernels are timed
  uint32_t repetitions = 0;
  uint64_t seed = 0;
  bool floor = false;
  nbl_info info = {};  // its strings are not valid any more
  DeviceRates rates;
  std::vector<TestResult> tests;
  StartTimes start;  // empty: not measured
  Sustained sustained;
  std::vector<TimedPhase> phases;  // empty: kernels were not timed
  bool print_dispatches = false;
};

// Bytes of keys and values that a decode step reads, mean of the test's tokens.
double kv_bytes_per_token(const nbl_info& info, const TestResult& test);

// Weight bytes read a second, 10^9. Prefill reads them once a chunk, not once a token: no figure.
double weight_gigabytes_per_second(const Report& report, const TestResult& test);
// Keys and values included, which grow with the depth.
double gigabytes_per_second(const Report& report, const TestResult& test);
// In percent of what kernels copy; 0 where that was not measured.
double share_of_copy(const Report& report, double gigabytes_per_second);

std::string to_markdown(const Report& report);
std::string to_json(const Report& report);
// A header line and one line a test.
std::string to_csv(const Report& report);

}  // namespace nbl::tools
