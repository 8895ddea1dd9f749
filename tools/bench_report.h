// What nibble-bench measured, and its three spellings.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rt/nibble.h"
#include "tools/common/device_facts.h"
#include "tools/common/device_rates.h"
#include "tools/common/kernel_times.h"

namespace nbl::tools {

// One test: the same tokens, over and over.
struct TestResult {
  bool prefill = false;
  uint32_t tokens = 0;          // of one repetition
  uint32_t depth = 0;           // positions in use before them
  std::vector<double> seconds;  // of each repetition
  uint32_t stop_tokens = 0;     // generations that a stop token cut into more than one call

  std::string name() const;           // "pp 128", "tg 64 @ 1024" at a depth
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
  std::vector<TimedPhase> phases;  // empty: kernels were not timed
  bool print_dispatches = false;
};

// Bytes of keys and values that a decode step reads, mean of the test's tokens.
double kv_bytes_per_token(const nbl_info& info, const TestResult& test);

double mean(const std::vector<double>& values);
// Of a sample; 0 for fewer than two values.
double standard_deviation(const std::vector<double>& values);
double median(std::vector<double> values);

std::string to_markdown(const Report& report);
std::string to_json(const Report& report);
// A header line and one line a test.
std::string to_csv(const Report& report);

}  // namespace nbl::tools
