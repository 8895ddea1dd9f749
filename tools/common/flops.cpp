#include "tools/common/flops.h"

#include <algorithm>
#include <string_view>

namespace nbl::tools {
namespace {

bool is_product(const TimedDispatch& d) {
  const std::string_view kernel = d.kernel;
  return kernel.starts_with("gemv_") || kernel.starts_with("gemm_") ||
         kernel.starts_with("linear_");
}

bool is_attention(const TimedDispatch& d) {
  const std::string_view kernel = d.kernel;
  return kernel.starts_with("sdpa_") && !kernel.starts_with("sdpa_combine");
}

bool is_chain(const TimedDispatch& d) {
  return std::string_view(d.kernel).starts_with("chain_");
}

bool same_op(const TimedDispatch& d, const Op& op) {
  return d.node == op.name && d.op == kOpKindNames[static_cast<size_t>(op.kind)];
}

uint64_t linear_flops(const Model& model, const Op& op, uint32_t tokens) {
  const Tensor weight = model.tensor(static_cast<uint32_t>(op.inputs[1]));
  return uint64_t{2} * weight.shape[0] * weight.columns() * (op.last_row ? 1 : tokens);
}

uint64_t attention_flops(const Op& op, uint32_t tokens, uint32_t first) {
  uint64_t pairs = 0;
  for (uint32_t t = 0; t < tokens; ++t) {
    const uint64_t seen = first + (op.full ? tokens : t + 1);
    pairs += op.window == 0 ? seen : std::min<uint64_t>(seen, op.window);
  }
  return pairs * 4 * op.heads * op.head_dim;
}

// The op that attends in a dispatch of op `index`, which may begin with the rotation before it.
const Op attention_of(const Model& model, uint32_t index) {
  const Op op = model.op(index);
  const bool joined = op.kind != OpKind::sdpa_with_kv_cache && index + 1 < model.op_count();
  return joined ? model.op(index + 1) : op;
}

// Of ops [index, end): linears and attentions, of which chains consist.
uint64_t chain_flops(const Model& model, uint32_t index, uint32_t end, uint32_t first) {
  uint64_t flops = 0;
  for (; index < end; ++index) {
    const Op op = model.op(index);
    if (is_linear(op.kind)) flops += linear_flops(model, op, 1);
    if (op.kind == OpKind::sdpa_with_kv_cache) flops += attention_flops(op, 1, first);
  }
  return flops;
}

// The first op from `index` on that the dispatch runs; the number of ops where there is none.
uint32_t find_op(const Model& model, uint32_t index, const TimedDispatch& d) {
  while (index < model.op_count() && !same_op(d, model.op(index)))
    ++index;
  return index;
}

// Gives the products in `step` that belong to one op their shares of its operations.
void share(uint64_t flops, std::span<TimedDispatch> step) {
  uint64_t bytes = 0;
  for (const TimedDispatch& d : step)
    bytes += is_product(d) ? d.bytes : 0;
  for (TimedDispatch& d : step) {
    if (!is_product(d) || bytes == 0) continue;
    d.flops = static_cast<uint64_t>(static_cast<double>(flops) * static_cast<double>(d.bytes) /
                                    static_cast<double>(bytes));
  }
}

}  // namespace

void estimate_flops(const Model& model, uint32_t tokens, uint32_t first, TimedStep* step) {
  uint32_t index = 0;
  for (size_t begin = 0, end = 0; begin < step->size(); begin = end) {
    index = find_op(model, index, (*step)[begin]);
    if (index == model.op_count()) break;
    if (is_chain((*step)[begin])) {
      end = begin + 1;
      const uint32_t next =
          end < step->size() ? find_op(model, index + 1, (*step)[end]) : model.op_count();
      (*step)[begin].flops = chain_flops(model, index, next, first);
      continue;
    }
    const Op op = model.op(index);
    for (; end < step->size() && same_op((*step)[end], op); ++end) {
      TimedDispatch& d = (*step)[end];
      d.flops = is_attention(d) ? attention_flops(attention_of(model, index), tokens, first)
                                : d.bytes / 4;
    }
    if (is_linear(op.kind)) {
      share(linear_flops(model, op, tokens), std::span(*step).subspan(begin, end - begin));
    }
  }
}

}  // namespace nbl::tools
