#include "compiler/graph/constant.h"

#include <algorithm>
#include <cstring>

namespace nbl::compiler {
namespace {

bool same_source(const SourceTensor* a, const SourceTensor* b) {
  if (a == b) return true;
  if (a->type != b->type || a->rows != b->rows || a->columns != b->columns) return false;
  return a->data == b->data || std::memcmp(a->data, b->data, a->rows * a->row_bytes()) == 0;
}

}  // namespace

RowSource constant_rows(const Constant& constant) {
  if (constant.arrangement == Arrangement::interleaved) {
    return interleave(source_rows(*constant.sources.at(0)), source_rows(*constant.sources.at(1)));
  }
  std::vector<RowSource> parts;
  for (const SourceTensor* source : constant.sources)
    parts.push_back(source_rows(*source));
  return parts.size() == 1 ? parts.front() : concatenate(std::move(parts));
}

std::vector<float> constant_values(const Constant& constant) {
  if (constant.sources.empty()) return constant.values;
  const RowSource rows = constant_rows(constant);
  std::vector<float> values(size_t{rows.rows} * rows.columns);
  for (uint32_t row = 0; row < rows.rows; ++row) {
    rows.read(row, values.data() + size_t{row} * rows.columns);
  }
  return values;
}

bool same_rows(const Constant& a, const Constant& b) {
  return a.arrangement == b.arrangement && a.values == b.values &&
         std::ranges::equal(a.sources, b.sources, same_source);
}

}  // namespace nbl::compiler
