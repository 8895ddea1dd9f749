#include "compiler/arch/rope_table.h"

#include <cmath>

#include "rt/base/limits.h"

namespace nbl::compiler {

std::vector<float> rope_table(const std::vector<double>& inverse_frequencies, uint32_t context,
                              double magnitude) {
  const uint32_t coarse_rows = (context + kRopeFineRows - 1) / kRopeFineRows;
  std::vector<float> table;
  table.reserve((kRopeFineRows + coarse_rows) * 2 * inverse_frequencies.size());
  for (uint32_t row = 0; row < kRopeFineRows + coarse_rows; ++row) {
    const bool is_fine = row < kRopeFineRows;
    const double position =
        is_fine ? row : static_cast<double>(row - kRopeFineRows) * kRopeFineRows;
    // Lengths multiply where angles add, so one of the two tables carries the magnitude.
    const double length = is_fine ? magnitude : 1;
    for (const double frequency : inverse_frequencies) {
      table.push_back(static_cast<float>(length * std::cos(position * frequency)));
      table.push_back(static_cast<float>(length * std::sin(position * frequency)));
    }
  }
  return table;
}

}  // namespace nbl::compiler
