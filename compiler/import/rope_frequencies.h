// The frequencies of rotary position embedding and the ways of stretching them over more positions
// than a model was first trained on.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace nbl::compiler {

// theta^(-2i/R) for i in [0, R/2): radians a position.
std::vector<double> rope_frequencies(double theta, uint32_t rotary_dim);

// Position interpolation: every frequency divided by `factor`.
void scale_linearly(double factor, std::vector<double>* frequencies);

// Llama 3.1's: what turns less than low_turns times within `trained` positions is slowed `factor`
// times, what turns more than high_turns times not at all, with a ramp between.
struct Llama3Scaling {
  double factor = 8;
  double low_turns = 1;
  double high_turns = 4;
  double trained = 8192;
};
// The divisor of each frequency.
std::vector<double> llama3_factors(const Llama3Scaling& scaling,
                                   const std::vector<double>& frequencies);

// Each frequency divided by its factor. Errors  ImportError where the counts differ or a factor is
// not positive; `what` names the factors.
void scale_each(std::string_view what, const std::vector<double>& factors,
                std::vector<double>* frequencies);

// What LongRoPE multiplies cosines and sines with: sqrt(1 + ln(s) / ln(trained)) for a stretch
// s = context / trained above 1.
double longrope_magnitude(double context, double trained);

}  // namespace nbl::compiler
