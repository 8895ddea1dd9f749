#include "compiler/import/pt2/lower.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "compiler/import/pt2/array_limits.h"
#include "compiler/import/pt2/finish.h"

namespace nbl::compiler::pt2 {
namespace {

struct Walked {
  std::unique_ptr<Context> context;
  uint32_t limit = 0;
};

// The graph at one step, complete but for what the number of positions decides.
Walked walk_at(const ExportedProgram& program, const LowerOptions& options, const Step& step,
               const Aliases& aliases, const Inputs& inputs, WeightStore* store) {
  Walked walked;
  walked.context = std::make_unique<Context>(program, options, step, store);
  Context& context = *walked.context;
  context.whole_sequence = std::ranges::none_of(program.inputs, [&](const InputSpec& input) {
    return aliases.written.contains(input.value);
  });
  std::vector<Value> outputs;
  walk(context, aliases, inputs, &outputs);
  try {
    finish_graph(context, outputs);
    walked.limit = position_limit(context, inputs);
  } catch (const NodeError& error) {
    throw ImportError(fmt::format("{}: {}", program.path, error.what()));
  }
  return walked;
}

// Two steps of other lengths at other positions. What a graph does at both, it does at all: nothing
// of its ops depends on either number but by way of expressions, which are evaluated everywhere.
std::pair<Step, Step> steps_for(const Inputs& inputs, bool whole_sequence) {
  if (inputs.fixed_length) return {{3, 1}, {2, 1}};
  const int64_t most = inputs.most_tokens;
  const int64_t first = std::min<int64_t>(3, most);
  const int64_t second = std::min<int64_t>(4, most);
  if (whole_sequence) return {{0, first}, {0, second}};
  return {{2, first}, {1, second}};
}

// Of all constants; bytes that several show count once.
uint64_t constant_bytes(const ExportedProgram& program) {
  std::vector<std::pair<const std::byte*, const std::byte*>> ranges;
  for (const auto& [name, constant] : program.constants)
    ranges.emplace_back(constant.bytes.data(), constant.bytes.data() + constant.bytes.size());
  std::ranges::sort(ranges);
  uint64_t bytes = 0;
  const std::byte* counted = nullptr;
  for (const auto& [begin, end] : ranges) {
    const std::byte* const from = counted == nullptr ? begin : std::max(begin, counted);
    if (from < end) bytes += static_cast<uint64_t>(end - from);
    counted = counted == nullptr ? end : std::max(end, counted);
  }
  return bytes;
}

uint32_t chosen_context(Context& context, uint32_t limit) {
  const LowerOptions& options = context.options;
  if (options.context > limit) {
    throw ImportError(fmt::format("{}: the context is {}; this program allows 1 to {}",
                                  context.program.path, options.context, limit));
  }
  if (options.context == 0 && limit > options.default_context) {
    context.notes.push_back(
        fmt::format("the context is set to {} of the program's {} positions; --context gives more",
                    options.default_context, limit));
  }
  return std::min(limit, wanted_context(options));
}

}  // namespace

Lowered lower(const ExportedProgram& program, const LowerOptions& options) {
  const ArrayLimits limits(constant_bytes(program));
  const Aliases aliases = find_aliases(program);
  const Inputs inputs = find_inputs(program, aliases, options);
  const bool whole_sequence = std::ranges::none_of(program.inputs, [&](const InputSpec& input) {
    return aliases.written.contains(input.value);
  });
  const auto [first, second] = steps_for(inputs, whole_sequence);
  const auto store = std::make_shared<WeightStore>();
  const Walked walked = walk_at(program, options, first, aliases, inputs, store.get());
  const Walked again = walk_at(program, options, second, aliases, inputs, nullptr);
  if (dump(walked.context->graph) != dump(again.context->graph)) {
    throw ImportError(fmt::format(
        "{}: the graph computes other things in steps of other lengths or at other positions",
        program.path));
  }
  Context& context = *walked.context;
  Lowered lowered;
  lowered.context_limit = walked.limit;
  const uint32_t positions = chosen_context(context, walked.limit);
  finish_positions(context, positions);
  Graph& graph = context.graph;
  graph.name = std::filesystem::path(program.path).stem().string();
  graph.architecture = "torch.export";
  graph.prefill_chunk = static_cast<uint32_t>(
      inputs.fixed_length ? 1 : std::min<int64_t>(options.prefill_chunk, inputs.most_tokens));
  tidy(&graph);
  lowered.graph = std::move(graph);
  lowered.notes = std::move(context.notes);
  lowered.warnings = std::move(context.warnings);
  lowered.storage = store;
  return lowered;
}

}  // namespace nbl::compiler::pt2
