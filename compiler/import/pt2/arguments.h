// The arguments of one call with every number in its place: what an op of the evaluator reads.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "compiler/import/pt2/numbers.h"

namespace nbl::compiler::pt2 {

// Tensors and numbers are both Numbers; a number has no dimensions.
using NumbersList = std::vector<std::optional<Numbers>>;  // empty elements stand for None
using Operand =
    std::variant<None, Numbers, NumbersList, std::string, Dims, std::vector<double>, ScalarType>;

// "torch.ops.aten.view_copy.default" -> "aten.view"; "torch.ops.aten.add_.Tensor" -> "aten.add_".
std::string op_name(const std::string& target);

class Arguments {
 public:
  void add(std::string name, Operand operand) {
    list_.emplace_back(std::move(name), std::move(operand));
  }

  // Whether the argument is there and not None.
  bool has(std::string_view name) const { return find(name) != nullptr; }

  // Errors  NodeError, where it is absent (and has no fallback) or of another type.
  const Numbers& numbers(std::string_view name) const;
  NumbersList list(std::string_view name) const;
  double real(std::string_view name) const { return numbers(name).only(); }
  double real(std::string_view name, double fallback) const;
  int64_t integer(std::string_view name) const;
  int64_t integer(std::string_view name, int64_t fallback) const;
  bool flag(std::string_view name, bool fallback) const { return real(name, fallback) != 0; }
  Dims integers(std::string_view name) const;
  std::string text(std::string_view name, std::string fallback) const;
  ScalarType type(std::string_view name, ScalarType fallback) const;

 private:
  const Operand* find(std::string_view name) const;
  std::vector<std::pair<std::string, Operand>> list_;
};

}  // namespace nbl::compiler::pt2
