// The walk over an exported graph: what every value of it is, and the ops emitted so far.
#pragma once

#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/import/pt2/elements.h"
#include "compiler/import/pt2/lower.h"

namespace nbl::compiler::pt2 {

// Scores of every head, token and cached position, on their way from q k^T to a softmax.
// Elements are numbered [heads, tokens, length].
struct Attention {
  int32_t q = kAbsent;  // activation [T, heads * head_dim]
  int32_t k = 0;        // source: a state
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  int64_t length = 0;  // positions compared with
  double scale = 1;
  double softcap = 0;
  bool open_cap = false;                  // tanh is there, the factor behind it not yet
  bool causal = false;                    // by the op's own word
  bool live = false;                      // so is that nothing behind the newest position is seen
  std::vector<ExpressionRef> masks = {};  // additive, or truth values: false is out
  bool normalized = false;                // behind the softmax
};

// factor * mean(x^2) + eps of every slice of a row. Elements are numbered [tokens, heads].
struct Statistic {
  enum class Form : uint8_t { square, root, inverse_root };
  int32_t x = kAbsent;  // activation
  uint32_t heads = 1;
  double factor = 1;
  double eps = 0;
  Form form = Form::square;
};

// A buffer that the graph writes. Elements are numbered as the buffer's own.
struct Cache {
  std::string name;
  Dims dims = {};
  size_t row_dim = 0;  // which one counts positions; known once it is written
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
};

struct Source {
  enum class Kind : uint8_t {
    tokens,      // the token ids [T]
    activation,  // [T, columns]
    buffer,      // a cache before this step's write
    state,       // and behind it
    scores,
    test,       // whether scores are all masked: never, as a token sees itself
    statistic,  // of slices of rows
    scales,     // of activations rounded to int8
    choice,     // the largest logit
  };
  Kind kind = Kind::activation;
  int32_t tensor = kAbsent;  // activations, states
  int64_t rows = 1;
  int64_t columns = 1;
  bool rounded = false;  // an activation by way of int8
  std::variant<std::monostate, Attention, Statistic, Cache> detail = {};
};

struct ComplexValue;
using Complex = std::shared_ptr<const ComplexValue>;
// What a name of the graph stands for.
using Value = std::variant<None, ExpressionRef, Elements, Complex>;
struct ComplexValue {
  Value real, imaginary;
};

// A rotary table whose values are filled in when the context is known.
struct TableRequest {
  // factor * element indices[t] of the coefficient, for token t of a step.
  struct Function {
    int32_t coefficient = -1;
    std::vector<int32_t> indices = {};
    double factor = 1;
    bool operator==(const Function&) const = default;
  };
  // All of them must be the cosine and the sine of one angle.
  struct Pair {
    std::vector<Function> cosines = {};
    std::vector<Function> sines = {};
    bool operator==(const Pair&) const = default;
  };
  int32_t tensor = kAbsent;
  std::vector<Pair> pairs = {};
  std::string place = {};  // for messages
};

// An attention whose mask is looked at when the context is known.
struct MaskRequest {
  size_t op = 0;
  Attention attention = {};
  std::string place = {};
};

// What a mask turned out to be.
struct MaskKind {
  uint32_t window = 0;
  bool full = false;
  int32_t weight = kAbsent;
};

class Context {
 public:
  Context(const ExportedProgram& exported, const LowerOptions& lower_options, Step at,
          WeightStore* weight_store)
      : program(exported), options(lower_options), step(at), store(weight_store) {}

  const ExportedProgram& program;
  const LowerOptions& options;
  const Step step;
  WeightStore* const store;
  Graph graph;
  Expressions expressions;
  Combinations combinations;
  std::vector<Source> sources;
  std::vector<TableRequest> tables;
  std::vector<MaskRequest> masks;
  std::vector<ExpressionRef> assertions;
  std::vector<int64_t> capacities;  // positions of each cache
  std::map<std::string, MaskKind> mask_kinds;
  std::vector<std::string> notes;
  std::vector<std::string> warnings;
  std::map<std::string, std::string> layouts;  // of packed constants, by name
  std::map<std::string, int32_t> weights;      // graph tensors of constants already taken
  std::string node_name;                       // of the node being walked: ops are named after it
  int64_t horizon = 0;          // positions that the graph will have, where that is known
  bool whole_sequence = false;  // the graph has no cache: every step begins at position 0

  const Source& source(int32_t index) const { return sources.at(static_cast<size_t>(index)); }
  int32_t add_source(Source source);

  // The elements of an activation [T, columns] under dims of the same count.
  Elements activation(int32_t tensor, Dims dims);
  int32_t activation_source(int32_t tensor);

  // Appends an op with one activation as its result, unless the graph has the same op already.
  int32_t emit(GraphOp op, uint32_t columns);
  // The op that writes an activation, or null.
  const GraphOp* producer(int32_t tensor) const;
  int32_t vector_weight(const std::string& name, const std::vector<double>& values);

  ExpressionRef number(double value) { return expressions.number(value, NumberKind::real); }
  // At the step of the walk.
  const Numbers& numbers(const ExpressionRef& expression) const {
    return evaluate(expression, step);
  }

 private:
  std::map<int32_t, int32_t> source_of_;    // by graph tensor
  std::map<std::string, int32_t> emitted_;  // results of ops by what they compute
};

// The value of a tensor with one element that is the same at every step; nothing otherwise.
std::optional<double> fixed_number(const Context& context, const Value& value);

}  // namespace nbl::compiler::pt2
