// What architectures are written in: each method appends one step of a network to a graph and
// returns what it computes.
//
// A step that has weights is named after them: linear("blk.3.attn_q", x) multiplies with the tensor
// of that name. Values are tensor indices of the graph.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compiler/arch/architecture.h"

namespace nbl::compiler {

// One layer, as the functions that build it see it.
struct Layer {
  uint32_t index;
  // "blk.3." + what
  std::string operator()(const char* what) const;
};

class Network {
 public:
  // Borrows  the checkpoint.
  Network(const Checkpoint& checkpoint, const ArchitectureOptions& options);

  const Hyper& hyper() const { return hyper_; }
  Graph take() { return std::move(graph_); }

  int32_t tokens();
  int32_t embedding(const std::string& name, int32_t tokens);
  int32_t rms_norm(const std::string& name, int32_t x);
  // Every head of x on its own, all with one weight.
  int32_t head_norm(const std::string& name, int32_t x);
  int32_t linear(const std::string& name, int32_t x);
  int32_t linear_with_bias(const std::string& name, int32_t x);
  int32_t add(const std::string& name, int32_t a, int32_t b);
  int32_t multiply(const std::string& name, int32_t x, float factor);
  // c tanh(x / c)
  int32_t softcap(const std::string& name, int32_t x, float c);

  // Turns q and k by their positions, writes k and v into the layer's caches and attends from q to
  // what the layer's window shows of them.
  int32_t attention(const Layer& at, int32_t q, int32_t k, int32_t v);
  // down(gate(x) * up(x)), with the gate that hyper() names.
  int32_t feed_forward(const Layer& at, int32_t x);

  // The logits of the last token, from the head or the embedding that stands for it, and the next
  // token by them.
  void predict(int32_t x);

 private:
  int32_t op(GraphOp op, uint32_t columns);
  int32_t function(const std::string& name, Function function, int32_t x, float alpha = 0);
  int32_t rope(const std::string& name, int32_t x, const Layer& at);
  int32_t cache(const std::string& name, int32_t x);
  bool has_window(const Layer& at) const;

  const SourceTensor* source(const std::string& name) const;
  int32_t matrix(const std::string& name);
  int32_t vector(const std::string& name, float offset);
  int32_t rope_weight(const char* name, const std::vector<double>& frequencies);

  const Checkpoint& checkpoint_;
  const Hyper& hyper_;
  const DType cache_;
  Graph graph_;
  int32_t rope_table_ = kAbsent;
  int32_t local_rope_table_ = kAbsent;  // of layers with a window
};

// Layers by architecture: x -> x.
int32_t llama_layer(Network& net, const Layer& at, int32_t x);
int32_t qwen2_layer(Network& net, const Layer& at, int32_t x);
int32_t qwen3_layer(Network& net, const Layer& at, int32_t x);
int32_t gemma3_layer(Network& net, const Layer& at, int32_t x);
int32_t phi3_layer(Network& net, const Layer& at, int32_t x);

}  // namespace nbl::compiler
