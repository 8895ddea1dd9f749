#include "compiler/graph/constant.h"

#include <algorithm>
#include <cstring>

namespace nbl::compiler {
namespace {

bool same_source(const SourceTensor* a, const SourceTensor* b) {
  if (a == b) return true;
  if (a->quantized || b->quantized) return a->quantized == b->quantized;
  if (a->type != b->type || a->rows != b->rows || a->columns != b->columns) return false;
  return a->data == b->data || std::memcmp(a->data, b->data, a->rows * a->row_bytes()) == 0;
}

// The rows of a constant without parts.
RowSource plain_rows(const Constant& constant) {
  if (constant.quantized) return quantized_rows(constant.quantized);
  std::vector<RowSource> parts;
  for (const SourceTensor* source : constant.sources)
    parts.push_back(source_rows(*source));
  RowSource rows = parts.size() == 1 ? parts.front() : concatenate(std::move(parts));
  if (constant.importance) {
    rows.importance = [importance = constant.importance](uint32_t) { return importance->data(); };
  }
  return rows;
}

bool same_quantized(const Constant& a, const Constant& b) {
  if (!a.quantized || !b.quantized) return a.quantized == b.quantized;
  return same_nibbles(*a.quantized, *b.quantized) && same_scales(*a.quantized, *b.quantized);
}

bool same_plain(const Constant& a, const Constant& b) {
  return same_quantized(a, b) && a.values == b.values &&
         std::ranges::equal(a.sources, b.sources, same_source);
}

}  // namespace

std::shared_ptr<const Constant> arrange(Arrangement arrangement,
                                        std::vector<std::shared_ptr<const Constant>> parts) {
  auto constant = std::make_shared<Constant>();
  constant->arrangement = arrangement;
  constant->parts = std::move(parts);
  return constant;
}

RowSource constant_rows(const Constant& constant) {
  if (constant.parts.empty()) return plain_rows(constant);
  if (constant.arrangement == Arrangement::interleaved) {
    return interleave(plain_rows(*constant.parts.at(0)), plain_rows(*constant.parts.at(1)));
  }
  std::vector<RowSource> parts;
  for (const std::shared_ptr<const Constant>& part : constant.parts)
    parts.push_back(plain_rows(*part));
  return concatenate(std::move(parts));
}

std::vector<float> constant_values(const Constant& constant) {
  if (constant.sources.empty() && constant.parts.empty() && !constant.quantized) {
    return constant.values;
  }
  const RowSource rows = constant_rows(constant);
  std::vector<float> values(size_t{rows.rows} * rows.columns);
  for (uint32_t row = 0; row < rows.rows; ++row) {
    rows.read(row, values.data() + size_t{row} * rows.columns);
  }
  return values;
}

bool same_nibbles(const Constant& a, const Constant& b) {
  if (a.quantized && b.quantized) return same_nibbles(*a.quantized, *b.quantized);
  return same_rows(a, b);
}

bool same_rows(const Constant& a, const Constant& b) {
  return a.arrangement == b.arrangement && same_plain(a, b) &&
         std::ranges::equal(a.parts, b.parts,
                            [](const auto& x, const auto& y) { return same_plain(*x, *y); });
}

}  // namespace nbl::compiler
