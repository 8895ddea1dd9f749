#include <fmt/format.h>

#include <utility>

#include "compiler/import/pt2/schema_json.h"

namespace nbl::compiler::pt2 {
namespace {

using Names = std::map<std::string, std::string>;

const std::string& program_name(const JsonField& field, const std::string& name,
                                const Names& names) {
  const auto found = names.find(name);
  if (found == names.end()) field.fail(fmt::format("names {}, which the graph has not", name));
  return found->second;
}

std::string value_of(const JsonField& spec, const Names& names) {
  const JsonField argument = spec.at("arg");
  return program_name(argument, argument.at("name").text(), names);
}

InputSpec input_of(const JsonField& field, const Names& names) {
  const auto [kind, spec] = field.only();
  InputSpec input;
  if (kind == "user_input") {
    const JsonField argument = spec.at("arg");
    const Argument value = argument_of(argument);
    const auto* name = std::get_if<ValueName>(&value);
    // A number or None given at export is part of the graph.
    input.kind = name != nullptr ? InputKind::user : InputKind::other;
    if (name != nullptr) input.value = program_name(argument, name->name, names);
  } else if (kind == "parameter") {
    input = {InputKind::parameter, value_of(spec, names), spec.at("parameter_name").text()};
  } else if (kind == "buffer") {
    input = {InputKind::buffer, value_of(spec, names), spec.at("buffer_name").text()};
    input.persistent = spec.at("persistent").flag();
  } else if (kind == "tensor_constant") {
    input = {InputKind::constant, value_of(spec, names), spec.at("tensor_constant_name").text()};
  } else {
    input.kind = InputKind::other;
    if (spec.has("name")) input.value = spec.at("name").text();
    if (spec.has("custom_obj_name")) input.target = spec.at("custom_obj_name").text();
  }
  return input;
}

OutputSpec output_of(const JsonField& field, const Names& names) {
  const auto [kind, spec] = field.only();
  OutputSpec output;
  if (kind == "user_output") {
    const JsonField argument = spec.at("arg");
    output.value = argument_of(argument);
    if (auto* name = std::get_if<ValueName>(&output.value)) {
      name->name = program_name(argument, name->name, names);
    }
    return output;
  }
  output.kind = OutputKind::other;
  output.target = kind;
  if (kind == "buffer_mutation") {
    output.kind = OutputKind::buffer_mutation;
    output.target = spec.at("buffer_name").text();
  } else if (kind == "user_input_mutation") {
    output.kind = OutputKind::user_input_mutation;
    output.target = spec.at("user_input_name").text();
  }
  if (spec.has("arg") && spec.at("arg").has("name")) {
    output.value = ValueName{value_of(spec, names)};
  }
  return output;
}

Range range_of(const JsonField& field) {
  Range range{INT64_MIN, INT64_MAX};
  if (field.has("min_val")) range.least = field.at("min_val").integer();
  if (field.has("max_val")) range.most = field.at("max_val").integer();
  return range;
}

}  // namespace

void read_program(const JsonField& root, ExportedProgram* program) {
  const JsonField version = root.at("schema_version");
  const int64_t major = version.at("major").integer();
  if (root.has("torch_version")) program->torch_version = root.at("torch_version").text();
  if (major != kSchemaMajor) {
    version.fail(fmt::format("is {}.{} (of torch {}), which is not known; {} is", major,
                             version.at("minor").integer(), program->torch_version, kSchemaMajor));
  }
  const JsonField module = root.at("graph_module");
  const Names names = read_graph(module.at("graph"), program);
  const JsonField signature = module.at("signature");
  for (const JsonField& field : signature.at("input_specs").elements())
    program->inputs.push_back(input_of(field, names));
  for (const JsonField& field : signature.at("output_specs").elements())
    program->outputs.push_back(output_of(field, names));
  for (const auto& [symbol, field] : root.at("range_constraints").members())
    program->ranges.emplace(symbol, range_of(field));
}

}  // namespace nbl::compiler::pt2
