#include "tools/common/trace.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nbl::tools {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint32_t kDeviceProcess = 1;
constexpr uint32_t kHostProcess = 2;

uint32_t process_of(Track track) {
  return track == Track::host ? kHostProcess : kDeviceProcess;
}

// A line of metadata: the name or the place of a process or thread.
Json metadata(const char* what, Track track, const char* key, const Json& value) {
  return {{"name", what},
          {"ph", "M"},
          {"pid", process_of(track)},
          {"tid", static_cast<uint32_t>(track)},
          {"args", {{key, value}}}};
}

}  // namespace

double trace_microseconds(uint64_t ns) {
  const double exact = static_cast<double>(ns);
  double us = exact / 1000;
  if (us * 1000 < exact) us = std::nextafter(us, std::numeric_limits<double>::infinity());
  return us;
}

void Trace::add_call(std::string_view name, uint64_t start_ns, uint64_t end_ns, Json args) {
  spans_.push_back(
      {Track::host, std::string(name), "host", start_ns, end_ns - start_ns, std::move(args)});
}

void Trace::add_step(bool prefill, uint32_t tokens, uint32_t position, const TimedStep& step,
                     uint64_t end_ns) {
  if (step.empty()) return;
  const Track track = prefill ? Track::prefill : Track::decode;
  const uint64_t duration_ns = step.back().end_ns;
  const uint64_t start_ns =
      std::max(end_ns > duration_ns ? end_ns - duration_ns : 0, busy_until_ns_);
  busy_until_ns_ = start_ns + duration_ns;
  spans_.push_back({track,
                    prefill ? "prefill step" : "decode step",
                    "step",
                    start_ns,
                    duration_ns,
                    {{"tokens", tokens}, {"position", position}, {"dispatches", step.size()}}});
  for (const TimedDispatch& d : step) {
    spans_.push_back({track,
                      d.kernel,
                      d.op,
                      start_ns + d.start_ns,
                      d.duration_ns,
                      {{"index", d.index},
                       {"node", d.node},
                       {"op", d.op},
                       {"grid", d.grid},
                       {"local_size", d.local_size},
                       {"global_size", d.global_size},
                       {"bytes", d.bytes}}});
  }
}

std::string Trace::to_json() const {
  std::vector<Json> events = {metadata("process_name", Track::decode, "name", device_),
                              metadata("process_name", Track::host, "name", "nibble-bench (host)")};
  const std::pair<Track, const char*> names[] = {
      {Track::decode, "decode"}, {Track::prefill, "prefill"}, {Track::host, "calls"}};
  for (const auto& [track, name] : names) {
    events.push_back(metadata("thread_name", track, "name", name));
    events.push_back(
        metadata("thread_sort_index", track, "sort_index", static_cast<uint32_t>(track)));
  }
  for (const Span& span : spans_) {
    events.push_back({{"name", span.name},
                      {"cat", span.category},
                      {"ph", "X"},
                      {"ts", trace_microseconds(span.start_ns)},
                      {"dur", trace_microseconds(span.duration_ns)},
                      {"pid", process_of(span.track)},
                      {"tid", static_cast<uint32_t>(span.track)},
                      {"args", span.args}});
  }
  // One event a line.
  std::string text = "{\"displayTimeUnit\": \"ns\", \"traceEvents\": [\n";
  for (const Json& event : events) {
    // A name from a model file may be no UTF-8.
    text += event.dump(-1, ' ', false, Json::error_handler_t::replace);
    text += &event == &events.back() ? "\n" : ",\n";
  }
  return text + "]}\n";
}

}  // namespace nbl::tools
