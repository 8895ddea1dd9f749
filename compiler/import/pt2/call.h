// One node of the graph with its arguments looked up.
#pragma once

#include "compiler/import/pt2/context.h"

namespace nbl::compiler::pt2 {

struct CallArgument {
  std::string name;
  std::variant<Value, std::vector<Value>, ExpressionArgument::Integers, std::string,
               std::vector<double>, ScalarType>
      value;
};

class Call {
 public:
  Call(Context& walk, std::string op_name, std::vector<CallArgument> arguments)
      : context(walk), op(std::move(op_name)), arguments_(std::move(arguments)) {}

  Context& context;
  const std::string op;

  const std::vector<CallArgument>& arguments() const { return arguments_; }
  // Whether the argument is there and not None.
  bool has(std::string_view name) const { return find(name) != nullptr; }
  // Whether it is a tensor that depends on the tokens.
  bool has_elements(std::string_view name) const;
  bool any_elements() const;

  // Errors  NodeError, where the argument is absent or something else.
  const Value& value(std::string_view name) const;
  const Elements& elements(std::string_view name) const;
  ExpressionRef expression(std::string_view name) const;
  ExpressionRef expression_or_null(std::string_view name) const;
  std::vector<Value> list(std::string_view name) const;

  // Numbers that are fixed, or those of the walk's step.
  double real(std::string_view name) const;
  double real(std::string_view name, double fallback) const;
  int64_t integer(std::string_view name) const;
  int64_t integer(std::string_view name, int64_t fallback) const;
  bool flag(std::string_view name, bool fallback) const;
  Dims integers(std::string_view name) const;
  std::string text(std::string_view name, std::string fallback) const;
  ScalarType type(std::string_view name, ScalarType fallback) const;

  // All arguments but tensors of elements, as numbers at the walk's step.
  Arguments numbers() const;
  // All arguments as those of an expression, none of them elements; without the ones named.
  std::vector<ExpressionArgument> as_expression(const std::vector<std::string>& without = {}) const;

 private:
  const CallArgument* find(std::string_view name) const;
  std::vector<CallArgument> arguments_;
};

// What a node computes; one value for each of its results.
using Handler = std::vector<Value> (*)(const Call& call);
struct HandlerRow {
  const char* op;
  Handler run;
};
std::vector<HandlerRow> arithmetic_handlers();
std::vector<HandlerRow> tensor_handlers();
std::vector<HandlerRow> model_handlers();
std::vector<HandlerRow> cache_handlers();

// Null where there is none.
Handler find_handler(const std::string& op);
std::vector<std::string> handler_names();

}  // namespace nbl::compiler::pt2
