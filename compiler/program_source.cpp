#include <fmt/format.h>

#include <algorithm>

#include "compiler/error.h"
#include "compiler/import/pt2/archive.h"
#include "compiler/import/pt2/lower.h"
#include "compiler/source.h"

namespace nbl::compiler {
namespace {

// The numbers of the graph that a checkpoint would have said.
Hyper describe(const Graph& graph, uint32_t context_limit) {
  Hyper hyper;
  hyper.architecture = graph.architecture;
  hyper.name = graph.name;
  hyper.vocab = graph.vocab_size;
  hyper.context = context_limit;
  for (const GraphOp& op : graph.ops) {
    if (is_embedding(op.kind)) hyper.dim = graph.columns(op.outputs[0]);
    if (op.kind != OpKind::sdpa_with_kv_cache) continue;
    ++hyper.layers;
    hyper.heads = op.heads;
    hyper.kv_heads = op.kv_heads;
    hyper.head_dim = op.head_dim;
  }
  return hyper;
}

}  // namespace

ModelSource read_program(const CompileOptions& options) {
  if (!options.calibrate.empty()) {
    throw CompileError(fmt::format("{} is an exported program: only checkpoints can be calibrated",
                                   options.input.string()));
  }
  const auto program =
      std::make_shared<pt2::ExportedProgram>(pt2::read_exported_program(options.input));
  pt2::Lowered lowered = pt2::lower(*program, {.tokens = options.tokens_input,
                                               .position = options.position_input,
                                               .context = options.context,
                                               .default_context = kDefaultContext,
                                               .prefill_chunk = options.prefill_chunk});
  ModelSource source;
  source.graph = std::move(lowered.graph);
  for (GraphTensor& tensor : source.graph.tensors) {
    if (tensor.role == Role::state) tensor.dtype = options.cache;
  }
  source.hyper = describe(source.graph, lowered.context_limit);
  source.metadata = {{"layers", fmt::format("{}", source.hyper.layers)},
                     {"embedding_length", fmt::format("{}", source.hyper.dim)},
                     {"heads", fmt::format("{}", source.hyper.heads)},
                     {"kv_heads", fmt::format("{}", source.hyper.kv_heads)},
                     {"head_dim", fmt::format("{}", source.hyper.head_dim)},
                     {"exported_context_length", fmt::format("{}", lowered.context_limit)}};
  source.notes = std::move(lowered.notes);
  source.warnings = std::move(lowered.warnings);
  if (!options.tokenizer.empty()) {
    source.tokenizer = import_tokenizer(options.tokenizer, source.hyper.vocab, &source.warnings);
    const int32_t eos = source.tokenizer->eos;
    if (eos >= 0) source.graph.stop_tokens.push_back(static_cast<uint32_t>(eos));
  }
  source.storage = std::make_shared<std::pair<std::shared_ptr<void>, std::shared_ptr<void>>>(
      program, lowered.storage);
  return source;
}

}  // namespace nbl::compiler
