// Two results of nibble-bench, side by side.
#pragma once

#include <string>

namespace nbl::tools {

// A Markdown table: each test's tokens a second and, where they have them, each kernel's time a
// step, starts, the sustained speed and energy; before, after and the change in percent. "slower"
// and "faster" stand where the means are further apart than both standard deviations together; with
// one repetition there is none, and nothing is marked. A test that only one of them has is named
// with its figure alone. Above the table is what differs in device, driver and settings.
//
// Units   Paths of files that `-o json` wrote.
// Errors  Failure: no such file, no JSON, not of nibble-bench, of another model or depth, no test
//         or kernel in common.
std::string compare_results(const std::string& before_path, const std::string& after_path);

}  // namespace nbl::tools
