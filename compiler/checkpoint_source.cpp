#include <fmt/format.h>

#include <algorithm>

#include "compiler/arch/architecture.h"
#include "compiler/arch/describe.h"
#include "compiler/error.h"
#include "compiler/eval/moments.h"
#include "compiler/eval/tokenize.h"
#include "compiler/source.h"

namespace nbl::compiler {
namespace {

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

void calibrate(const Checkpoint& checkpoint, const CompileOptions& options, Graph* graph) {
  const std::vector<uint32_t> tokens = tokenize_file(checkpoint, options.calibrate);
  if (tokens.empty()) {
    throw CompileError(fmt::format("{} has no text to calibrate with", options.calibrate.string()));
  }
  const auto show = [&](double done) {
    if (options.progress) options.progress("calibrating", done);
  };
  attach_moments(measure_moments(checkpoint, tokens, show), graph);
}

}  // namespace

ModelSource read_checkpoint(const CompileOptions& options) {
  if (!options.tokens_input.empty() || !options.position_input.empty()) {
    throw CompileError(
        fmt::format("{} is no exported program: its inputs have no names", options.input.string()));
  }
  const auto checkpoint =
      std::make_shared<Checkpoint>(import_checkpoint(options.input, options.tokenizer));
  ModelSource source;
  source.hyper = checkpoint->hyper;
  source.tokenizer = checkpoint->tokenizer;
  source.warnings = checkpoint->warnings;
  source.metadata = describe_network(checkpoint->hyper);
  const uint32_t context = choose_context(options, checkpoint->hyper, &source.notes);
  source.graph = build_graph(
      *checkpoint,
      {.context = context, .prefill_chunk = options.prefill_chunk, .cache = options.cache});
  if (!options.calibrate.empty()) calibrate(*checkpoint, options, &source.graph);
  source.storage = checkpoint;
  return source;
}

}  // namespace nbl::compiler
