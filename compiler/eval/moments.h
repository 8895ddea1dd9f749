// What the columns of each matrix are multiplied with, measured on a text: an error in a column
// matters as much as the square of what meets it there.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/import/checkpoint.h"

namespace nbl::compiler {

// By canonical name: for each column the mean square of its input, over the mean of all columns.
using Moments = std::map<std::string, std::shared_ptr<const std::vector<float>>>;

// A calibration reads no more of a text: more changes little, and each token costs what the
// weights' rows cost to read.
inline constexpr size_t kMostCalibrationTokens = 4096;
inline constexpr uint32_t kCalibrationWindow = 512;

// Runs the checkpoint's network, with the weights as stored, over windows of the tokens.
//
// progress  is called before each window with the share that is done; may be empty.
// Errors    std::invalid_argument: there are no tokens, or one that is none.
Moments measure_moments(const Checkpoint& checkpoint, std::span<const uint32_t> tokens,
                        const std::function<void(double done)>& progress = {});

// Gives the matrices of those names their importance.
void attach_moments(const Moments& moments, Graph* graph);

}  // namespace nbl::compiler
