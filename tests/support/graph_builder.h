// A compiler graph put together op by op, with random weights that the builder keeps.
//
//   GraphBuilder net(stream, {.vocab = 283});
//   const int32_t x = net.embedding(97);
//   net.sample(net.linear(net.function(Function::gelu, x), 283, true));
//   const AlignedBytes file = emit_graph(net.graph);
#pragma once

#include <cmath>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "tests/support/compiled.h"
#include "tests/support/random.h"

namespace nbl::test {

struct GraphShape {
  uint32_t vocab = 283;
  uint32_t context = 64;
  uint32_t prefill_chunk = 16;
};

class GraphBuilder {
 public:
  explicit GraphBuilder(uint64_t stream, GraphShape shape = {}) : random_(stream) {
    graph.name = "built";
    graph.architecture = "test";
    graph.vocab_size = shape.vocab;
    graph.context_length = shape.context;
    graph.prefill_chunk = shape.prefill_chunk;
  }

  compiler::Graph graph;

  // Appends an op with one new activation, and returns that.
  int32_t op(compiler::GraphOp op, uint32_t columns) {
    if (op.name.empty()) op.name = "op" + std::to_string(graph.ops.size());
    op.outputs = {graph.add({.name = op.name, .shape = {0, columns}})};
    graph.ops.push_back(std::move(op));
    return graph.ops.back().outputs[0];
  }

  int32_t embedding(uint32_t columns) {
    const int32_t tokens =
        graph.add({.name = "tokens", .role = Role::input, .dtype = DType::u32, .shape = {0}});
    return op({.kind = OpKind::embedding_q4gsw,
               .inputs = {tokens, weight(DType::q4, graph.vocab_size, columns)}},
              columns);
  }

  int32_t linear(int32_t x, uint32_t rows, bool last_row = false) {
    return op({.kind = OpKind::linear_q4gsw,
               .inputs = {x, weight(DType::q4, rows, graph.columns(x))},
               .last_row = last_row},
              rows);
  }

  int32_t rms_norm(int32_t x, uint32_t heads) {
    return op({.kind = OpKind::rms_norm,
               .inputs = {x, vector(graph.columns(x) / heads)},
               .eps = 1e-5f,
               .heads = heads},
              graph.columns(x));
  }

  int32_t function(Function function, int32_t a, int32_t b = compiler::kAbsent, float alpha = 0) {
    compiler::GraphOp spec{
        .kind = OpKind::elementwise, .inputs = {a}, .function = function, .alpha = alpha};
    if (b != compiler::kAbsent) spec.inputs.push_back(b);
    return op(std::move(spec), graph.columns(a));
  }

  int32_t slice(int32_t x, uint32_t offset, uint32_t columns) {
    return op({.kind = OpKind::slice, .inputs = {x}, .offset = offset}, columns);
  }

  int32_t cat(std::vector<int32_t> inputs) {
    uint32_t columns = 0;
    for (const int32_t input : inputs)
      columns += graph.columns(input);
    return op({.kind = OpKind::cat, .inputs = std::move(inputs)}, columns);
  }

  int32_t permute(int32_t x, uint32_t heads) {
    const uint32_t columns = graph.columns(x);
    return op({.kind = OpKind::permute, .inputs = {x}, .heads = heads, .head_dim = columns / heads},
              columns);
  }

  int32_t softmax(int32_t x, float scale) {
    return op({.kind = OpKind::softmax, .inputs = {x}, .scale = scale}, graph.columns(x));
  }

  void sample(int32_t logits) {
    graph.ops.push_back({.kind = OpKind::sample, .name = "sample", .inputs = {logits}});
  }

  // Values near 1.
  int32_t vector(uint32_t columns) { return weight(DType::f32, 1, columns); }

 private:
  int32_t weight(DType dtype, uint32_t rows, uint32_t columns) {
    std::vector<float> values = random_.normals(size_t{rows} * columns);
    const float spread = 1 / std::sqrt(static_cast<float>(columns));
    for (float& value : values)
      value = dtype == DType::q4 ? value * spread : 1 + value / 4;
    values_.push_back(std::move(values));
    const std::string name = "weight" + std::to_string(values_.size());
    sources_.push_back({.name = name,
                        .rows = rows,
                        .columns = columns,
                        .data = std::as_bytes(std::span(values_.back())).data()});
    auto constant = std::make_shared<compiler::Constant>();
    constant->sources = {&sources_.back()};
    const std::vector<uint32_t> shape =
        dtype == DType::q4 ? std::vector{rows, columns} : std::vector{columns};
    return graph.add({.name = name,
                      .role = Role::weight,
                      .dtype = dtype,
                      .shape = shape,
                      .constant = std::move(constant)});
  }

  Random random_;
  std::deque<std::vector<float>> values_;
  std::deque<compiler::SourceTensor> sources_;
};

// The model file of a graph. Runs the passes first.
inline AlignedBytes emit_graph(compiler::Graph graph, const compiler::PassOptions& passes = {}) {
  compiler::tidy(&graph);
  compiler::run_passes(&graph, passes);
  const TempFile file("", ".nbl");
  compiler::emit(graph, nullptr, {}, file.path());
  return read_file(file.path());
}

}  // namespace nbl::test
