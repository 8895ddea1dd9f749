// Exported programs, one node at a time: what the archive reader would make of a small graph.
#pragma once

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/import/checkpoint.h"
#include "compiler/import/pt2/lower.h"

namespace nbl::test {

namespace pt2 = compiler::pt2;

// Arguments of a node, in the words of the schema.
inline pt2::Argument of(const std::string& name) {
  return pt2::ValueName{name};
}
inline pt2::Argument of(const char* name) {
  return pt2::ValueName{name};
}
inline pt2::Argument of(int64_t value) {
  return value;
}
inline pt2::Argument of(int value) {
  return int64_t{value};
}
inline pt2::Argument of(double value) {
  return value;
}
inline pt2::Argument of(bool value) {
  return value;
}
inline pt2::Argument of(pt2::ScalarType type) {
  return type;
}
inline pt2::Argument tensors(std::vector<std::string> names) {
  return pt2::ValueNames{std::move(names)};
}
inline pt2::Argument text(std::string value) {
  return value;
}
// Sizes: numbers, or names of the graph's integers.
struct Size {
  pt2::IntOrName value;
  Size(int64_t number) : value{number, ""} {}
  Size(int number) : value{number, ""} {}
  Size(const char* name) : value{0, name} {}
  Size(const std::string& name) : value{0, name} {}
};
inline pt2::Argument sizes(std::initializer_list<Size> list) {
  std::vector<pt2::IntOrName> values;
  for (const Size& size : list)
    values.push_back(size.value);
  return values;
}

struct Named {
  const char* name;
  pt2::Argument value;
};

class Pt2Builder {
 public:
  // tokens: of one step; 0 for any number up to `most`.
  explicit Pt2Builder(int64_t tokens = 0, int64_t most = 16) {
    program_.path = "test.pt2";
    program_.ranges["s0"] = {1, most};
    input("tokens",
          {pt2::SymInt{1, ""}, tokens == 0 ? pt2::SymInt{3, "s0"} : pt2::SymInt{tokens, ""}});
    if (tokens == 0) {
      call("torch.ops.aten.sym_size.int", {{"self", of("tokens")}, {"dim", of(1)}}, {"length"});
      program_.integers["length"] = {3, "s0"};
    }
  }

  // An input of integers.
  void input(const std::string& name, std::vector<pt2::SymInt> dims,
             pt2::ScalarType type = pt2::ScalarType::int64) {
    program_.tensors[name] = {type, std::move(dims), {}};
    program_.inputs.push_back({pt2::InputKind::user, name, "", true});
  }
  void positions() { input("input_pos", {{3, "s0"}}); }

  template <typename T>
  std::string constant(const std::string& name, pt2::ScalarType type, std::vector<int64_t> dims,
                       const std::vector<T>& values, pt2::InputKind kind = pt2::InputKind::buffer) {
    const auto bytes = std::make_shared<Bytes>(values.size() * sizeof(T));
    std::memcpy(bytes->data(), values.data(), bytes->size());
    kept_.push_back(bytes);
    std::string value = "b_" + name;
    std::replace(value.begin(), value.end(), '.', '_');
    pt2::TensorMeta meta{type, {}, {}};
    for (const int64_t dim : dims)
      meta.sizes.push_back({dim, ""});
    program_.tensors[value] = meta;
    program_.constants[name] = {meta, std::move(dims), *bytes};
    program_.inputs.push_back({kind, value, name, true});
    return value;
  }
  std::string floats(const std::string& name, std::vector<int64_t> dims,
                     const std::vector<float>& values) {
    return constant(name, pt2::ScalarType::float32, std::move(dims), values);
  }
  std::string floats(const std::string& name, std::vector<int64_t> dims, float value = 0.5f) {
    return floats(name, dims, std::vector<float>(count(dims), value));
  }
  std::string bytes(const std::string& name, std::vector<int64_t> dims, int8_t value = 1) {
    return constant(name, pt2::ScalarType::int8, dims, std::vector<int8_t>(count(dims), value));
  }

  // Appends a node; its results have the names given, or one of the op's name and a number.
  std::string call(const std::string& target, std::vector<Named> arguments,
                   std::vector<std::string> outputs = {}) {
    pt2::Node node{
        .target = target, .inputs = {}, .outputs = std::move(outputs), .stack_trace = {}};
    for (Named& argument : arguments)
      node.inputs.push_back({argument.name, std::move(argument.value)});
    if (node.outputs.empty()) node.outputs = {"v" + std::to_string(program_.nodes.size())};
    node.stack_trace = stack_trace;
    program_.nodes.push_back(node);
    return node.outputs[0];
  }
  // torch.ops.aten.<op>(self, ...)
  std::string aten(const std::string& op, const std::string& self,
                   std::vector<Named> arguments = {}) {
    arguments.insert(arguments.begin(), {"self", of(self)});
    return call("torch.ops.aten." + op, std::move(arguments));
  }

  // x of the tokens: an embedding of `columns` columns over a vocabulary of 32.
  std::string embed(int64_t columns) {
    const std::string table = floats("embed.weight", {32, columns});
    return call("torch.ops.aten.embedding.default",
                {{"weight", of(table)}, {"indices", of("tokens")}});
  }
  std::string linear(const std::string& x, const std::string& name, int64_t rows, int64_t columns) {
    const std::string weight = floats(name + ".weight", {rows, columns});
    return call("torch.ops.aten.linear.default", {{"input", of(x)}, {"weight", of(weight)}});
  }
  // The head on x, and the program with its logits as the output.
  pt2::ExportedProgram finish(const std::string& x, int64_t columns) {
    return returning(linear(x, "head", 32, columns));
  }
  pt2::ExportedProgram returning(const std::string& output) {
    program_.outputs.push_back({pt2::OutputKind::user, of(output), ""});
    program_.storage = std::make_shared<std::vector<std::shared_ptr<Bytes>>>(kept_);
    return program_;
  }
  pt2::ExportedProgram& program() { return program_; }

  std::string stack_trace;  // of the nodes that follow

 private:
  using Bytes = std::vector<std::byte>;

  static size_t count(const std::vector<int64_t>& dims) {
    size_t total = 1;
    for (const int64_t dim : dims)
      total *= static_cast<size_t>(dim);
    return total;
  }

  pt2::ExportedProgram program_;
  std::vector<std::shared_ptr<Bytes>> kept_;
};

// The sentence that lowering ends in; "" where it succeeds.
inline std::string lower_error(const pt2::ExportedProgram& program,
                               const pt2::LowerOptions& options = {}) {
  try {
    pt2::lower(program, options);
  } catch (const compiler::ImportError& error) {
    return error.what();
  }
  return "";
}

// The graph as dump() has it, verified.
inline std::string lowered(const pt2::ExportedProgram& program,
                           const pt2::LowerOptions& options = {}) {
  const pt2::Lowered result = pt2::lower(program, options);
  const std::string wrong = compiler::verify(result.graph);
  return wrong.empty() ? compiler::dump(result.graph) : "malformed: " + wrong;
}

}  // namespace nbl::test
