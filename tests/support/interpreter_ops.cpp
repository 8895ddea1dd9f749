// The interpreter's ops on whole activations: functions, moved columns, softmax, norms.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "schema_generated.h"
#include "tests/support/interpreter.h"

namespace nbl::test {
namespace {

double gelu_tanh(double x) {
  const double u = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
  return 0.5 * x * (1 + std::tanh(u));
}

}  // namespace

double function_of(std::string_view name, double a, double b) {
  if (name == "add") return a + b;
  if (name == "sub") return a - b;
  if (name == "mul") return a * b;
  if (name == "div") return a / b;
  if (name == "sigmoid") return 1 / (1 + std::exp(-a));
  if (name == "silu") return a / (1 + std::exp(-a));
  if (name == "gelu") return 0.5 * a * std::erfc(-a / std::sqrt(2.0));
  if (name == "gelu_tanh") return gelu_tanh(a);
  if (name == "tanh") return std::tanh(a);
  if (name == "relu") return a > 0 ? a : 0;
  if (name == "exp") return std::exp(a);
  if (name == "neg") return -a;
  if (name == "rsqrt") return 1 / std::sqrt(a);
  if (name == "square") return a * a;
  if (name == "sqrt") return std::sqrt(a);
  if (name == "reciprocal") return 1 / a;
  throw std::runtime_error("unknown function " + std::string(name));
}

void Interpreter::elementwise(const fb::Op& op) {
  const std::string_view name = op.function()->string_view();
  const bool scaled = name == "add" || name == "sub";
  const std::vector<double>& a = input(op, 0);
  std::vector<double> b{static_cast<double>(op.alpha())};
  if (op.inputs()->size() > 1 && op.inputs()->Get(1) >= 0) {
    b = input(op, 1);
    // A weight has no value of its own.
    if (b.empty()) b.assign(matrix(op, 1).values.begin(), matrix(op, 1).values.end());
    for (double& v : b)
      v *= scaled ? static_cast<double>(op.alpha()) : 1;
  }
  for (size_t i = 0; i < a.size(); ++i)
    output(op, 0)[i] = function_of(name, a[i], b[i % b.size()]);
}

void Interpreter::move_columns(const fb::Op& op) {
  const std::string_view kind = op.kind()->string_view();
  std::vector<double>& out = output(op, 0);
  const std::vector<double>& x = input(op, 0);
  if (kind == "slice") {
    std::copy_n(x.begin() + op.offset(), out.size(), out.begin());
  } else if (kind == "permute") {
    for (size_t h = 0; h < op.heads(); ++h) {
      for (size_t d = 0; d < op.head_dim(); ++d)
        out[d * op.heads() + h] = x[h * op.head_dim() + d];
    }
  } else {
    auto at = out.begin();
    for (uint32_t i = 0; i < op.inputs()->size(); ++i)
      at = std::ranges::copy(input(op, i), at).out;
  }
}

void Interpreter::softmax(const fb::Op& op) {
  const std::vector<double>& x = input(op, 0);
  std::vector<double>& out = output(op, 0);
  const double largest = *std::ranges::max_element(x);
  double total = 0;
  for (size_t i = 0; i < x.size(); ++i)
    total += out[i] = std::exp(static_cast<double>(op.scale()) * (x[i] - largest));
  for (double& v : out)
    v /= total;
}

void Interpreter::rms_norm(const fb::Op& op) {
  const std::vector<double>& x = input(op, 0);
  const std::vector<float>& weight = matrix(op, 1).values;
  std::vector<double>& out = output(op, 0);
  for (size_t first = 0; first < x.size(); first += weight.size()) {
    double squares = 0;
    for (size_t i = 0; i < weight.size(); ++i)
      squares += x[first + i] * x[first + i];
    const double mean = squares / static_cast<double>(weight.size());
    for (size_t i = 0; i < weight.size(); ++i) {
      out[first + i] = x[first + i] / std::sqrt(mean + static_cast<double>(op.eps())) *
                       static_cast<double>(weight[i]);
    }
  }
}

}  // namespace nbl::test
