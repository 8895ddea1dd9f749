#include "compiler/import/pt2/arguments.h"

#include <fmt/format.h>

#include <cmath>

namespace nbl::compiler::pt2 {
namespace {

constexpr std::string_view kPrefix = "torch.ops.";
constexpr std::string_view kCopy = "_copy";

// Arithmetic on sizes, as the ops on tensors that compute the same.
constexpr std::pair<std::string_view, const char*> kScalarOps[] = {
    {"_operator.add", "aten.add"},
    {"_operator.sub", "aten.sub"},
    {"_operator.mul", "aten.mul"},
    {"_operator.truediv", "aten.div"},
    {"_operator.floordiv", "aten.floor_divide"},
    {"_operator.mod", "aten.remainder"},
    {"_operator.pow", "aten.pow"},
    {"_operator.neg", "aten.neg"},
    {"_operator.eq", "aten.eq"},
    {"_operator.ne", "aten.ne"},
    {"_operator.lt", "aten.lt"},
    {"_operator.le", "aten.le"},
    {"_operator.gt", "aten.gt"},
    {"_operator.ge", "aten.ge"},
    {"_operator.and_", "aten.bitwise_and"},
    {"_operator.or_", "aten.bitwise_or"},
    {"_operator.not_", "aten.logical_not"},
    {"torch.sym_not", "aten.logical_not"},
    {"torch.sym_max", "aten.maximum"},
    {"torch.sym_min", "aten.minimum"},
    {"torch.sym_float", "aten.to_float"},
    {"torch.sym_int", "aten.trunc"},
    {"math.floor", "aten.floor"},
    {"math.ceil", "aten.ceil"},
    {"math.trunc", "aten.trunc"},
    {"math.sqrt", "aten.sqrt"},
};

}  // namespace

std::string op_name(const std::string& target) {
  for (const auto& [scalar_op, tensor_op] : kScalarOps) {
    if (target == scalar_op) return tensor_op;
  }
  std::string name = target;
  if (name.starts_with(kPrefix)) {
    name.erase(0, kPrefix.size());
    // namespace.op.overload
    const size_t first = name.find('.');
    const size_t last = name.rfind('.');
    if (first != std::string::npos && last != first) name.erase(last);
  }
  // The functional twins of views; _to_copy, index_copy and aten.copy are ops of their own.
  const bool view = name.ends_with(kCopy) && !name.ends_with("._to_copy") &&
                    !name.ends_with(".index_copy") && !name.ends_with("._copy");
  if (view) name.erase(name.size() - kCopy.size());
  return name;
}

const Operand* Arguments::find(std::string_view name) const {
  for (const auto& [key, operand] : list_) {
    if (key == name) return std::holds_alternative<None>(operand) ? nullptr : &operand;
  }
  return nullptr;
}

const Numbers& Arguments::numbers(std::string_view name) const {
  const Operand* operand = find(name);
  if (operand == nullptr) throw NodeError(fmt::format("has no argument {}", name));
  if (const auto* found = std::get_if<Numbers>(operand)) return *found;
  throw NodeError(fmt::format("has an argument {} that is no number or tensor of numbers", name));
}

NumbersList Arguments::list(std::string_view name) const {
  const Operand* operand = find(name);
  if (operand != nullptr) {
    if (const auto* found = std::get_if<NumbersList>(operand)) return *found;
  }
  throw NodeError(fmt::format("has no list of tensors {}", name));
}

double Arguments::real(std::string_view name, double fallback) const {
  return has(name) ? real(name) : fallback;
}

int64_t Arguments::integer(std::string_view name) const {
  const double value = real(name);
  // Slices end at the largest int64, which float64 rounds up.
  constexpr double kEnd = 9.0e18;
  if (value >= kEnd) return INT64_MAX;
  if (value <= -kEnd) return INT64_MIN + 1;
  if (value != std::floor(value)) {
    throw NodeError(fmt::format("has an argument {} of {}, an integer is wanted", name, value));
  }
  return static_cast<int64_t>(value);
}

int64_t Arguments::integer(std::string_view name, int64_t fallback) const {
  return has(name) ? integer(name) : fallback;
}

Dims Arguments::integers(std::string_view name) const {
  const Operand* operand = find(name);
  if (operand == nullptr) throw NodeError(fmt::format("has no list {}", name));
  if (const auto* found = std::get_if<Dims>(operand)) return *found;
  if (std::holds_alternative<Numbers>(*operand)) return {integer(name)};
  throw NodeError(fmt::format("has an argument {} that is no list of integers", name));
}

std::string Arguments::text(std::string_view name, std::string fallback) const {
  const Operand* operand = find(name);
  if (operand == nullptr) return fallback;
  if (const auto* found = std::get_if<std::string>(operand)) return *found;
  throw NodeError(fmt::format("has an argument {} that is no text", name));
}

ScalarType Arguments::type(std::string_view name, ScalarType fallback) const {
  const Operand* operand = find(name);
  if (operand == nullptr) return fallback;
  if (const auto* found = std::get_if<ScalarType>(operand)) return *found;
  return fallback;
}

}  // namespace nbl::compiler::pt2
