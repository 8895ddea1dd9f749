// What is said of repeated measurements.
#pragma once

#include <vector>

namespace nbl::tools {

double mean(const std::vector<double>& values);
// Of a sample; 0 for fewer than two values.
double standard_deviation(const std::vector<double>& values);
double median(std::vector<double> values);

}  // namespace nbl::tools
