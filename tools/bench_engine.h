// The engine that nibble-bench measures, and how each of its tests runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tools/bench_report.h"
#include "tools/common/engine_session.h"
#include "tools/common/kernel_times.h"
#include "tools/common/mapped_file.h"
#include "tools/common/power.h"
#include "tools/common/trace.h"

namespace nbl::tools {

struct BenchOptions {
  std::string model;
  std::vector<std::string> compare;  // two results, in place of a measurement
  bool facts = false;                // a board.json, in place of a measurement
  std::vector<uint32_t> prompt = {128};
  std::vector<uint32_t> generate = {64};
  uint32_t repetitions = 5;
  std::vector<uint32_t> depth = {0};
  std::string output = "md";
  bool energy = false;  // say why there is none
  double sustain = 0;   // seconds; 0 = not
  std::string sys = "/sys";
  bool start = false;       // print the time to the first token
  bool kernels = false;     // print the times by kernel
  bool dispatches = false;  // and of every dispatch
  std::string kernels_tsv;  // files; empty = none
  std::string dispatches_tsv;
  std::string trace;
  bool no_copy = false;
  int32_t device = -1;
  uint32_t context = 0;
  uint32_t prefill_chunk = 0;
  uint32_t burst = 0;
  bool floor = false;
  bool float32 = false;
  bool no_import = false;
  std::string weights = "auto";
  std::string chain = "auto";
  uint64_t seed = 1;
};

// The engine's options. Borrows  model, as the engine does.
nbl_config config_of(const BenchOptions& options, const MappedFile& model, bool timestamps);

// An engine whose first positions are filled once for each depth and kept by every test there. It
// begins at the first depth of the options.
//
// Borrows  options and model.
// Errors   Failure in every method, also where a test does not fit the context.
class BenchEngine {
 public:
  BenchEngine(const BenchOptions& options, const MappedFile& model, bool timestamps);

  nibble::Engine& engine() { return session_.engine(); }

  // Meters the tests that follow. Borrows  meter, until the engine ends.
  void use(PowerMeter* meter) { meter_ = meter; }
  // The depth of what follows.
  void go_to(uint32_t depth);
  TestResult prefill(uint32_t count);
  TestResult generate(uint32_t count);
  // For so many seconds, `count` tokens after a first one, over and over.
  Sustained sustain(double seconds, uint32_t count, const std::filesystem::path& sys);

  // False where the device has no timestamps. Runs a step.
  bool has_timestamps();
  // A prefill step takes a chunk of tokens; false where a chunk is one token or none fits.
  bool has_prefill();
  // The kernels of a decode step, or of a prefill step, each repetition a step.
  TimedPhase kernels(bool prefill);
  // A prefill step where there are any, then some decode steps, after a warm-up.
  // Units  now_ns: the trace's clock.
  void trace(Trace* trace, uint64_t (*now_ns)());

 private:
  // The time of the work, which is metered.
  double timed(const std::function<void()>& work);
  // What the meter has counted since the last time; empty without one.
  std::vector<Energy> take_energy();
  void evaluate(const std::vector<uint32_t>& tokens);
  void rewind();
  uint32_t generate_all(std::vector<uint32_t>& tokens);
  uint32_t prefill_tokens();
  void run_step(bool prefill);

  const BenchOptions& options_;
  const MappedFile& file_;
  EngineSession session_;
  uint32_t depth_ = 0;
  PowerMeter* meter_ = nullptr;
};

}  // namespace nbl::tools
