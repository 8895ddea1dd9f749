// Numbers that follow from the parameters, the token count and the position alone: masks, rotary
// tables, sizes, indices. They are kept as expressions and evaluated on the host at any position,
// so that what they are is recognised by value, not by the ops that computed them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "compiler/import/pt2/arguments.h"

namespace nbl::compiler::pt2 {

// One step of the model: so many new tokens, behind so many earlier ones.
struct Step {
  int64_t position = 0;
  int64_t tokens = 1;
  bool operator==(const Step&) const = default;
};

struct Expression;
using ExpressionRef = std::shared_ptr<const Expression>;

// An argument of an expression. A null reference in a list stands for None.
using ExpressionList = std::vector<ExpressionRef>;
using IntegerList = std::vector<ExpressionRef>;
struct ExpressionArgument {
  std::string name;
  struct Integers {
    IntegerList list;
  };
  std::variant<None, ExpressionRef, ExpressionList, Integers, std::string, std::vector<double>,
               ScalarType>
      value;
};

// Ops beside those of the graph: "constant", "number", "tokens" (a number), "position" (the first
// new token's) and "positions" (those of all new tokens).
struct Expression {
  std::string op;  // as op_name() has it
  std::vector<ExpressionArgument> arguments;
  size_t output = 0;      // of an op with several
  bool varies = false;    // with the step
  Numbers constant = {};  // "constant" and "number"
  std::string name = {};  // of the parameter or buffer, or of the graph's value
  size_t id = 0;          // equal expressions have the same

  // The last result; an expression that does not vary is computed once.
  mutable bool known = false;
  mutable Step known_at = {};
  mutable Numbers result = {};
};

// Makes expressions; equal ones are one object, as long as the maker lives.
class Expressions {
 public:
  ExpressionRef number(double value, NumberKind kind);
  ExpressionRef constant(const std::string& name, const ConstantTensor& tensor);
  ExpressionRef leaf(const std::string& op);
  ExpressionRef make(std::string op, std::vector<ExpressionArgument> arguments, size_t output,
                     std::string name);

 private:
  ExpressionRef intern(const std::string& key, Expression expression);
  std::map<std::string, ExpressionRef> known_;
};

// Whether make() takes the op.
bool can_evaluate(const std::string& op);
// For messages: all that can_evaluate() knows.
std::vector<std::string> evaluated_ops();

// Errors  NodeError.
const Numbers& evaluate(const ExpressionRef& expression, const Step& step);

// The arguments of an expression at a step.
Arguments evaluate_arguments(const Expression& expression, const Step& step);

}  // namespace nbl::compiler::pt2
