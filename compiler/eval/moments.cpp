#include "compiler/eval/moments.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "compiler/eval/reference.h"

namespace nbl::compiler {
namespace {

// A column that the text never reached still counts for something.
constexpr double kLeast = 1e-6;

std::shared_ptr<const std::vector<float>> scaled(const std::vector<double>& sums) {
  const double total = std::accumulate(sums.begin(), sums.end(), 0.0);
  const double mean = total / static_cast<double>(sums.size());
  auto values = std::make_shared<std::vector<float>>();
  for (const double sum : sums)
    values->push_back(static_cast<float>(mean > 0 ? std::max(sum / mean, kLeast) : 1.0));
  return values;
}

}  // namespace

Moments measure_moments(const Checkpoint& checkpoint, std::span<const uint32_t> tokens,
                        const std::function<void(double done)>& progress) {
  if (tokens.empty()) throw std::invalid_argument("the calibration text is empty");
  tokens = tokens.first(std::min(tokens.size(), kMostCalibrationTokens));
  Reference model(checkpoint, 0);
  const size_t window = std::min(kCalibrationWindow, checkpoint.hyper.context);
  std::map<std::string, std::vector<double>> sums;
  for (size_t at = 0; at < tokens.size(); at += window) {
    if (progress) progress(static_cast<double>(at) / static_cast<double>(tokens.size()));
    model.observe(tokens.subspan(at, std::min(window, tokens.size() - at)), &sums);
  }
  Moments moments;
  for (const auto& [name, sum] : sums)
    moments[name] = scaled(sum);
  return moments;
}

void attach_moments(const Moments& moments, Graph* graph) {
  for (const auto& [name, importance] : moments) {
    for (GraphTensor& tensor : graph->tensors) {
      if (tensor.role != Role::weight || tensor.name != name + ".weight") continue;
      auto constant = std::make_shared<Constant>(*tensor.constant);
      constant->importance = importance;
      tensor.constant = std::move(constant);
    }
  }
}

}  // namespace nbl::compiler
