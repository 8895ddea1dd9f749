#include "compiler/import/pt2/call.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace nbl::compiler::pt2 {
namespace {

bool is_none(const CallArgument& argument) {
  const auto* value = std::get_if<Value>(&argument.value);
  return value != nullptr && std::holds_alternative<None>(*value);
}

bool is_elements(const Value& value) {
  return std::holds_alternative<Elements>(value) || std::holds_alternative<Complex>(value);
}

bool is_elements(const CallArgument& argument) {
  if (const auto* value = std::get_if<Value>(&argument.value)) return is_elements(*value);
  const auto* list = std::get_if<std::vector<Value>>(&argument.value);
  return list != nullptr &&
         std::ranges::any_of(*list, [](const Value& value) { return is_elements(value); });
}

ExpressionRef as_reference(const Value& value) {
  const auto* expression = std::get_if<ExpressionRef>(&value);
  return expression == nullptr ? nullptr : *expression;
}

ExpressionArgument as_argument(const CallArgument& from) {
  ExpressionArgument to{.name = from.name, .value = None{}};
  if (const auto* value = std::get_if<Value>(&from.value)) {
    if (const ExpressionRef reference = as_reference(*value)) to.value = reference;
  }
  if (const auto* list = std::get_if<std::vector<Value>>(&from.value)) {
    ExpressionList references;
    for (const Value& value : *list)
      references.push_back(as_reference(value));
    to.value = std::move(references);
  }
  if (const auto* list = std::get_if<ExpressionArgument::Integers>(&from.value)) to.value = *list;
  if (const auto* text = std::get_if<std::string>(&from.value)) to.value = *text;
  if (const auto* list = std::get_if<std::vector<double>>(&from.value)) to.value = *list;
  if (const auto* type = std::get_if<ScalarType>(&from.value)) to.value = *type;
  return to;
}

const std::map<std::string, Handler>& handlers() {
  static const std::map<std::string, Handler> all = [] {
    std::map<std::string, Handler> rows;
    for (const auto& group :
         {arithmetic_handlers(), tensor_handlers(), model_handlers(), cache_handlers()}) {
      for (const HandlerRow& row : group)
        rows.emplace(row.op, row.run);
    }
    return rows;
  }();
  return all;
}

}  // namespace

Handler find_handler(const std::string& op) {
  const auto found = handlers().find(op);
  return found == handlers().end() ? nullptr : found->second;
}

std::vector<std::string> handler_names() {
  std::vector<std::string> names;
  for (const auto& [name, run] : handlers())
    names.push_back(name);
  return names;
}

const CallArgument* Call::find(std::string_view name) const {
  for (const CallArgument& argument : arguments_) {
    if (argument.name == name) return is_none(argument) ? nullptr : &argument;
  }
  return nullptr;
}

bool Call::has_elements(std::string_view name) const {
  const CallArgument* argument = find(name);
  return argument != nullptr && is_elements(*argument);
}

bool Call::any_elements() const {
  return std::ranges::any_of(arguments_,
                             [](const CallArgument& argument) { return is_elements(argument); });
}

const Value& Call::value(std::string_view name) const {
  const CallArgument* argument = find(name);
  if (argument != nullptr) {
    if (const auto* value = std::get_if<Value>(&argument->value)) return *value;
  }
  throw NodeError(fmt::format("has no argument {}", name));
}

const Elements& Call::elements(std::string_view name) const {
  if (const auto* elements = std::get_if<Elements>(&value(name))) return *elements;
  throw NodeError(fmt::format("has an argument {} that does not depend on the tokens", name));
}

ExpressionRef Call::expression(std::string_view name) const {
  if (ExpressionRef reference = as_reference(value(name))) return reference;
  throw NodeError(fmt::format("has an argument {} that depends on the tokens", name));
}

ExpressionRef Call::expression_or_null(std::string_view name) const {
  return has(name) ? expression(name) : nullptr;
}

std::vector<Value> Call::list(std::string_view name) const {
  const CallArgument* argument = find(name);
  if (argument != nullptr) {
    if (const auto* list = std::get_if<std::vector<Value>>(&argument->value)) return *list;
  }
  throw NodeError(fmt::format("has no list of tensors {}", name));
}

Arguments Call::numbers() const {
  Expression all{.op = op, .arguments = {}};
  for (const CallArgument& argument : arguments_) {
    if (!is_elements(argument)) all.arguments.push_back(as_argument(argument));
  }
  return evaluate_arguments(all, context.step);
}

double Call::real(std::string_view name) const {
  return context.numbers(expression(name)).only();
}

double Call::real(std::string_view name, double fallback) const {
  return has(name) ? real(name) : fallback;
}

int64_t Call::integer(std::string_view name) const {
  Arguments one;
  one.add(std::string(name), context.numbers(expression(name)));
  return one.integer(name);
}

int64_t Call::integer(std::string_view name, int64_t fallback) const {
  return has(name) ? integer(name) : fallback;
}

bool Call::flag(std::string_view name, bool fallback) const {
  return has(name) ? real(name) != 0 : fallback;
}

Dims Call::integers(std::string_view name) const {
  const CallArgument* argument = find(name);
  if (argument == nullptr) throw NodeError(fmt::format("has no list {}", name));
  const Expression one{.op = op, .arguments = {as_argument(*argument)}};
  return evaluate_arguments(one, context.step).integers(name);
}

std::string Call::text(std::string_view name, std::string fallback) const {
  const CallArgument* argument = find(name);
  const auto* text = argument == nullptr ? nullptr : std::get_if<std::string>(&argument->value);
  return text == nullptr ? fallback : *text;
}

ScalarType Call::type(std::string_view name, ScalarType fallback) const {
  const CallArgument* argument = find(name);
  const auto* type = argument == nullptr ? nullptr : std::get_if<ScalarType>(&argument->value);
  return type == nullptr ? fallback : *type;
}

std::vector<ExpressionArgument> Call::as_expression(const std::vector<std::string>& without) const {
  std::vector<ExpressionArgument> all;
  for (const CallArgument& argument : arguments_) {
    if (std::ranges::count(without, argument.name) == 0) all.push_back(as_argument(argument));
  }
  return all;
}

}  // namespace nbl::compiler::pt2
