#include "compiler/import/pt2/finish.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/import/pt2/arithmetic.h"
#include "compiler/import/pt2/attention.h"
#include "compiler/import/pt2/coefficients.h"
#include "compiler/import/pt2/rotation.h"
#include "compiler/import/pt2/rows.h"

namespace nbl::compiler::pt2 {
namespace {

bool allows(const Context& context, const Step& step) {
  return std::ranges::all_of(context.assertions, [&](const ExpressionRef& assertion) {
    try {
      return evaluate(assertion, step).only() != 0;
    } catch (const NodeError&) {
      return false;
    }
  });
}

// Whether some step of the graph ends with position `count` - 1.
bool reaches(const Context& context, const Inputs& inputs, int64_t count) {
  if (inputs.fixed_length) return allows(context, {count - 1, 1});
  if (context.whole_sequence) return allows(context, {0, count});
  const int64_t most = std::min(inputs.most_tokens, count);
  for (const int64_t tokens : {int64_t{1}, int64_t{2}, context.step.tokens, most}) {
    if (tokens <= most && allows(context, {count - tokens, tokens})) return true;
  }
  return false;
}

// Whether tables and masks have the position at all.
bool computes(const Context& context, int64_t position) {
  const int64_t token = std::min(position, context.step.tokens - 1);
  const Step step = step_at(context, token, position);
  try {
    for (const TableRequest& table : context.tables) {
      for (const TableRequest::Pair& pair : table.pairs) {
        value_at(context, pair.cosines.at(0), context.whole_sequence ? 0 : token, position);
      }
    }
    for (const MaskRequest& mask : context.masks) {
      for (const ExpressionRef& expression : mask.attention.masks)
        evaluate(expression, step);
    }
  } catch (const NodeError&) {
    return false;
  }
  return true;
}

// The first user output that is the logits, or the choice among them.
int32_t logits_of(Context& context, const std::vector<Value>& outputs) {
  for (const Value& output : outputs) {
    const auto* elements = std::get_if<Elements>(&output);
    if (elements == nullptr) continue;
    if (is_kind(context, *elements, Source::Kind::choice)) {
      int32_t index = 0;
      return sole_source(context, *elements, &index)->tensor;
    }
    const Rows rows = rows_of(context, *elements);
    if (rows.tokens.back() != context.step.tokens - 1) {
      throw NodeError("the output leaves out the newest token, whose logits choose the next");
    }
    return ordered(context, *elements).tensor;
  }
  throw NodeError("no output depends on the tokens");
}

std::vector<bool> live_ops(const Graph& graph) {
  std::vector<bool> needed(graph.tensors.size());
  std::vector<bool> live(graph.ops.size());
  for (size_t i = graph.ops.size(); i-- > 0;) {
    const GraphOp& op = graph.ops[i];
    live[i] = op.kind == OpKind::sample || std::ranges::any_of(op.outputs, [&](int32_t output) {
                return needed[static_cast<size_t>(output)];
              });
    if (!live[i]) continue;
    for (const int32_t input : op.inputs) {
      if (input != kAbsent) needed[static_cast<size_t>(input)] = true;
    }
  }
  return live;
}

void drop_dead_ops(Context& context) {
  Graph& graph = context.graph;
  const std::vector<bool> live = live_ops(graph);
  std::vector<size_t> renumbered(live.size());
  std::vector<size_t> dead;
  size_t kept = 0;
  for (size_t i = 0; i < live.size(); ++i) {
    renumbered[i] = kept;
    live[i] ? void(++kept) : dead.push_back(i);
  }
  std::erase_if(context.masks, [&](const MaskRequest& request) { return !live[request.op]; });
  for (MaskRequest& request : context.masks)
    request.op = renumbered[request.op];
  remove_ops(&graph, dead);
  std::erase_if(context.tables,
                [&](const TableRequest& table) { return graph.users(table.tensor).empty(); });
}

}  // namespace

uint32_t position_limit(const Context& context, const Inputs& inputs) {
  // Without a cache there may be no limit, and each position counts in what is evaluated.
  int64_t limit = std::min<int64_t>(inputs.most_tokens, wanted_context(context.options));
  if (!context.whole_sequence) {
    if (context.capacities.empty()) throw NodeError("no cache is written and read");
    limit = *std::ranges::min_element(context.capacities);
  }
  while (limit > 0 && !reaches(context, inputs, limit))
    --limit;
  if (limit > 0 && !computes(context, limit - 1)) {
    int64_t least = 0;  // positions that are known to be there
    while (limit - least > 1) {
      const int64_t middle = least + (limit - least) / 2;
      (computes(context, middle - 1) ? least : limit) = middle;
    }
    limit = least;
  }
  if (limit <= 0) throw NodeError("the assertions leave no position");
  return static_cast<uint32_t>(limit);
}

void finish_graph(Context& context, const std::vector<Value>& outputs) {
  Graph& graph = context.graph;
  const int32_t logits = logits_of(context, outputs);
  graph.vocab_size = graph.columns(logits);
  graph.ops.push_back({.kind = OpKind::sample, .name = "sample", .inputs = {logits}});
  drop_dead_ops(context);
  const int32_t head = graph.producer(logits);
  GraphOp& op = graph.ops[static_cast<size_t>(head)];
  const bool linear = op.kind == OpKind::linear_q4gsw || op.kind == OpKind::linear_dq8ca_q4gsw;
  op.last_row = linear && graph.users(logits).size() == 1;
  for (const GraphOp& other : graph.ops) {
    if (other.kind != OpKind::embedding_q4gsw) continue;
    const GraphTensor& table = graph.tensor(other.inputs[1]);
    if (table.shape[0] != graph.vocab_size) {
      throw NodeError(fmt::format("{} has {} rows, for {} logits; the same number is supported",
                                  table.name, table.shape[0], graph.vocab_size));
    }
  }
}

void finish_positions(Context& context, uint32_t positions) {
  context.graph.context_length = positions;
  context.horizon = positions;
  for (GraphTensor& tensor : context.graph.tensors) {
    if (tensor.role == Role::state) tensor.shape[1] = positions;
  }
  const auto refuse = [&](const std::string& place, const NodeError& error) {
    throw ImportError(fmt::format("{}: {} {}", context.program.path, place, error.what()));
  };
  for (const TableRequest& table : context.tables) {
    try {
      fill_table(context, table, positions);
    } catch (const NodeError& error) {
      refuse(table.place, error);
    }
  }
  for (const MaskRequest& mask : context.masks) {
    try {
      apply_mask(context, mask, positions);
    } catch (const NodeError& error) {
      refuse(mask.place, error);
    }
  }
}

}  // namespace nbl::compiler::pt2
