#include <fmt/format.h>

#include <set>
#include <utility>

#include "compiler/import/pt2/schema_json.h"

namespace nbl::compiler::pt2 {
namespace {

constexpr int kMaxDepth = 8;
constexpr const char* kGradients = "torch.ops.higher_order.wrap_with_set_grad_enabled";
constexpr const char* kAutocast = "torch.ops.higher_order.wrap_with_autocast";

// The values of one graph: their names there, and in the program.
struct Scope {
  std::string prefix;
  std::map<std::string, std::string> names;
};

// A value that a node hands on, by its name in the node's graph; "" for None.
struct Output {
  std::string name;
  bool is_tensor = false;
};

class GraphReader {
 public:
  explicit GraphReader(ExportedProgram* program) : program_(program) {}

  void read(const JsonField& graph, Scope* scope, int depth) {
    if (depth > kMaxDepth) graph.fail("is nested too deeply");
    const JsonField tensors = graph.at("tensor_values");
    const JsonField integers = graph.at("sym_int_values");
    for (const JsonField& field : graph.at("nodes").elements())
      read_node(field, tensors, scope, depth);
    for (const auto& [name, field] : tensors.members()) {
      const auto found = scope->names.find(name);
      if (found != scope->names.end()) {
        program_->tensors.emplace(found->second, tensor_meta_of(field));
      }
    }
    for (const auto& [name, field] : integers.members()) {
      const auto found = scope->names.find(name);
      if (found != scope->names.end()) {
        program_->integers.emplace(found->second, sym_int_of(field));
      }
    }
  }

  std::string define(const JsonField& field, const Output& output, const JsonField& tensors,
                     Scope* scope) {
    const std::string own = scope->prefix + output.name;
    if (!defined_.insert(own).second || !scope->names.emplace(output.name, own).second) {
      field.fail(fmt::format("defines {} a second time", output.name));
    }
    if (output.is_tensor && !tensors.has(output.name)) {
      tensors.fail(fmt::format("has no entry for the tensor {}", output.name));
    }
    return own;
  }

 private:
  static const std::string& resolve(const JsonField& field, const std::string& name,
                                    const Scope& scope) {
    const auto found = scope.names.find(name);
    if (found == scope.names.end()) {
      field.fail(fmt::format("uses {}, which nothing before it defines", name));
    }
    return found->second;
  }

  // The argument with the program's names.
  static Argument resolved(const JsonField& field, Argument argument, const Scope& scope) {
    if (auto* value = std::get_if<ValueName>(&argument)) {
      value->name = resolve(field, value->name, scope);
    }
    if (auto* values = std::get_if<ValueNames>(&argument)) {
      for (std::string& name : values->names) {
        if (!name.empty()) name = resolve(field, name, scope);
      }
    }
    if (auto* list = std::get_if<std::vector<IntOrName>>(&argument)) {
      for (IntOrName& element : *list) {
        if (!element.name.empty()) element.name = resolve(field, element.name, scope);
      }
    }
    return argument;
  }

  static std::vector<Output> outputs_of(const JsonField& node) {
    std::vector<Output> outputs;
    for (const JsonField& field : node.at("outputs").elements()) {
      const bool is_tensor = field.only().first.find("tensor") != std::string::npos;
      const Argument argument = argument_of(field);
      if (const auto* value = std::get_if<ValueName>(&argument)) {
        outputs.push_back({value->name, is_tensor});
      } else if (const auto* values = std::get_if<ValueNames>(&argument)) {
        for (const std::string& name : values->names)
          outputs.push_back({name, is_tensor});
      } else {
        outputs.emplace_back();
      }
    }
    return outputs;
  }

  void read_node(const JsonField& field, const JsonField& tensors, Scope* scope, int depth) {
    Node node;
    node.target = field.at("target").text();
    if (put_wrapped_in_place(field, node.target, scope, depth)) return;
    for (const JsonField& input : field.at("inputs").elements()) {
      const JsonField argument = input.at("arg");
      node.inputs.push_back(
          {input.at("name").text(), resolved(argument, argument_of(argument), *scope)});
    }
    for (const Output& output : outputs_of(field)) {
      node.outputs.push_back(output.name.empty() ? "" : define(field, output, tensors, scope));
    }
    if (field.has("metadata") && field.at("metadata").has("stack_trace")) {
      node.stack_trace = field.at("metadata").at("stack_trace").text();
    }
    program_->nodes.push_back(std::move(node));
  }

  // Nodes that run a graph with gradients set, or autocast off, do what the graph does.
  bool put_wrapped_in_place(const JsonField& field, const std::string& target, Scope* scope,
                            int depth) {
    if (target != kGradients && target != kAutocast) return false;
    const std::vector<JsonField> inputs = field.at("inputs").elements();
    size_t at = 0;
    bool on = false;  // the first flag
    bool flag_seen = false;
    for (; at < inputs.size() && !inputs[at].at("arg").has("as_graph"); ++at) {
      if (flag_seen || !inputs[at].at("arg").has("as_bool")) continue;
      on = inputs[at].at("arg").at("as_bool").flag();
      flag_seen = true;
    }
    if (at == inputs.size()) field.fail("wraps no graph");
    if (target == kAutocast && (on || !flag_seen)) return false;

    const JsonField wrapped = inputs[at].at("arg").at("as_graph");
    const JsonField graph = wrapped.at("graph");
    Scope inner;
    inner.prefix = scope->prefix + wrapped.at("name").text() + ".";
    const std::vector<JsonField> parameters = graph.at("inputs").elements();
    if (parameters.size() != inputs.size() - at - 1) {
      field.fail(fmt::format("gives {} values to a graph of {}", inputs.size() - at - 1,
                             parameters.size()));
    }
    for (size_t i = 0; i < parameters.size(); ++i) {
      const JsonField given = inputs[at + 1 + i].at("arg");
      const Argument outer = resolved(given, argument_of(given), *scope);
      const Argument parameter = argument_of(parameters[i]);
      const auto* name = std::get_if<ValueName>(&parameter);
      const auto* value = std::get_if<ValueName>(&outer);
      if (name == nullptr || value == nullptr) given.fail("is no value of the graph");
      inner.names[name->name] = value->name;
    }
    read(graph, &inner, depth + 1);
    hand_out(field, graph, inner, scope);
    return true;
  }

  // What the wrapped graph hands out takes the names of the node's outputs.
  static void hand_out(const JsonField& field, const JsonField& graph, const Scope& inner,
                       Scope* scope) {
    const std::vector<Output> outputs = outputs_of(field);
    const std::vector<JsonField> results = graph.at("outputs").elements();
    if (outputs.size() != results.size()) {
      field.fail(fmt::format("has {} outputs, its graph has {}", outputs.size(), results.size()));
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i].name.empty()) continue;
      const Argument result = resolved(results[i], argument_of(results[i]), inner);
      const auto* value = std::get_if<ValueName>(&result);
      if (value == nullptr) results[i].fail("is no value of the graph");
      if (!scope->names.emplace(outputs[i].name, value->name).second) {
        field.fail(fmt::format("defines {} a second time", outputs[i].name));
      }
    }
  }

  ExportedProgram* program_;
  std::set<std::string> defined_;
};

}  // namespace

std::map<std::string, std::string> read_graph(const JsonField& graph, ExportedProgram* program) {
  GraphReader reader(program);
  Scope scope;
  for (const JsonField& field : graph.at("inputs").elements()) {
    const Argument input = argument_of(field);
    if (const auto* value = std::get_if<ValueName>(&input)) {
      const bool is_tensor = field.only().first == "as_tensor";
      reader.define(field, {value->name, is_tensor}, graph.at("tensor_values"), &scope);
    }
  }
  reader.read(graph, &scope, 0);
  return scope.names;
}

}  // namespace nbl::compiler::pt2
