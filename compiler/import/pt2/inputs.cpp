#include <fmt/format.h>

#include <algorithm>

#include "compiler/import/pt2/walk.h"

namespace nbl::compiler::pt2 {
namespace {

const TensorMeta* meta_of(const ExportedProgram& program, const std::string& name) {
  const auto found = program.tensors.find(name);
  return found == program.tensors.end() ? nullptr : &found->second;
}

bool is_user(const InputSpec& input) {
  return input.kind == InputKind::user;
}

bool is_integer(const ExportedProgram& program, const std::string& name) {
  const TensorMeta* meta = meta_of(program, name);
  if (meta == nullptr) return program.integers.contains(name);
  return number_kind(meta->dtype) == NumberKind::integer;
}

std::string input_list(const ExportedProgram& program) {
  std::string list;
  for (const InputSpec& input : program.inputs) {
    if (is_user(input)) list += (list.empty() ? "" : ", ") + input.value;
  }
  return list.empty() ? "none" : list;
}

void require_input(const ExportedProgram& program, const std::string& name) {
  for (const InputSpec& input : program.inputs) {
    if (is_user(input) && input.value == name) return;
  }
  throw ImportError(fmt::format("{}: there is no input {}; the program has {}", program.path, name,
                                input_list(program)));
}

// The input that an embedding looks up, the first where there are several.
std::string looked_up(const ExportedProgram& program, const Aliases& aliases) {
  for (const Node& node : program.nodes) {
    const std::string op = op_name(node.target);
    if (op != "aten.embedding" && !op.ends_with("embedding_4bit")) continue;
    for (const NamedArgument& argument : node.inputs) {
      const auto* value = std::get_if<ValueName>(&argument.value);
      if (argument.name != "indices" || value == nullptr) continue;
      const std::string& root = aliases.root_of(value->name);
      const bool user = std::ranges::any_of(program.inputs, [&](const InputSpec& input) {
        return is_user(input) && input.value == root;
      });
      if (user) return root;
    }
  }
  throw ImportError(fmt::format(
      "{}: no input feeds an embedding; name the token ids with --inputs tokens=NAME (inputs: {})",
      program.path, input_list(program)));
}

bool is_used(const ExportedProgram& program, const std::string& name) {
  const auto names = [&](const Argument& argument) {
    if (const auto* value = std::get_if<ValueName>(&argument)) return value->name == name;
    if (const auto* list = std::get_if<ValueNames>(&argument)) {
      return std::ranges::count(list->names, name) > 0;
    }
    const auto* integers = std::get_if<std::vector<IntOrName>>(&argument);
    return integers != nullptr && std::ranges::count(*integers, name, &IntOrName::name) > 0;
  };
  return std::ranges::any_of(program.nodes, [&](const Node& node) {
    return std::ranges::any_of(node.inputs, [&](const NamedArgument& input) {
      return names(input.value) && op_name(node.target) != "aten._assert_tensor_metadata";
    });
  });
}

// The token count: one dimension of the token ids, the others being 1.
void find_length(const ExportedProgram& program, Inputs* inputs) {
  const TensorMeta* meta = meta_of(program, inputs->tokens);
  if (meta == nullptr || !is_integer(program, inputs->tokens)) {
    throw ImportError(fmt::format("{}: the input {} is no tensor of integers, as token ids are",
                                  program.path, inputs->tokens));
  }
  int64_t fixed = 1;
  for (const SymInt& size : meta->sizes) {
    if (!size.symbolic()) {
      fixed *= size.value;
      continue;
    }
    if (!inputs->length_symbol.empty()) {
      throw ImportError(fmt::format(
          "{}: the input {} has several dynamic dimensions; one, the token count, is supported",
          program.path, inputs->tokens));
    }
    inputs->length_symbol = size.expression;
  }
  inputs->fixed_length = inputs->length_symbol.empty();
  if (fixed != 1) {
    throw ImportError(fmt::format(
        "{}: the input {} {}", program.path, inputs->tokens,
        inputs->fixed_length
            ? fmt::format("has a fixed length of {} tokens; export with a dynamic length, or with "
                          "one of 1",
                          fixed)
            : fmt::format("is a batch of {} sequences; a batch of 1 is supported", fixed)));
  }
  if (inputs->fixed_length) return;
  const auto range = program.ranges.find(inputs->length_symbol);
  constexpr int64_t kMostTokens = 1 << 24;
  inputs->most_tokens =
      range == program.ranges.end() ? kMostTokens : std::min(range->second.most, kMostTokens);
}

}  // namespace

Inputs find_inputs(const ExportedProgram& program, const Aliases& aliases,
                   const LowerOptions& options) {
  Inputs inputs;
  for (const std::string& name : {options.tokens, options.position}) {
    if (!name.empty()) require_input(program, name);
  }
  inputs.tokens = options.tokens.empty() ? looked_up(program, aliases) : options.tokens;
  for (const InputSpec& input : program.inputs) {
    if (!is_user(input) || input.value == inputs.tokens) continue;
    if (input.value.empty() || !is_used(program, input.value)) continue;
    const bool named = input.value == options.position;
    if (!named && (!options.position.empty() || !is_integer(program, input.value))) {
      throw ImportError(fmt::format(
          "{}: the input {} is neither the token ids nor a position; the runtime gives a model "
          "nothing else",
          program.path, input.value));
    }
    inputs.positions.push_back(input.value);
  }
  find_length(program, &inputs);
  return inputs;
}

}  // namespace nbl::compiler::pt2
