#include "compiler/quantize/q4_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "compiler/import/checkpoint.h"
#include "compiler/import/half.h"
#include "rt/model/model.h"

namespace nbl::compiler {
namespace {

uint32_t power_in(uint32_t value) {
  return std::min(value & (~value + 1), kMaxGroup);
}

// Where a row has one scale any size will do: the one that takes the fewest bytes.
uint32_t group_for_row(uint32_t columns) {
  const auto row_bytes = [&](uint32_t group) {
    const Q4Format format{.layout = Layout::q4_rows_linear, .group_size = group};
    return format.data_bytes(1, columns) + 2 * (format.columns(columns) / group);
  };
  uint32_t best = kMaxGroup;
  for (uint32_t group = kMaxGroup / 2; group >= kRowAlign; group /= 2) {
    if (row_bytes(group) < row_bytes(best)) best = group;
  }
  return best;
}

const char* name_of(const Q4Rows& rows) {
  return rows.name.empty() ? "a quantized weight" : rows.name.c_str();
}

void check_shape(const Q4Rows& rows) {
  if (rows.rows == 0 || rows.columns == 0 || rows.rows > kMaxDim || rows.columns > kMaxDim) {
    throw ImportError(fmt::format("{} has shape [{}, {}]; both must be 1 to {}", name_of(rows),
                                  rows.rows, rows.columns, kMaxDim));
  }
  if (stored_group_size(rows.group_size, rows.columns) == 0) {
    throw ImportError(
        fmt::format("{} has groups of {} weights in rows of {}; a group must be a multiple of {} "
                    "or a whole row",
                    name_of(rows), rows.group_size, rows.columns, kMinGroup));
  }
  const uint64_t values = uint64_t{rows.rows} * rows.columns;
  const uint64_t scales = uint64_t{rows.rows} * rows.groups();
  if (rows.values.size() != values || rows.scales.size() != scales) {
    throw ImportError(
        fmt::format("{} has {} values and {} scales; its shape [{}, {}] in groups of "
                    "{} wants {} and {}",
                    name_of(rows), rows.values.size(), rows.scales.size(), rows.rows, rows.columns,
                    rows.group_size, values, scales));
  }
}

}  // namespace

void read_q4_row(const Q4Rows& rows, uint32_t row, float* out) {
  const int8_t* values = rows.values.data() + size_t{row} * rows.columns;
  const float* scales = rows.scales.data() + size_t{row} * rows.groups();
  for (uint32_t k = 0; k < rows.columns; ++k) {
    out[k] = static_cast<float>(values[k]) * scales[k / rows.group_size];
  }
}

Q4Rows slice_q4_rows(const Q4Rows& rows, uint32_t first, uint32_t count) {
  const auto part = [&](const auto& all, size_t stride) {
    const auto begin = all.begin() + static_cast<ptrdiff_t>(first * stride);
    return std::remove_cvref_t<decltype(all)>(begin,
                                              begin + static_cast<ptrdiff_t>(count * stride));
  };
  return {.rows = count,
          .columns = rows.columns,
          .group_size = rows.group_size,
          .values = part(rows.values, rows.columns),
          .scales = part(rows.scales, rows.groups()),
          .embedding_order = rows.embedding_order,
          .name = rows.name};
}

uint32_t stored_group_size(uint32_t group_size, uint32_t columns) {
  if (group_size == 0) return 0;
  const bool is_stored =
      std::has_single_bit(group_size) && group_size >= kMinGroup && group_size <= kMaxGroup;
  if (group_size >= columns && !is_stored) return group_for_row(columns);
  return group_size % kMinGroup == 0 ? power_in(group_size) : 0;
}

void check_q4_rows(const Q4Rows& rows) {
  check_shape(rows);
  const auto value = std::ranges::find_if(rows.values, [](int8_t v) { return v < -8 || v > 7; });
  if (value != rows.values.end()) {
    const auto at = static_cast<uint64_t>(value - rows.values.begin());
    throw ImportError(fmt::format("{}, row {}, column {}: the value is {}; 4 bits hold -8 to 7",
                                  name_of(rows), at / rows.columns, at % rows.columns, *value));
  }
  const auto scale = std::ranges::find_if(rows.scales, [](float s) { return !std::isfinite(s); });
  if (scale != rows.scales.end()) {
    const auto at = static_cast<uint64_t>(scale - rows.scales.begin());
    throw ImportError(fmt::format("{}, row {}: the scale of group {} is {}; it must be finite",
                                  name_of(rows), at / rows.groups(), at % rows.groups(), *scale));
  }
}

bool has_f16_scales(const Q4Rows& rows) {
  return std::ranges::all_of(rows.scales, [](float scale) {
    return std::bit_cast<uint32_t>(f16_to_f32(f32_to_f16(scale))) == std::bit_cast<uint32_t>(scale);
  });
}

bool same_nibbles(const Q4Rows& a, const Q4Rows& b) {
  if (&a == &b) return true;
  return a.rows == b.rows && a.columns == b.columns && a.values == b.values;
}

bool same_scales(const Q4Rows& a, const Q4Rows& b) {
  return &a == &b || (a.group_size == b.group_size && a.scales == b.scales);
}

}  // namespace nbl::compiler
