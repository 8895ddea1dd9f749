// A small llama with weights that arrive quantized, as from the parameters of a graph.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "compiler/arch/architecture.h"
#include "compiler/compile.h"
#include "tests/support/compiled.h"
#include "tests/support/q4_rows.h"
#include "tests/support/small_llama.h"

namespace nbl::test {

struct QuantizedLlama {
  LlamaSpec spec = {.layers = 1, .vocab = 131, .tied = false};
  std::shared_ptr<compiler::Q4Rows> embedding = {};  // null: as the checkpoint has it
  std::shared_ptr<compiler::Q4Rows> head = {};
  std::map<std::string, std::shared_ptr<compiler::Q4Rows>> others = {};  // by name of the tensor
  compiler::Checkpoint checkpoint = small_llama(spec);

  uint32_t vocab() const { return spec.vocab; }
  uint32_t dim() const { return spec.dim; }

  // Borrows  this object.
  compiler::Graph graph(const compiler::PassOptions& passes = {}) const {
    compiler::Graph graph = compiler::build_graph(checkpoint, {.context = 64, .prefill_chunk = 8});
    for (compiler::GraphTensor& tensor : graph.tensors) {
      if (tensor.name == "token_embd.weight" && embedding) tensor.constant = constant(embedding);
      if (tensor.name == "output.weight" && head) tensor.constant = constant(head);
      if (others.contains(tensor.name)) tensor.constant = constant(others.at(tensor.name));
    }
    compiler::run_passes(&graph, passes);
    return graph;
  }

  AlignedBytes file(const compiler::PassOptions& passes = {}, uint32_t group_size = 32,
                    compiler::EmitReport* report = nullptr) const {
    const TempFile file("", ".nbl");
    const compiler::EmitReport made =
        compiler::emit(graph(passes), nullptr, {.group_size = group_size}, file.path());
    if (report != nullptr) *report = made;
    return read_file(file.path());
  }

 private:
  static std::shared_ptr<const compiler::Constant> constant(
      std::shared_ptr<const compiler::Q4Rows> rows) {
    auto made = std::make_shared<compiler::Constant>();
    made->quantized = std::move(rows);
    return made;
  }
};

}  // namespace nbl::test
