// Timelines in the Chrome trace event format (the "Trace Event Format" document), which Perfetto
// and chrome://tracing open.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tools/common/kernel_times.h"

namespace nbl::tools {

// The tracks, each a thread of a process. Numbers are above 0, which stands for "idle", and differ
// between processes, which Perfetto tells threads apart by.
enum class Track : uint32_t { decode = 1, prefill = 2, host = 3 };

// Steps of the device and calls of the host on one clock.
//
// The clocks of host and device are not compared: a step is put where it ends with the call that
// ran it, which is late by what the host does after it. Spans of a track nest or follow each other,
// as Perfetto drops those that overlap otherwise.
class Trace {
 public:
  explicit Trace(std::string device) : device_(std::move(device)) {}

  // A call of the host.
  // Units  nanoseconds since any origin that all calls share.
  void add_call(std::string_view name, uint64_t start_ns, uint64_t end_ns,
                nlohmann::ordered_json args);

  // A step that the host saw the end of at end_ns, with its dispatches inside.
  void add_step(bool prefill, uint32_t tokens, uint32_t position, const TimedStep& step,
                uint64_t end_ns);

  std::string to_json() const;

 private:
  struct Span {
    Track track;
    std::string name, category;
    uint64_t start_ns, duration_ns;
    nlohmann::ordered_json args;
  };

  std::string device_;
  std::vector<Span> spans_;
  uint64_t busy_until_ns_ = 0;  // the device, which runs one step at a time
};

// The microseconds that are `ns` nanoseconds again, whether a reader multiplies by 1000 and cuts
// off or rounds: for times up to three days.
double trace_microseconds(uint64_t ns);

}  // namespace nbl::tools
