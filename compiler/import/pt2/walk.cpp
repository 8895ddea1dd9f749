#include "compiler/import/pt2/walk.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "compiler/import/pt2/arithmetic.h"
#include "compiler/import/pt2/cache.h"
#include "compiler/import/pt2/shape_ops.h"

namespace nbl::compiler::pt2 {
namespace {

// An op that writes arguments: the values behind the write follow its results.
std::vector<std::string> written_arguments(const std::string& op) {
  if (op == "llama.update_cache") return {"cache"};
  if (op == "llama.sdpa_with_kv_cache") return {"key_cache", "value_cache"};
  return {};
}

bool is_in_place(const std::string& op) {
  return op.ends_with("_") && !op.ends_with("__") && op != "aten.detach_";
}

std::string functional(const std::string& op) {
  return is_in_place(op) ? op.substr(0, op.size() - 1) : op;
}

// Ops that make pairs are never folded: numbers have no complex type.
bool is_of_pairs(const std::string& op) {
  return op == "aten.polar" || op == "aten.complex" || op == "aten.view_as_complex";
}

class Walk {
 public:
  Walk(Context& context, const Aliases& aliases) : context_(context), aliases_(aliases) {}

  void define_inputs(const Inputs& inputs);
  void run(const Node& node);
  const Value& lookup(const std::string& name) const;

 private:
  Value position_input(const std::string& name) const;
  CallArgument argument(const NamedArgument& from) const;
  Value literal(const Argument& from) const;
  bool is_assertion(const Node& node, const std::string& op);
  std::vector<Value> results(const Node& node, const Call& call);
  std::vector<Value> viewed(ShapeRule rule, const Call& call) const;
  void rewrite(const Node& node, std::string_view argument, const Value& value);
  bool sets_counter(const Node& node, const std::string& op);
  bool same_number(const std::string& root, const Value& value) const;
  [[noreturn]] void refuse(const Call& call) const;

  Context& context_;
  const Aliases& aliases_;
  std::map<std::string, Value> values_;
  std::set<std::string> counters_;            // integer buffers that the graph writes
  std::map<std::string, std::string> stale_;  // values that an op wrote over, by that op
};

const Value& Walk::lookup(const std::string& name) const {
  const auto stale = stale_.find(name);
  if (stale != stale_.end()) {
    throw NodeError(
        fmt::format("reads {} after {} changed it in place; export with run_decompositions()", name,
                    stale->second));
  }
  const auto found = values_.find(name);
  if (found == values_.end() && counters_.contains(name)) {
    throw NodeError(fmt::format(
        "reads the counter {} before this step set it; take the position as an input", name));
  }
  if (found == values_.end()) throw NodeError(fmt::format("reads {}, which is not there", name));
  return found->second;
}

// Positions of the step's tokens, or the first of them, under the input's sizes.
Value Walk::position_input(const std::string& name) const {
  const auto meta = context_.program.tensors.find(name);
  if (meta == context_.program.tensors.end()) return context_.expressions.leaf("position");
  ExpressionArgument::Integers sizes;
  bool live = false;
  int64_t fixed = 1;
  for (const SymInt& size : meta->second.sizes) {
    live = live || size.symbolic();
    fixed *= size.symbolic() ? 1 : size.value;
    sizes.list.push_back(
        size.symbolic()
            ? context_.expressions.leaf("tokens")
            : context_.expressions.number(static_cast<double>(size.value), NumberKind::integer));
  }
  if (fixed != 1) {
    throw ImportError(
        fmt::format("{}: the input {} has {} elements; a position is one, or one a "
                    "token",
                    context_.program.path, name, fixed));
  }
  const ExpressionRef leaf = context_.expressions.leaf(live ? "positions" : "position");
  return context_.expressions.make("aten.reshape", {{"self", leaf}, {"shape", sizes}}, 0, name);
}

void Walk::define_inputs(const Inputs& inputs) {
  const ExportedProgram& program = context_.program;
  const int32_t tokens = context_.graph.add(
      {.name = "tokens", .role = Role::input, .dtype = DType::u32, .shape = {0}});
  for (const InputSpec& input : program.inputs) {
    if (input.kind == InputKind::user) {
      if (input.value == inputs.tokens) {
        Dims dims;
        for (const SymInt& size : program.tensors.at(input.value).sizes)
          dims.push_back(size.symbolic() ? context_.step.tokens : size.value);
        values_[input.value] = whole_source(
            context_.add_source({.kind = Source::Kind::tokens, .tensor = tokens}), dims);
      } else if (std::ranges::count(inputs.positions, input.value) > 0) {
        values_[input.value] = position_input(input.value);
      }
      continue;
    }
    const auto constant = program.constants.find(input.target);
    if (constant == program.constants.end()) continue;
    const bool written = aliases_.written.contains(input.value);
    if (written && number_kind(constant->second.meta.dtype) != NumberKind::real) {
      // Counters of positions: what they are before this step is not known.
      counters_.insert(input.value);
    } else if (written) {
      values_[input.value] = cache_buffer(context_, input.target, constant->second);
    } else {
      values_[input.value] = context_.expressions.constant(input.target, constant->second);
    }
  }
}

Value Walk::literal(const Argument& from) const {
  const auto number = [&](auto value, NumberKind kind) {
    return context_.expressions.number(static_cast<double>(value), kind);
  };
  if (const auto* value = std::get_if<ValueName>(&from)) {
    return value->name.empty() ? Value(None{}) : lookup(value->name);
  }
  if (const auto* value = std::get_if<int64_t>(&from)) return number(*value, NumberKind::integer);
  if (const auto* value = std::get_if<double>(&from)) return number(*value, NumberKind::real);
  if (const auto* value = std::get_if<bool>(&from)) return number(*value, NumberKind::boolean);
  return None{};
}

CallArgument Walk::argument(const NamedArgument& from) const {
  if (const auto* names = std::get_if<ValueNames>(&from.value)) {
    std::vector<Value> list;
    for (const std::string& name : names->names)
      list.push_back(name.empty() ? Value(None{}) : lookup(name));
    return {from.name, std::move(list)};
  }
  if (const auto* list = std::get_if<std::vector<IntOrName>>(&from.value)) {
    ExpressionArgument::Integers integers;
    for (const IntOrName& element : *list) {
      const Value value = literal(element.name.empty() ? Argument(element.value)
                                                       : Argument(ValueName{element.name}));
      const auto* expression = std::get_if<ExpressionRef>(&value);
      if (expression == nullptr) throw NodeError("has a size that depends on the tokens");
      integers.list.push_back(*expression);
    }
    return {from.name, std::move(integers)};
  }
  if (const auto* text = std::get_if<std::string>(&from.value)) return {from.name, *text};
  if (const auto* list = std::get_if<std::vector<double>>(&from.value)) return {from.name, *list};
  if (const auto* type = std::get_if<ScalarType>(&from.value)) return {from.name, *type};
  return {from.name, literal(from.value)};
}

// Assertions compute nothing; those on sizes and positions are limits.
bool Walk::is_assertion(const Node& node, const std::string& op) {
  if (op == "aten._assert_tensor_metadata") return true;
  const bool asserts = op == "aten._assert_scalar" || op == "aten._assert_async" ||
                       op == "aten._functional_assert_async" || op == "aten.sym_constrain_range" ||
                       op == "aten.sym_constrain_range_for_size";
  if (!asserts || node.inputs.empty()) return asserts;
  const Value value = literal(node.inputs[0].value);
  const auto* expression = std::get_if<ExpressionRef>(&value);
  if (expression == nullptr) return true;
  if (!op.starts_with("aten.sym_")) {
    context_.assertions.push_back(*expression);
    return true;
  }
  for (const NamedArgument& bound : node.inputs) {
    const Value limit = literal(bound.value);
    const auto* number = std::get_if<ExpressionRef>(&limit);
    if (number == nullptr || (bound.name != "min" && bound.name != "max")) continue;
    context_.assertions.push_back(
        context_.expressions.make(bound.name == "min" ? "aten.ge" : "aten.le",
                                  {{"self", *expression}, {"other", *number}}, 0, "limit"));
  }
  return true;
}

std::vector<Value> Walk::viewed(ShapeRule rule, const Call& call) const {
  const Arguments numbers = call.numbers();
  const auto all = [&](const Value& value) {
    std::vector<Value> values;
    for (Elements& result : apply_shape(rule, std::get<Elements>(value), numbers))
      values.emplace_back(std::move(result));
    return values;
  };
  const Value& self = call.value(kShapeOperand);
  const auto* complex = std::get_if<Complex>(&self);
  if (complex == nullptr) return all(self);
  std::vector<Value> pairs;
  const auto part = [&](const Value& value) -> Value {
    if (std::holds_alternative<Elements>(value)) return all(value).at(0);
    std::vector<ExpressionArgument> arguments = call.as_expression({kShapeOperand});
    arguments.push_back({kShapeOperand, std::get<ExpressionRef>(value)});
    return context_.expressions.make(call.op, std::move(arguments), 0, context_.node_name);
  };
  pairs.emplace_back(std::make_shared<const ComplexValue>(
      ComplexValue{part((*complex)->real), part((*complex)->imaginary)}));
  return pairs;
}

void Walk::refuse(const Call& call) const {
  std::vector<std::string> names = handler_names();
  for (const std::string& name : shape_rule_names())
    names.push_back(name);
  std::ranges::sort(names);
  throw NodeError(fmt::format("is not supported{}; supported are {}",
                              call.any_elements() ? " on what the tokens decide" : "",
                              fmt::join(names, ", ")));
}

std::vector<Value> Walk::results(const Node& node, const Call& call) {
  const std::string op = functional(call.op);
  const Handler exact = find_handler(call.op);
  const Handler handler = exact != nullptr ? exact : find_handler(op);
  if (!call.any_elements()) {
    if (is_of_pairs(op)) return handler(call);
    if (!can_evaluate(op)) refuse(call);
    std::vector<Value> values;
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      values.push_back(context_.expressions.make(op, call.as_expression(), i, node.outputs[i]));
    }
    return values;
  }
  if (const ShapeRule rule = find_shape_rule(op); rule && call.has_elements(kShapeOperand)) {
    return viewed(rule, call);
  }
  if (handler == nullptr) refuse(call);
  return handler(call);
}

// The value of a written argument, and of all that it is a view of, from here on.
void Walk::rewrite(const Node& node, std::string_view argument_name, const Value& value) {
  for (const NamedArgument& input : node.inputs) {
    const auto* name = std::get_if<ValueName>(&input.value);
    if (input.name != argument_name || name == nullptr) continue;
    const std::string root = aliases_.root_of(name->name);
    Value whole = value;
    int32_t index = 0;
    const auto* elements = std::get_if<Elements>(&value);
    const bool state = elements != nullptr && is_kind(context_, *elements, Source::Kind::state) &&
                       sole_source(context_, *elements, &index) != nullptr;
    if (state) {
      whole = whole_source(index, std::get<Cache>(context_.source(index).detail).dims);
    } else if (root != name->name && !same_number(root, value)) {
      throw NodeError(fmt::format("changes {}, a view, in place; export with run_decompositions()",
                                  name->name));
    }
    for (const auto& [other, unused] : values_) {
      if (other != root && aliases_.root_of(other) == root) stale_[other] = context_.node_name;
    }
    values_[root] = whole;
  }
}

// Whether `value` takes the place of the one number that `root` is, so that every view is all of
// it.
bool Walk::same_number(const std::string& root, const Value& value) const {
  const auto found = values_.find(root);
  if (found == values_.end()) return false;
  const auto* before = std::get_if<ExpressionRef>(&found->second);
  const auto* after = std::get_if<ExpressionRef>(&value);
  return before != nullptr && after != nullptr && context_.numbers(*before).layout.count() == 1 &&
         context_.numbers(*after).layout.count() == 1;
}

// A counter that is set as a whole from numbers: its earlier value does not matter.
bool Walk::sets_counter(const Node& node, const std::string& op) {
  if (op != "aten.copy_" && op != "aten.fill_") return false;
  const auto* self = node.inputs.empty() ? nullptr : std::get_if<ValueName>(&node.inputs[0].value);
  if (self == nullptr || node.inputs.size() < 2 || !counters_.contains(self->name)) return false;
  const Value value = literal(node.inputs[1].value);
  const auto* numbers = std::get_if<ExpressionRef>(&value);
  if (numbers == nullptr) throw NodeError("sets a counter by what the tokens decide");
  ExpressionArgument::Integers sizes;
  for (const SymInt& size : context_.program.tensors.at(self->name).sizes) {
    sizes.list.push_back(
        context_.expressions.number(static_cast<double>(size.value), NumberKind::integer));
  }
  const Value filled = context_.expressions.make(
      "aten.expand", {{"self", *numbers}, {"size", sizes}}, 0, self->name);
  values_[self->name] = filled;
  if (!node.outputs.empty()) values_[node.outputs[0]] = filled;
  return true;
}

void Walk::run(const Node& node) {
  const std::string op = op_name(node.target);
  context_.node_name = node.outputs.empty() ? op : node.outputs[0];
  if (is_assertion(node, op) || sets_counter(node, op)) return;
  std::vector<CallArgument> arguments;
  for (const NamedArgument& input : node.inputs)
    arguments.push_back(argument(input));
  const Call call(context_, op, std::move(arguments));
  const std::vector<Value> values = results(node, call);
  if (is_in_place(op)) rewrite(node, "self", values.at(0));
  const std::vector<std::string> written = written_arguments(op);
  for (size_t i = 0; i < written.size(); ++i)
    rewrite(node, written[i], values.at(1 + i));
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i].empty()) continue;
    if (i >= values.size()) throw NodeError(fmt::format("has no result {}", i));
    values_[node.outputs[i]] = values[i];
    stale_.erase(node.outputs[i]);
  }
}

}  // namespace

std::string source_place(const std::string& stack_trace) {
  constexpr std::string_view kFile = "File \"";
  const size_t frame = stack_trace.rfind(kFile);
  if (frame == std::string::npos) return {};
  const size_t first = frame + kFile.size();
  const size_t quote = stack_trace.find('"', first);
  if (quote == std::string::npos) return {};
  std::string file = stack_trace.substr(first, quote - first);
  file.erase(0, file.rfind('/') == std::string::npos ? 0 : file.rfind('/') + 1);
  constexpr std::string_view kLine = ", line ";
  std::string line;
  if (stack_trace.compare(quote + 1, kLine.size(), kLine) == 0) {
    size_t digit = quote + 1 + kLine.size();
    for (; digit < stack_trace.size() && std::isdigit(stack_trace[digit]) != 0; ++digit)
      line += stack_trace[digit];
  }
  const size_t code = stack_trace.find('\n', quote);
  std::string text = code == std::string::npos ? "" : stack_trace.substr(code + 1);
  text.erase(std::min(text.find('\n'), text.size()));
  text.erase(0, std::min(text.find_first_not_of(' '), text.size()));
  std::string place = line.empty() ? file : fmt::format("{}:{}", file, line);
  return text.empty() ? place : fmt::format("{} ({})", place, text);
}

void walk(Context& context, const Aliases& aliases, const Inputs& inputs,
          std::vector<Value>* outputs) {
  Walk state(context, aliases);
  try {
    state.define_inputs(inputs);
  } catch (const NodeError& error) {
    throw ImportError(
        fmt::format("{}: the program is not supported: {}", context.program.path, error.what()));
  }
  for (const Node& node : context.program.nodes) {
    try {
      state.run(node);
    } catch (const NodeError& error) {
      const std::string place = source_place(node.stack_trace);
      throw ImportError(fmt::format("{}: {} ({}){} {}", context.program.path, node.target,
                                    context.node_name, place.empty() ? "" : " at " + place + ",",
                                    error.what()));
    }
  }
  for (const OutputSpec& output : context.program.outputs) {
    const auto* name = std::get_if<ValueName>(&output.value);
    if (name == nullptr || name->name.empty()) continue;
    try {
      const Value& value = state.lookup(name->name);
      if (output.kind == OutputKind::user) {
        outputs->push_back(value);
        continue;
      }
      // A counter is set by every step that reads it.
      if (std::holds_alternative<ExpressionRef>(value)) continue;
      const auto* elements = std::get_if<Elements>(&value);
      const bool cache = elements != nullptr && is_kind(context, *elements, Source::Kind::state) &&
                         output.kind == OutputKind::buffer_mutation;
      if (!cache) throw NodeError("changes in a way that is no write of the step's positions");
    } catch (const NodeError& error) {
      throw ImportError(fmt::format("{}: {} {}", context.program.path,
                                    output.target.empty() ? name->name : output.target,
                                    error.what()));
    }
  }
}

}  // namespace nbl::compiler::pt2
