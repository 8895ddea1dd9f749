// What an archive written by torch.export.save says, as plain structs: the graph of one exported
// module, its signature and its constants. Names and values are those of the file; nothing is
// interpreted here (compiler/import/pt2/lower.h does that).
//
// Source  torch/_export/serde/schema.py (the JSON schema, major version 8)
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace nbl::compiler::pt2 {

enum class ScalarType : uint8_t {
  unknown,
  uint8,
  int8,
  int16,
  int32,
  int64,
  float16,
  float32,
  float64,
  bfloat16,
  boolean
};
// "unknown", "uint8", ..., "boolean".
const char* scalar_type_name(ScalarType type);
// Bytes of one element; 0 for unknown.
size_t scalar_type_bytes(ScalarType type);

// A size, stride or integer that is a number, or an expression over symbols such as "s0" or
// "s0 + 1" with a hint of its value at export.
struct SymInt {
  int64_t value = 0;       // the number, or the hint (-1 where there is none)
  std::string expression;  // empty: a number
  bool symbolic() const { return !expression.empty(); }
};

struct TensorMeta {
  ScalarType dtype = ScalarType::unknown;
  std::vector<SymInt> sizes;
  std::vector<SymInt> strides;
};

// A value of the graph by name: a tensor, or a symbolic integer, float or bool.
struct ValueName {
  std::string name;
};
// A list of tensors; an empty name stands for None.
struct ValueNames {
  std::vector<std::string> names;
};
// An integer list whose elements may be values of the graph.
struct IntOrName {
  int64_t value = 0;
  std::string name;  // not empty: a symbolic integer of the graph
};
struct None {};
// An argument of a kind that no supported operator has.
struct Other {
  std::string kind;  // "as_graph", "as_complex", ...
};

// Devices, layouts and memory formats change no value and are None. An operator given as an
// argument (of auto_functionalized) is the text of its name.
using Argument =
    std::variant<None, ValueName, ValueNames, int64_t, double, bool, std::string,
                 std::vector<IntOrName>, std::vector<double>, std::vector<bool>, ScalarType, Other>;

struct NamedArgument {
  std::string name;  // of the parameter in the operator's schema; may be empty
  Argument value;
};

struct Node {
  std::string target;  // "torch.ops.aten.linear.default", "_operator.add", ...
  std::vector<NamedArgument> inputs;
  std::vector<std::string> outputs;  // names of the values it defines; "" for one that is unused
  std::string stack_trace;           // as recorded at export; may be empty
};

enum class InputKind : uint8_t { user, parameter, buffer, constant, other };
struct InputSpec {
  InputKind kind = InputKind::user;
  std::string value;   // name in the graph
  std::string target;  // parameters, buffers, constants: fully qualified name
  bool persistent = true;
};
enum class OutputKind : uint8_t { user, buffer_mutation, user_input_mutation, other };
struct OutputSpec {
  OutputKind kind = OutputKind::user;
  Argument value;
  std::string target;  // mutations: the buffer's fully qualified name or the input's name
};

// Contiguous row-major elements, little-endian, borrowed from ExportedProgram::storage. Tensors of
// equal bytes pointers are one tensor of the file.
struct ConstantTensor {
  TensorMeta meta;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

struct Range {
  int64_t least = 0;
  int64_t most = INT64_MAX;
};

struct ExportedProgram {
  std::string path;  // for messages
  std::string torch_version;
  std::vector<Node> nodes;
  std::map<std::string, TensorMeta> tensors;        // every tensor value of the graph
  std::map<std::string, SymInt> integers;           // every symbolic integer value of the graph
  std::vector<InputSpec> inputs;                    // in order
  std::vector<OutputSpec> outputs;                  // in order
  std::map<std::string, ConstantTensor> constants;  // parameters, buffers, constants by target
  std::map<std::string, Range> ranges;              // of symbols
  std::shared_ptr<void> storage;                    // keeps the bytes alive
};

}  // namespace nbl::compiler::pt2
