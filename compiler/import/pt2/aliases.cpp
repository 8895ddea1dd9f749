#include <algorithm>

#include "compiler/import/pt2/shape_ops.h"
#include "compiler/import/pt2/walk.h"

namespace nbl::compiler::pt2 {
namespace {

const std::string* value_name(const Node& node, std::string_view argument) {
  for (const NamedArgument& input : node.inputs) {
    if (input.name != argument) continue;
    const auto* value = std::get_if<ValueName>(&input.value);
    return value == nullptr ? nullptr : &value->name;
  }
  return nullptr;
}

void mark_written(Aliases* aliases, const Node& node, const std::string& op) {
  const auto mark = [&](std::string_view argument) {
    if (const std::string* name = value_name(node, argument)) {
      aliases->written.insert(aliases->root_of(*name));
    }
  };
  // Functional writes of a buffer count: their result is the cache.
  for (const char* writes :
       {"aten.index_copy", "aten.index_put", "aten.slice_scatter", "aten.select_scatter"}) {
    if (op == writes) mark("self");
  }
  if (op.ends_with("_") && !op.ends_with("__")) mark("self");
  if (op == "llama.update_cache") mark("cache");
  if (op == "llama.sdpa_with_kv_cache") {
    mark("key_cache");
    mark("value_cache");
  }
  for (const NamedArgument& input : node.inputs) {
    const auto* bases = std::get_if<ValueNames>(&input.value);
    if (input.name != "_all_bases" || bases == nullptr) continue;
    for (const std::string& name : bases->names)
      aliases->written.insert(aliases->root_of(name));
  }
}

}  // namespace

const std::string& Aliases::root_of(const std::string& name) const {
  const auto found = root.find(name);
  return found == root.end() ? name : found->second;
}

Aliases find_aliases(const ExportedProgram& program) {
  Aliases aliases;
  for (const InputSpec& input : program.inputs)
    aliases.root[input.value] = input.value;
  for (const Node& node : program.nodes) {
    const std::string op = op_name(node.target);
    mark_written(&aliases, node, op);
    const std::string* self = value_name(node, kShapeOperand);
    const bool copies = op == "aten.clone" || op.starts_with("aten.repeat");
    const bool view =
        (find_shape_rule(op) != nullptr && !copies) || op.ends_with("_") || op == "aten.to";
    if (self == nullptr || !view) continue;
    for (const std::string& output : node.outputs)
      aliases.root[output] = aliases.root_of(*self);
  }
  for (const OutputSpec& output : program.outputs) {
    if (output.kind != OutputKind::buffer_mutation) continue;
    const auto input = std::ranges::find(program.inputs, output.target, &InputSpec::target);
    if (input != program.inputs.end()) aliases.written.insert(input->value);
  }
  return aliases;
}

}  // namespace nbl::compiler::pt2
