// The ops that the host computes on numbers: enough for masks, rotary tables and sizes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "compiler/import/pt2/arguments.h"

namespace nbl::compiler::pt2 {

bool has_evaluator(const std::string& op);
std::vector<std::string> evaluator_names();

// Errors  NodeError.
std::vector<Numbers> evaluate_op(const std::string& op, const Arguments& arguments);

// For the files that hold the ops.
using Evaluator = std::function<std::vector<Numbers>(const Arguments& arguments)>;
struct EvaluatorRow {
  const char* op;
  Evaluator run;
};
std::vector<EvaluatorRow> arithmetic_evaluators();
std::vector<EvaluatorRow> making_evaluators();
std::vector<EvaluatorRow> gathering_evaluators();

}  // namespace nbl::compiler::pt2
