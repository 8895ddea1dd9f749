// Whole arrays: joining, indexing, reducing, multiplying; and the dequantizing ops, for weights
// that no pattern takes over.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compiler/import/pt2/evaluate.h"
#include "compiler/import/pt2/shape_ops.h"

namespace nbl::compiler::pt2 {
namespace {

using Results = std::vector<Numbers>;

Numbers joined(const NumbersList& parts, int64_t dim) {
  std::vector<Numbers> present;
  for (const std::optional<Numbers>& part : parts) {
    // An empty vector joins with anything.
    if (part && (part->layout.count() > 0 || parts.size() == 1)) present.push_back(*part);
  }
  if (present.empty()) throw NodeError("joins nothing");
  Dims dims = present[0].dims();
  const size_t axis = wrap_dim(dim, dims.size());
  dims[axis] = 0;
  NumberKind kind = NumberKind::boolean;
  for (const Numbers& part : present) {
    dims[axis] += part.dims().at(axis);
    kind = std::max(kind, part.kind);
  }
  // With the joined dimension in front, the parts follow each other.
  Layout to = transposed(row_major(dims), 0, dim);
  std::vector<double> values(static_cast<size_t>(to.count()));
  int64_t start = 0;
  for (const Numbers& part : present) {
    const int64_t length = part.dims()[axis];
    const std::vector<int64_t> target =
        places(sliced(row_major(dims), dim, start, start + length, 1));
    const std::vector<double> from = part.values();
    if (from.size() != target.size()) {
      throw NodeError(
          fmt::format("joins {} with {}", text_of(present[0].dims()), text_of(part.dims())));
    }
    for (size_t i = 0; i < from.size(); ++i)
      values[static_cast<size_t>(target[i])] = from[i];
    start += length;
  }
  return make_numbers(dims, std::move(values), kind);
}

Results cat(const Arguments& in) {
  return {joined(in.list("tensors"), in.integer("dim", 0))};
}

Results stack(const Arguments& in) {
  NumbersList parts = in.list("tensors");
  const int64_t dim = in.integer("dim", 0);
  for (std::optional<Numbers>& part : parts) {
    if (part) part = part->with(unsqueezed(part->layout, dim));
  }
  return {joined(parts, dim)};
}

int64_t checked_index(double index, int64_t size) {
  if (!(index >= static_cast<double>(-size) && index < static_cast<double>(size))) {
    throw NodeError(fmt::format("reads element {} of a dimension of {}", index, size));
  }
  const auto at = static_cast<int64_t>(index);
  return at < 0 ? at + size : at;
}

// from[:, ..., index, ...] along one dimension; the index's dims take the dimension's place.
Numbers gathered(const Numbers& from, int64_t dim, const Numbers& index) {
  const size_t axis = wrap_dim(dim, from.dims().size());
  Dims dims = from.dims();
  const Dims& wanted = index.dims();
  dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(axis));
  dims.insert(dims.begin() + static_cast<std::ptrdiff_t>(axis), wanted.begin(), wanted.end());
  int64_t inner = 1;
  for (size_t i = axis + 1; i < from.dims().size(); ++i)
    inner *= from.dims()[i];
  const std::vector<double> indices = index.values();
  const auto count = static_cast<int64_t>(indices.size());
  std::vector<double> values(static_cast<size_t>(element_count(dims)));
  for (int64_t k = 0; k < count; ++k) {
    const int64_t wish = checked_index(indices[static_cast<size_t>(k)], from.dims()[axis]);
    const std::vector<double> one =
        from.with(selected(from.layout, static_cast<int64_t>(axis), wish)).values();
    for (size_t i = 0; i < one.size(); ++i) {
      const auto at = static_cast<int64_t>(i);
      values[static_cast<size_t>((at / inner * count + k) * inner + at % inner)] = one[i];
    }
  }
  return make_numbers(dims, std::move(values), from.kind);
}

Results index_select(const Arguments& in) {
  return {gathered(in.numbers("self"), in.integer("dim"), in.numbers("index"))};
}

// Several adjacent indices: the dimensions merged into one, the indices into one.
Results index(const Arguments& in) {
  Numbers from = in.numbers("self");
  const NumbersList indices = in.list("indices");
  size_t first = indices.size();
  size_t last = 0;
  Dims broad;
  for (size_t i = 0; i < indices.size(); ++i) {
    if (!indices[i]) continue;
    if (indices[i]->kind == NumberKind::boolean) throw NodeError("indexes by truth values");
    first = std::min(first, i);
    last = i;
    broad = broadcast(broad, indices[i]->dims());
  }
  if (first == indices.size()) return {from};
  std::vector<double> merged(static_cast<size_t>(element_count(broad)), 0.0);
  Dims dims(from.dims().begin(), from.dims().begin() + static_cast<std::ptrdiff_t>(first));
  int64_t size = 1;
  for (size_t i = first; i <= last; ++i) {
    if (!indices[i] || i >= from.dims().size())
      throw NodeError("has indices that are not adjacent");
    const std::vector<double> one = indices[i]->with(expanded(indices[i]->layout, broad)).values();
    for (size_t k = 0; k < merged.size(); ++k) {
      merged[k] = merged[k] * static_cast<double>(from.dims()[i]) +
                  static_cast<double>(checked_index(one[k], from.dims()[i]));
    }
    size *= from.dims()[i];
  }
  dims.push_back(size);
  dims.insert(dims.end(), from.dims().begin() + static_cast<std::ptrdiff_t>(last) + 1,
              from.dims().end());
  const Numbers combined = make_numbers(broad, std::move(merged), NumberKind::integer);
  return {gathered(reshape(from, dims), static_cast<int64_t>(first), combined)};
}

Results embedding(const Arguments& in) {
  return {gathered(in.numbers("weight"), 0, in.numbers("indices"))};
}

Numbers product(const Numbers& a, const Numbers& b) {
  Numbers left = a;
  Numbers right = b;
  if (a.dims().size() == 1) left = left.with(unsqueezed(left.layout, 0));
  if (b.dims().size() == 1) right = right.with(unsqueezed(right.layout, 1));
  if (left.dims().size() < 2 || right.dims().size() < 2) throw NodeError("multiplies no matrices");
  const Dims batch = broadcast({left.dims().begin(), left.dims().end() - 2},
                               {right.dims().begin(), right.dims().end() - 2});
  const int64_t m = left.dims()[left.dims().size() - 2];
  const int64_t k = left.dims().back();
  const int64_t n = right.dims().back();
  const auto full = [&](const Numbers& from, int64_t rows, int64_t columns) {
    Dims dims = batch;
    dims.insert(dims.end(), {rows, columns});
    return from.with(expanded(from.layout, dims)).values();
  };
  const std::vector<double> x = full(left, m, k);
  const std::vector<double> y = full(right, k, n);
  const int64_t count = element_count(batch);
  std::vector<double> values(static_cast<size_t>(count * m * n));
  for (int64_t i = 0; i < count * m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t l = 0; l < k; ++l) {
        sum +=
            x[static_cast<size_t>(i * k + l)] * y[static_cast<size_t>(i / m * k * n + l * n + j)];
      }
      values[static_cast<size_t>(i * n + j)] = sum;
    }
  }
  Dims dims = batch;
  if (a.dims().size() > 1) dims.push_back(m);
  if (b.dims().size() > 1) dims.push_back(n);
  return make_numbers(dims, std::move(values), std::max(a.kind, b.kind));
}

Results matmul(const Arguments& in) {
  return {product(in.numbers("self"), in.numbers(in.has("other") ? "other" : "mat2"))};
}

using Binary = double (*)(double, double);

// Reduces one dimension, or all of them where none is named.
Numbers reduced(const Arguments& in, Binary function) {
  Numbers from = in.numbers("self");
  const bool all = !in.has("dim") || in.integers("dim").empty();
  if (all) from = reshape(from, {from.layout.count()});
  const Dims dims = all ? Dims{0} : in.integers("dim");
  if (dims.size() != 1) throw NodeError("reduces several dimensions");
  const auto axis = static_cast<int64_t>(wrap_dim(dims[0], from.dims().size()));
  Dims order = {axis};
  for (size_t i = 0; i < from.dims().size(); ++i) {
    if (static_cast<int64_t>(i) != axis) order.push_back(static_cast<int64_t>(i));
  }
  const Layout front = permuted(from.layout, order);
  if (front.dims[0] == 0) throw NodeError("reduces nothing");
  std::vector<double> values = from.with(selected(front, 0, 0)).values();
  for (int64_t i = 1; i < front.dims[0]; ++i) {
    const std::vector<double> next = from.with(selected(front, 0, i)).values();
    std::ranges::transform(values, next, values.begin(), function);
  }
  const Numbers result = make_numbers(selected(front, 0, 0).dims, std::move(values), from.kind);
  if (!in.flag("keepdim", false)) return result;
  return result.with(unsqueezed(result.layout, axis));
}

Evaluator reduce(Binary function) {
  return [function](const Arguments& in) -> Results { return {reduced(in, function)}; };
}

double sum_of(double x, double y) {
  return x + y;
}

Results mean(const Arguments& in) {
  const Numbers sum = reduced(in, sum_of);
  const double share = static_cast<double>(sum.layout.count()) /
                       static_cast<double>(in.numbers("self").layout.count());
  std::vector<double> values = sum.values();
  for (double& value : values)
    value *= share;
  return {make_numbers(sum.dims(), std::move(values), NumberKind::real)};
}

Results cumsum(const Arguments& in) {
  const Numbers& from = in.numbers("self");
  const Layout front = transposed(row_major(from.dims()), in.integer("dim"), 0);
  std::vector<double> values = from.values();
  for (int64_t i = 1; i < front.dims.at(0); ++i) {
    const std::vector<int64_t> before = places(selected(front, 0, i - 1));
    const std::vector<int64_t> here = places(selected(front, 0, i));
    for (size_t k = 0; k < here.size(); ++k) {
      values[static_cast<size_t>(here[k])] += values[static_cast<size_t>(before[k])];
    }
  }
  const NumberKind kind = std::max(from.kind, NumberKind::integer);
  return {make_numbers(from.dims(), std::move(values), kind)};
}

// (q - zero point) * scale, each pair of them for one block.
Numbers dequantized(const Numbers& q, const Dims& block, const Numbers& scale,
                    const std::optional<Numbers>& zero) {
  Dims groups;
  for (size_t i = 0; i < q.dims().size(); ++i) {
    if (i >= block.size() || block[i] <= 0 || q.dims()[i] % block[i] != 0) {
      throw NodeError(fmt::format("has blocks of {} over {}, which leaves a part of one",
                                  text_of(block), text_of(q.dims())));
    }
    groups.push_back(q.dims()[i] / block[i]);
  }
  if (scale.layout.count() != element_count(groups)) {
    throw NodeError(fmt::format("has scales of sizes {} for blocks of {} over {}",
                                text_of(scale.dims()), text_of(block), text_of(q.dims())));
  }
  const Numbers scales = reshape(scale, groups);
  const Numbers zeros = zero ? reshape(*zero, groups) : scales;
  const std::vector<int64_t> at_scale = places(scales.layout);
  const std::vector<int64_t> at_zero = places(zeros.layout);
  std::vector<double> values = q.values();
  for (size_t i = 0; i < values.size(); ++i) {
    auto rest = static_cast<int64_t>(i);
    int64_t group = 0;
    int64_t stride = 1;
    for (size_t d = groups.size(); d-- > 0;) {
      group += rest % q.dims()[d] / block[d] * stride;
      rest /= q.dims()[d];
      stride *= groups[d];
    }
    const auto at = static_cast<size_t>(group);
    if (zero) values[i] -= zeros.at(at_zero[at]);
    values[i] *= scales.at(at_scale[at]);
  }
  return make_numbers(q.dims(), std::move(values), NumberKind::real);
}

std::optional<Numbers> optional_numbers(const Arguments& in, const char* name) {
  return in.has(name) ? std::optional(in.numbers(name)) : std::nullopt;
}

Results dequantize_affine(const Arguments& in) {
  if (in.text("zero_point_domain", "INT") != "INT") {
    throw NodeError("has a zero point that is no integer");
  }
  return {dequantized(in.numbers("input"), in.integers("block_size"), in.numbers("scale"),
                      optional_numbers(in, "zero_point"))};
}

Results dequantize_group(const Arguments& in) {
  const Numbers& q = in.numbers("input");
  return {dequantized(q, {1, in.integer("group_size")}, in.numbers("scales"),
                      optional_numbers(in, "zero_points"))};
}

Results dequantize_channel(const Arguments& in) {
  const Numbers& q = in.numbers("input");
  const size_t axis = wrap_dim(in.integer("axis"), q.dims().size());
  Dims block = q.dims();
  block[axis] = 1;
  return {dequantized(q, block, in.numbers("scales"), optional_numbers(in, "zero_points"))};
}

// The whole table of embedding_4bit, two values a byte with the even column in the high nibble.
Results unpacked_table(const Arguments& in) {
  const Numbers& packed = in.numbers("weight");
  if (packed.dims().size() != 2) throw NodeError("has a packed weight that is no matrix");
  std::vector<double> values;
  for (const double byte : packed.values()) {
    const double high = std::floor(byte / 16);
    values.insert(values.end(), {high - 8, byte - 16 * high - 8});
  }
  const Dims dims = {packed.dims()[0], 2 * packed.dims()[1]};
  const int64_t groups = in.numbers("weight_scales").layout.count() / std::max<int64_t>(dims[0], 1);
  if (groups < 1 || dims[1] % groups != 0) throw NodeError("has scales that do not fit its rows");
  return {dequantized(make_numbers(dims, std::move(values)), {1, dims[1] / groups},
                      in.numbers("weight_scales"), optional_numbers(in, "weight_zero_points"))};
}

}  // namespace

std::vector<EvaluatorRow> gathering_evaluators() {
  return {
      {"aten.cat", cat},
      {"aten.concat", cat},
      {"aten.stack", stack},
      {"aten.index", index},
      {"aten.index_select", index_select},
      {"aten.embedding", embedding},
      {"aten.matmul", matmul},
      {"aten.mm", matmul},
      {"aten.bmm", matmul},
      {"aten.sum", reduce(sum_of)},
      {"aten.amax", reduce([](double x, double y) { return std::max(x, y); })},
      {"aten.amin", reduce([](double x, double y) { return std::min(x, y); })},
      {"aten.any", reduce([](double x, double y) { return x != 0 || y != 0 ? 1.0 : 0.0; })},
      {"aten.all", reduce([](double x, double y) { return x != 0 && y != 0 ? 1.0 : 0.0; })},
      {"aten.mean", mean},
      {"aten.cumsum", cumsum},
      {"torchao.dequantize_affine", dequantize_affine},
      {"quantized_decomposed.dequantize_per_channel_group", dequantize_group},
      {"quantized_decomposed.dequantize_per_channel", dequantize_channel},
      {"quantized_decomposed.embedding_4bit", unpacked_table},
  };
}

}  // namespace nbl::compiler::pt2
