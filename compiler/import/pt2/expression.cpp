#include "compiler/import/pt2/expression.h"

#include <fmt/format.h>

#include "compiler/import/pt2/evaluate.h"
#include "compiler/import/pt2/shape_ops.h"

namespace nbl::compiler::pt2 {
namespace {

std::string key_of(const ExpressionRef& expression) {
  return expression ? fmt::format("#{}", expression->id) : "-";
}

std::string key_of(const ExpressionArgument& argument) {
  std::string key = argument.name + "=";
  const auto add_list = [&](const std::vector<ExpressionRef>& list) {
    for (const ExpressionRef& element : list)
      key += key_of(element) + ",";
  };
  if (const auto* one = std::get_if<ExpressionRef>(&argument.value)) key += key_of(*one);
  if (const auto* list = std::get_if<ExpressionList>(&argument.value)) add_list(*list);
  if (const auto* list = std::get_if<ExpressionArgument::Integers>(&argument.value)) {
    key += "i";
    add_list(list->list);
  }
  if (const auto* text = std::get_if<std::string>(&argument.value)) key += "'" + *text + "'";
  if (const auto* list = std::get_if<std::vector<double>>(&argument.value)) {
    for (const double value : *list)
      key += fmt::format("{:a},", value);
  }
  if (const auto* type = std::get_if<ScalarType>(&argument.value)) {
    key += fmt::format("t{}", static_cast<int>(*type));
  }
  return key;
}

bool varies(const ExpressionArgument& argument) {
  const auto any = [](const std::vector<ExpressionRef>& list) {
    for (const ExpressionRef& element : list) {
      if (element && element->varies) return true;
    }
    return false;
  };
  if (const auto* one = std::get_if<ExpressionRef>(&argument.value)) return any({*one});
  if (const auto* list = std::get_if<ExpressionList>(&argument.value)) return any(*list);
  const auto* integers = std::get_if<ExpressionArgument::Integers>(&argument.value);
  return integers != nullptr && any(integers->list);
}

Operand operand_of(const ExpressionArgument& argument, const Step& step) {
  if (const auto* one = std::get_if<ExpressionRef>(&argument.value)) return evaluate(*one, step);
  if (const auto* list = std::get_if<ExpressionList>(&argument.value)) {
    NumbersList numbers;
    for (const ExpressionRef& element : *list) {
      numbers.push_back(element ? std::optional(evaluate(element, step)) : std::nullopt);
    }
    return numbers;
  }
  if (const auto* list = std::get_if<ExpressionArgument::Integers>(&argument.value)) {
    Dims integers;
    for (const ExpressionRef& element : list->list) {
      Arguments one;
      one.add("of a list", evaluate(element, step));
      integers.push_back(one.integer("of a list"));
    }
    return integers;
  }
  if (const auto* text = std::get_if<std::string>(&argument.value)) return *text;
  if (const auto* list = std::get_if<std::vector<double>>(&argument.value)) return *list;
  if (const auto* type = std::get_if<ScalarType>(&argument.value)) return *type;
  return None{};
}

Numbers compute(const Expression& expression, const Step& step) {
  if (expression.op == "tokens") {
    return make_number(static_cast<double>(step.tokens), NumberKind::integer);
  }
  if (expression.op == "position") {
    return make_number(static_cast<double>(step.position), NumberKind::integer);
  }
  if (expression.op == "positions") {
    std::vector<double> all;
    for (int64_t i = 0; i < step.tokens; ++i)
      all.push_back(static_cast<double>(step.position + i));
    return make_numbers({step.tokens}, std::move(all), NumberKind::integer);
  }
  const Arguments arguments = evaluate_arguments(expression, step);
  std::vector<Numbers> results;
  if (const ShapeRule rule = find_shape_rule(expression.op)) {
    results = apply_shape(rule, arguments.numbers(kShapeOperand), arguments);
  } else {
    results = evaluate_op(expression.op, arguments);
  }
  if (expression.output >= results.size()) {
    throw NodeError(
        fmt::format("has {} results, {} are wanted", results.size(), expression.output + 1));
  }
  return results[expression.output];
}

}  // namespace

ExpressionRef Expressions::intern(const std::string& key, Expression expression) {
  ExpressionRef& known = known_[key];
  if (!known) {
    expression.id = known_.size();
    known = std::make_shared<const Expression>(std::move(expression));
  }
  return known;
}

ExpressionRef Expressions::number(double value, NumberKind kind) {
  return intern(
      fmt::format("number {:a} {}", value, static_cast<int>(kind)),
      {.op = "number", .arguments = {}, .constant = make_number(value, kind), .name = "number"});
}

ExpressionRef Expressions::constant(const std::string& name, const ConstantTensor& tensor) {
  return intern(
      "constant " + name,
      {.op = "constant", .arguments = {}, .constant = constant_numbers(tensor), .name = name});
}

ExpressionRef Expressions::leaf(const std::string& op) {
  return intern(op, {.op = op, .arguments = {}, .varies = true, .name = op});
}

ExpressionRef Expressions::make(std::string op, std::vector<ExpressionArgument> arguments,
                                size_t output, std::string name) {
  std::string key = fmt::format("{} {} ", op, output);
  bool any_varies = false;
  for (const ExpressionArgument& argument : arguments) {
    key += key_of(argument) + ";";
    any_varies = any_varies || varies(argument);
  }
  return intern(key, {.op = std::move(op),
                      .arguments = std::move(arguments),
                      .output = output,
                      .varies = any_varies,
                      .name = std::move(name)});
}

bool can_evaluate(const std::string& op) {
  return find_shape_rule(op) != nullptr || has_evaluator(op);
}

std::vector<std::string> evaluated_ops() {
  std::vector<std::string> names = shape_rule_names();
  for (const std::string& name : evaluator_names())
    names.push_back(name);
  return names;
}

Arguments evaluate_arguments(const Expression& expression, const Step& step) {
  Arguments arguments;
  for (const ExpressionArgument& argument : expression.arguments) {
    arguments.add(argument.name, operand_of(argument, step));
  }
  return arguments;
}

const Numbers& evaluate(const ExpressionRef& expression, const Step& step) {
  const Expression& e = *expression;
  if (e.op == "constant" || e.op == "number") return e.constant;
  if (e.known && (!e.varies || e.known_at == step)) return e.result;
  e.result = compute(e, step);
  e.known_at = step;
  e.known = true;
  return e.result;
}

}  // namespace nbl::compiler::pt2
