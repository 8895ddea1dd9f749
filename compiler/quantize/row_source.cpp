#include "compiler/quantize/row_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "rt/base/checked.h"
#include "rt/base/limits.h"

namespace nbl::compiler {
namespace {

std::string describe_first(const RowSource& source) {
  return source.rows == 0 ? "an empty matrix" : source.describe(0);
}

// What a matrix put together from `parts` can say of those rows; `whole` starts with all = true.
void join(const Grid& part, Grid* whole) {
  whole->all = whole->all && part.all;
  whole->f32_scales = whole->f32_scales || part.f32_scales;
  if (part.group == 0) return;
  whole->group = whole->group == 0 ? part.group : std::min(whole->group, part.group);
}

void join(const RowSource& part, RowSource* whole) {
  join(part.four, &whole->four);
  join(part.eight, &whole->eight);
}

}  // namespace

RowSource source_rows(const SourceTensor& tensor) {
  if (tensor.rows > kMaxDim || tensor.columns > kMaxDim) {
    throw ImportError(fmt::format("tensor {} has shape [{}, {}]; neither may exceed {}",
                                  tensor.name, tensor.rows, tensor.columns, kMaxDim));
  }
  if (tensor.quantized) return quantized_rows(tensor.quantized);
  RowSource source;
  source.rows = static_cast<uint32_t>(tensor.rows);
  source.columns = static_cast<uint32_t>(tensor.columns);
  source.read = [tensor](uint32_t row, float* out) { tensor.read_row(row, out); };
  source.encoded = [tensor](uint32_t row) { return EncodedRow{tensor.type, tensor.row_data(row)}; };
  const uint32_t group = integer_group(tensor.type);
  if (group != 0) source.eight = {group, true, !has_f16_scales(tensor.type)};
  source.describe = [name = tensor.name](uint32_t row) {
    return fmt::format("tensor {}, row {}", name, row);
  };
  return source;
}

RowSource quantized_rows(std::shared_ptr<const Q4Rows> rows) {
  check_q4_rows(*rows);
  RowSource source;
  source.rows = rows->rows;
  source.columns = rows->columns;
  source.four = {stored_group_size(rows->group_size, rows->columns), true, !has_f16_scales(*rows)};
  source.eight = source.four;
  source.quantized = [rows](uint32_t row) -> Q4Row {
    return {rows->values.data() + size_t{row} * rows->columns,
            rows->scales.data() + size_t{row} * rows->groups(), rows->group_size};
  };
  source.read = [rows](uint32_t row, float* out) { read_q4_row(*rows, row, out); };
  source.describe = [rows](uint32_t row) {
    return fmt::format("{}, row {}", rows->name.empty() ? "a quantized weight" : rows->name, row);
  };
  return source;
}

RowSource concatenate(std::vector<RowSource> parts) {
  if (parts.empty()) throw ImportError("there is no matrix to concatenate");
  std::vector<uint32_t> ends;  // one past the last row of each part
  uint64_t rows = 0;
  for (const RowSource& part : parts) {
    rows += part.rows;
    if (part.columns != parts[0].columns || rows > kMaxDim) {
      throw ImportError(fmt::format(
          "cannot concatenate {} ({} columns) with {} ({} columns): columns must agree and all "
          "rows "
          "together be at most {}",
          describe_first(parts[0]), parts[0].columns, describe_first(part), part.columns, kMaxDim));
    }
    ends.push_back(static_cast<uint32_t>(rows));
  }
  RowSource source;
  source.rows = static_cast<uint32_t>(rows);
  source.columns = parts[0].columns;
  source.four.all = source.eight.all = true;
  for (const RowSource& part : parts)
    join(part, &source);
  const auto shared = std::make_shared<const std::vector<RowSource>>(std::move(parts));
  const auto locate = [shared, ends](uint32_t row) {
    const size_t part =
        static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), row) - ends.begin());
    return std::pair<const RowSource*, uint32_t>(&(*shared)[part],
                                                 row - (part == 0 ? 0 : ends[part - 1]));
  };
  source.read = [locate](uint32_t row, float* out) {
    const auto [part, local] = locate(row);
    part->read(local, out);
  };
  source.encoded = [locate](uint32_t row) {
    const auto [part, local] = locate(row);
    return part->encoded ? part->encoded(local) : EncodedRow{};
  };
  source.quantized = [locate](uint32_t row) {
    const auto [part, local] = locate(row);
    return part->quantized ? part->quantized(local) : Q4Row{};
  };
  source.importance = [locate](uint32_t row) {
    const auto [part, local] = locate(row);
    return part->importance ? part->importance(local) : nullptr;
  };
  source.describe = [locate](uint32_t row) {
    const auto [part, local] = locate(row);
    return part->describe(local);
  };
  return source;
}

RowSource interleave(RowSource even, RowSource odd) {
  if (even.rows != odd.rows || even.columns != odd.columns || even.rows > kMaxDim / 2 - kRowAlign) {
    throw ImportError(
        fmt::format("cannot interleave {} of shape [{}, {}] with {} of shape [{}, {}]: the shapes "
                    "must agree and "
                    "have at most {} rows",
                    describe_first(even), even.rows, even.columns, describe_first(odd), odd.rows,
                    odd.columns, kMaxDim / 2 - kRowAlign));
  }
  RowSource source;
  const uint32_t live_rows = 2 * even.rows;
  source.rows = 2 * align_up(even.rows, kRowAlign);
  source.columns = even.columns;
  source.four.all = source.eight.all = true;
  join(even, &source);
  join(odd, &source);
  const auto shared =
      std::make_shared<const std::pair<RowSource, RowSource>>(std::move(even), std::move(odd));
  const auto part_of = [shared](uint32_t row) -> const RowSource& {
    return row % 2 == 0 ? shared->first : shared->second;
  };
  source.read = [part_of, live_rows, columns = source.columns](uint32_t row, float* out) {
    if (row < live_rows) {
      part_of(row).read(row / 2, out);
    } else {
      std::fill_n(out, columns, 0.0f);
    }
  };
  source.encoded = [part_of, live_rows](uint32_t row) {
    if (row >= live_rows || !part_of(row).encoded) return EncodedRow{};
    return part_of(row).encoded(row / 2);
  };
  source.quantized = [part_of, live_rows](uint32_t row) {
    if (row >= live_rows || !part_of(row).quantized) return Q4Row{};
    return part_of(row).quantized(row / 2);
  };
  source.importance = [part_of, live_rows](uint32_t row) -> const float* {
    if (row >= live_rows || !part_of(row).importance) return nullptr;
    return part_of(row).importance(row / 2);
  };
  source.describe = [part_of, live_rows](uint32_t row) {
    return row < live_rows ? part_of(row).describe(row / 2) : fmt::format("padding row {}", row);
  };
  return source;
}

}  // namespace nbl::compiler
