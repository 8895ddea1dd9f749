#include "compiler/import/pt2/evaluate.h"

#include <fmt/format.h>

#include <map>

namespace nbl::compiler::pt2 {
namespace {

const std::map<std::string, Evaluator>& evaluators() {
  static const std::map<std::string, Evaluator> all = [] {
    std::map<std::string, Evaluator> rows;
    for (const auto& group :
         {arithmetic_evaluators(), making_evaluators(), gathering_evaluators()}) {
      for (const EvaluatorRow& row : group)
        rows.emplace(row.op, row.run);
    }
    return rows;
  }();
  return all;
}

}  // namespace

bool has_evaluator(const std::string& op) {
  return evaluators().contains(op);
}

std::vector<std::string> evaluator_names() {
  std::vector<std::string> names;
  for (const auto& [name, run] : evaluators())
    names.push_back(name);
  return names;
}

std::vector<Numbers> evaluate_op(const std::string& op, const Arguments& arguments) {
  const auto found = evaluators().find(op);
  if (found == evaluators().end()) throw NodeError(fmt::format("cannot evaluate {}", op));
  return found->second(arguments);
}

}  // namespace nbl::compiler::pt2
