// The frequencies behind a rotary table.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "compiler/arch/rope_table.h"
#include "compiler/import/pt2/coefficients.h"
#include "compiler/import/pt2/rotation.h"

namespace nbl::compiler::pt2 {
namespace {

// What float32 tables may be off: a little at any position, and the rounding of large angles.
constexpr double kTolerance = 2e-5;
constexpr double kAngleTolerance = 3e-7;  // of the angle
// Tables that were stored in half precision.
constexpr double kHalfTolerance = 1e-2;

// The token of a step that ends within `positions` which is at `position`.
int64_t token_for(const Context& context, uint32_t position, uint32_t positions) {
  if (context.whole_sequence) return 0;
  const int64_t last_start = int64_t{positions} - context.step.tokens;
  return std::max<int64_t>(0, position - last_start);
}

struct Angles {
  std::vector<double> cosine, sine;  // by position
};

// From the rotation by one position on, each doubling fixes the frequency more closely: the longer
// angle is known but for whole turns, which the frequency so far tells.
double frequency_of(const Angles& angles) {
  if (angles.cosine.size() < 2) return 0;
  double frequency = std::atan2(angles.sine[1], angles.cosine[1]);
  for (size_t p = 2; p < angles.cosine.size(); p *= 2) {
    const double wrapped = std::atan2(angles.sine[p], angles.cosine[p]);
    const double turn = 2 * std::numbers::pi;
    const auto position = static_cast<double>(p);
    frequency = (wrapped + turn * std::round((frequency * position - wrapped) / turn)) / position;
  }
  return frequency;
}

double worst_error(const Angles& angles, double frequency, double tolerance) {
  double worst = 0;
  for (size_t p = 0; p < angles.cosine.size(); ++p) {
    const double angle = frequency * static_cast<double>(p);
    const double allowed = tolerance + kAngleTolerance * std::abs(angle);
    worst = std::max({worst, std::abs(angles.cosine[p] - std::cos(angle)) / allowed,
                      std::abs(angles.sine[p] - std::sin(angle)) / allowed});
  }
  return worst;
}

double frequency_of_pair(const std::vector<Angles>& angles) {
  const double frequency = frequency_of(angles[0]);
  for (const Angles& one : angles) {
    if (worst_error(one, frequency, kTolerance) <= 1) continue;
    if (worst_error(one, frequency, kHalfTolerance) <= 1) continue;
    throw NodeError(
        "rotates by factors that are not the cosine and sine of a multiple of the position");
  }
  return frequency;
}

// Every cosine of every pair with its sine, at all positions.
std::vector<std::vector<Angles>> sample(const Context& context, const TableRequest& request,
                                        uint32_t positions) {
  std::vector<std::vector<Angles>> angles(request.pairs.size());
  for (uint32_t p = 0; p < positions; ++p) {
    const int64_t token = token_for(context, p, positions);
    for (size_t i = 0; i < angles.size(); ++i) {
      const TableRequest::Pair& pair = request.pairs[i];
      const size_t count = std::max(pair.cosines.size(), pair.sines.size());
      angles[i].resize(count);
      for (size_t k = 0; k < count; ++k) {
        const auto& cosine = pair.cosines[std::min(k, pair.cosines.size() - 1)];
        const auto& sine = pair.sines[std::min(k, pair.sines.size() - 1)];
        angles[i][k].cosine.push_back(value_at(context, cosine, token, p));
        angles[i][k].sine.push_back(value_at(context, sine, token, p));
      }
    }
  }
  return angles;
}

}  // namespace

void fill_table(Context& context, const TableRequest& request, uint32_t positions) {
  std::vector<double> frequencies;
  for (const std::vector<Angles>& pair : sample(context, request, positions)) {
    frequencies.push_back(frequency_of_pair(pair));
  }
  auto constant = std::make_shared<Constant>();
  constant->values = rope_table(frequencies, positions);
  GraphTensor& tensor = context.graph.tensor(request.tensor);
  tensor.shape[0] = static_cast<uint32_t>(constant->values.size() / tensor.shape[1]);
  tensor.constant = std::move(constant);
}

}  // namespace nbl::compiler::pt2
