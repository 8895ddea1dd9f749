// The angles that rotary position embedding turns by, as the runtime's kernels read them.
#pragma once

#include <cstdint>
#include <vector>

namespace nbl::compiler {

// The (cos, sin) pairs of every position, as two short tables: rows 0..63 are positions 0..63, row
// 64 + j is position 64 j. A kernel turns by the sum of both angles. With a magnitude, every pair
// of that sum comes out so much longer.
//
// Shapes  [64 + ceil(context / 64), R]; element 2 i is cos(p f_i), 2 i + 1 is sin(p f_i).
std::vector<float> rope_table(const std::vector<double>& inverse_frequencies, uint32_t context,
                              double magnitude = 1);

}  // namespace nbl::compiler
