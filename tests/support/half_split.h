// The two orders of the rows of q and k.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace nbl::test {

// Rows of q and k of a GGUF llama turn as (2i, 2i+1), those of a folder as (i, i + head_dim / 2).
//
// Shapes  rows: [heads * head_dim][columns].
inline std::vector<float> half_split(const std::vector<float>& rows, uint32_t head_dim,
                                     uint32_t columns) {
  std::vector<float> out(rows.size());
  for (size_t row = 0; row < rows.size() / columns; ++row) {
    const size_t i = row % head_dim;
    const size_t to = row - i + i / 2 + (i % 2 == 0 ? 0 : head_dim / 2);
    std::copy_n(rows.begin() + static_cast<ptrdiff_t>(row * columns), columns,
                out.begin() + static_cast<ptrdiff_t>(to * columns));
  }
  return out;
}

}  // namespace nbl::test
