// The interpreter's KV caches and its attention over them.
#include <algorithm>
#include <cmath>

#include "schema_generated.h"
#include "tests/support/interpreter.h"

namespace nbl::test {
namespace {

// The nearest f16, ties to even, as a double.
double round_to_half(double value) {
  if (value == 0 || !std::isfinite(value)) return value;
  const int exponent = std::max(std::ilogb(value), -14);
  const double step = std::ldexp(1.0, exponent - 10);
  const double rounded = std::nearbyint(value / step) * step;
  if (std::abs(rounded) > 65504) return std::copysign(INFINITY, value);
  return rounded;
}

// A head's row as a cache of this type keeps it.
void round_row(std::string_view dtype, std::vector<double>* row) {
  double peak = 0;
  for (const double v : *row)
    peak = std::max(peak, std::abs(v));
  const double scale = static_cast<double>(static_cast<float>(peak / 127));
  for (double& v : *row) {
    if (dtype == "f16") v = round_to_half(v);
    if (dtype == "f32") v = static_cast<double>(static_cast<float>(v));
    if (dtype == "i8") v = scale > 0 ? std::nearbyint(v / scale) * scale : 0;
  }
}

}  // namespace

void Interpreter::write_cache(const double* x, int32_t cache) {
  const fb::Tensor& tensor = *model_->tensors()->Get(static_cast<uint32_t>(cache));
  const auto& shape = *tensor.shape();
  const size_t head_dim = shape.Get(2);
  std::vector<double>& entries = values_.at(static_cast<size_t>(cache));
  std::uniform_real_distribution<double> noise(1 - cache_noise_, 1 + cache_noise_);
  std::vector<double> row(head_dim);
  for (size_t head = 0; head < shape.Get(0); ++head) {
    for (size_t d = 0; d < head_dim; ++d)
      row[d] = x[head * head_dim + d] * (cache_noise_ > 0 ? noise(noise_) : 1);
    round_row(tensor.dtype()->string_view(), &row);
    std::ranges::copy(row, entries.begin() + static_cast<std::ptrdiff_t>(
                                                 (head * shape.Get(1) + position_) * head_dim));
  }
}

// The score of position c for the current one; -inf where it is not seen.
double Interpreter::score(const fb::Op& op, double dot, size_t c) const {
  if (!op.full() && c > position_) return -INFINITY;
  if (op.window() != 0 && c < position_ && position_ - c >= op.window()) return -INFINITY;
  double s = dot * static_cast<double>(op.scale());
  const auto cap = static_cast<double>(op.softcap());
  if (cap != 0) s = cap * std::tanh(s / cap);
  if (op.inputs()->size() > 3 && op.inputs()->Get(3) >= 0) {
    const Matrix& mask = matrix(op, 3);
    s += static_cast<double>(mask.values[size_t{position_} * mask.columns + c]);
  }
  return s;
}

void Interpreter::attention(const fb::Op& op) {
  const std::vector<double>& q = input(op, 0);
  const std::vector<double>& keys = input(op, 1);
  const std::vector<double>& values = input(op, 2);
  std::vector<double>& out = output(op, 0);
  const size_t dim = op.head_dim();
  const size_t context = context_length();
  const size_t shared_by = op.heads() / op.kv_heads();
  std::vector<double> p(live_end_);
  for (size_t head = 0; head < op.heads(); ++head) {
    const size_t base = head / shared_by * context * dim;
    double largest = -INFINITY;
    for (size_t c = 0; c < p.size(); ++c) {
      double dot = 0;
      for (size_t d = 0; d < dim; ++d)
        dot += q[head * dim + d] * keys[base + c * dim + d];
      p[c] = score(op, dot, c);
      largest = std::max(largest, p[c]);
    }
    double total = 0;
    for (double& v : p)
      total += v = std::isinf(largest) ? 0 : std::exp(v - largest);
    for (size_t d = 0; d < dim; ++d) {
      double sum = 0;
      for (size_t c = 0; c < p.size(); ++c)
        sum += p[c] * values[base + c * dim + d];
      out[head * dim + d] = total == 0 ? 0 : sum / total;
    }
  }
}

}  // namespace nbl::test
