#include "compiler/compile.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/arch/llama.h"
#include "compiler/error.h"

namespace nbl::compiler {
namespace {

// Options that are wrong whatever the checkpoint holds.
void check_options(const CompileOptions& options) {
  if (!is_group_size(options.group_size)) {
    throw CompileError(fmt::format("the group size is {}; it must be a multiple of 8 from 8 to {}",
                                   options.group_size, kMaxGroupSize));
  }
  std::error_code ignored;
  if (std::filesystem::equivalent(options.input, options.output, ignored)) {
    throw CompileError(
        fmt::format("input and output are the same file: {}", options.input.string()));
  }
}

uint32_t choose_context(const CompileOptions& options, const Hyper& hyper,
                        std::vector<std::string>* notes) {
  if (options.context != 0) return options.context;
  if (hyper.context > kDefaultContext) {
    notes->push_back(fmt::format(
        "the context is set to {} of the checkpoint's {} positions; --context gives more",
        kDefaultContext, hyper.context));
  }
  return std::min(hyper.context, kDefaultContext);
}

Metadata describe(const CompileOptions& options, const Hyper& h) {
  return {{"source", options.input.filename().string()},
          {"quantization", "groupwise symmetric int4, f16 scales"},
          {"group_size", fmt::format("{}", options.group_size)},
          {"activations", options.passes.activations == Activations::int8
                              ? "int8, a scale and a zero point a row"
                              : "f32"},
          {"layers", fmt::format("{}", h.layers)},
          {"embedding_length", fmt::format("{}", h.dim)},
          {"feed_forward_length", fmt::format("{}", h.ffn)},
          {"heads", fmt::format("{}", h.heads)},
          {"kv_heads", fmt::format("{}", h.kv_heads)},
          {"head_dim", fmt::format("{}", h.head_dim)},
          {"trained_context_length", fmt::format("{}", h.context)},
          {"rope_theta", fmt::format("{:g}", h.rope_theta)},
          {"norm_epsilon", fmt::format("{:g}", h.eps)}};
}

void check_tokenizer_size(const TokenizerData& tokenizer, const Hyper& hyper) {
  if (tokenizer.pieces.size() > hyper.vocab) {
    throw CompileError(fmt::format("the tokenizer has {} pieces; the model knows {} tokens",
                                   tokenizer.pieces.size(), hyper.vocab));
  }
}

}  // namespace

Graph make_graph(const Checkpoint& checkpoint, uint32_t context, uint32_t prefill_chunk,
                 const PassOptions& passes, DType cache) {
  Graph graph =
      build_llama(checkpoint, {.context = context, .prefill_chunk = prefill_chunk, .cache = cache});
  run_passes(&graph, passes);
  return graph;
}

CompileReport compile(const CompileOptions& options) {
  check_options(options);
  const Checkpoint checkpoint = import_checkpoint(options.input, options.tokenizer);
  CompileReport report;
  report.hyper = checkpoint.hyper;
  report.warnings = checkpoint.warnings;
  const TokenizerData* tokenizer = checkpoint.tokenizer ? &*checkpoint.tokenizer : nullptr;
  if (tokenizer == nullptr) {
    report.warnings.push_back(
        "the checkpoint has no tokenizer: the model takes and gives token ids only (--tokenizer "
        "adds one)");
  } else {
    check_tokenizer_size(*tokenizer, checkpoint.hyper);
  }
  report.context = choose_context(options, checkpoint.hyper, &report.notes);
  const Graph graph =
      make_graph(checkpoint, report.context, options.prefill_chunk, options.passes, options.cache);
  report.op_count = graph.ops.size();
  report.emitted = emit(graph, tokenizer,
                        {.group_size = options.group_size,
                         .metadata = describe(options, checkpoint.hyper),
                         .progress = options.progress},
                        options.output);
  return report;
}

}  // namespace nbl::compiler
