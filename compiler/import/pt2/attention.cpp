#include "compiler/import/pt2/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "compiler/import/pt2/arithmetic.h"
#include "compiler/import/pt2/cache.h"
#include "compiler/import/pt2/emit_ops.h"
#include "compiler/import/pt2/rows.h"

namespace nbl::compiler::pt2 {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Fills that are no mask's: scores lie far above.
constexpr double kMasked = -1e4;

const Attention& attention_of(const Context& context, const Elements& scores) {
  int32_t index = 0;
  const Source* source = sole_source(context, scores, &index);
  if (source == nullptr || source->kind != Source::Kind::scores) {
    throw NodeError("mixes attention scores with something else");
  }
  return std::get<Attention>(source->detail);
}

// Scores as they are must be all of them in order: [heads, tokens, length] under any dims.
void require_in_order(const Elements& scores) {
  const std::vector<Element> list = scores.list();
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i].index != static_cast<int32_t>(i)) {
      throw NodeError("takes some of the attention scores, or takes them out of order");
    }
  }
}

Elements as_scores(Context& context, Attention attention, const Elements& like) {
  require_in_order(like);
  const int32_t source =
      context.add_source({.kind = Source::Kind::scores, .detail = std::move(attention)});
  return whole_source(source, like.dims());
}

// The attention of scores whose factor is 1.
Attention with_factor(Context& context, const Elements& scores) {
  Attention attention = attention_of(context, scores);
  if (attention.normalized) throw NodeError("changes attention weights behind the softmax");
  if (scores.factor == 1) return attention;
  if (!attention.masks.empty()) throw NodeError("scales attention scores behind their mask");
  if (attention.open_cap) {
    attention.softcap = scores.factor;
    attention.scale *= scores.factor;
    attention.open_cap = false;
  } else if (attention.softcap != 0) {
    throw NodeError("scales attention scores behind their cap");
  } else {
    attention.scale *= scores.factor;
  }
  return attention;
}

Attention finished(Context& context, const Elements& scores) {
  Attention attention = with_factor(context, scores);
  if (attention.open_cap) {
    attention.softcap = 1;
    attention.open_cap = false;
  }
  return attention;
}

ExpressionRef fill_mask(Context& context, const ExpressionRef& condition, double yes, double no) {
  return context.expressions.make(
      "aten.where",
      {{"condition", condition}, {"self", context.number(yes)}, {"other", context.number(no)}}, 0,
      condition->name);
}

struct Matrices {
  Elements a, b;  // [batch..., M, K], [batch..., K, N]
  Dims batch;
  int64_t m, k, n;
};

Matrices paired(const Elements& a, const Elements& b) {
  if (a.layout.rank() < 2 || b.layout.rank() < 2) {
    throw NodeError("multiplies tensors that are no matrices");
  }
  Matrices pair;
  const Dims& x = a.dims();
  const Dims& y = b.dims();
  pair.m = x[x.size() - 2];
  pair.k = x.back();
  pair.n = y.back();
  if (y[y.size() - 2] != pair.k) {
    throw NodeError(fmt::format("multiplies {} by {}", text_of(x), text_of(y)));
  }
  pair.batch = broadcast({x.begin(), x.end() - 2}, {y.begin(), y.end() - 2});
  const auto wide = [&](const Elements& from, int64_t rows, int64_t columns) {
    Dims dims = pair.batch;
    dims.insert(dims.end(), {rows, columns});
    return expanded_to(from, dims);
  };
  pair.a = wide(a, pair.m, pair.k);
  pair.b = wide(b, pair.k, pair.n);
  return pair;
}

// Every row m of every head is the step's token m.
void require_tokens(const Context& context, const Rows& rows, int64_t m, int64_t columns) {
  if (m != context.step.tokens) throw NodeError("attends from some of the step's tokens only");
  for (size_t i = 0; i < rows.row.size(); ++i) {
    const int64_t token = rows.tokens[static_cast<size_t>(rows.row[i])];
    if (token != static_cast<int64_t>(i) / columns % m) {
      throw NodeError("attends from the step's tokens out of order");
    }
  }
}

Value scores_of(Context& context, Matrices pair) {
  Attention attention;
  attention.heads = static_cast<uint32_t>(element_count(pair.batch));
  attention.head_dim = static_cast<uint32_t>(pair.k);
  attention.length = pair.n;
  attention.scale = pair.a.factor * pair.b.factor;
  pair.a.factor = pair.b.factor = 1;
  require_tokens(context, rows_of(context, pair.a), pair.m, pair.k);
  attention.q = ordered(context, pair.a, attention.head_dim).tensor;
  const CacheView keys = cache_view(context, pair.b, attention.heads, true);
  attention.k = keys.source;
  attention.kv_heads = keys.kv_heads;
  Dims dims = pair.batch;
  dims.insert(dims.end(), {pair.m, pair.n});
  return whole_source(
      context.add_source({.kind = Source::Kind::scores, .detail = std::move(attention)}), dims);
}

Value values_of(Context& context, Matrices pair) {
  require_in_order(pair.a);
  const Attention attention = attention_of(context, pair.a);
  if (!attention.normalized || pair.a.factor != 1) {
    throw NodeError("multiplies attention scores by values without a softmax between");
  }
  const double factor = pair.b.factor;
  pair.b.factor = 1;
  const CacheView values = cache_view(context, pair.b, attention.heads, false);
  if (values.kv_heads != attention.kv_heads || pair.n != attention.head_dim) {
    throw NodeError(fmt::format("has {} value heads of {} for {} key heads of {}", values.kv_heads,
                                pair.n, attention.kv_heads, attention.head_dim));
  }
  const auto columns = static_cast<int64_t>(attention.heads) * attention.head_dim;
  const int32_t out = context.emit({.kind = OpKind::sdpa_with_kv_cache,
                                    .name = {},
                                    .inputs = {attention.q, context.source(attention.k).tensor,
                                               context.source(values.source).tensor},
                                    .scale = static_cast<float>(attention.scale),
                                    .heads = attention.heads,
                                    .kv_heads = attention.kv_heads,
                                    .head_dim = attention.head_dim,
                                    .softcap = static_cast<float>(attention.softcap)},
                                   static_cast<uint32_t>(columns));
  context.masks.push_back(
      {static_cast<size_t>(context.graph.producer(out)), attention, context.node_name});
  // [tokens, heads, head_dim] seen as [heads, tokens, head_dim].
  const int64_t d = attention.head_dim;
  Elements result = context.activation(out, {pair.m, attention.heads, d});
  result = result.with(transposed(result.layout, 0, 1)).compacted();
  Dims dims = pair.batch;
  dims.insert(dims.end(), {pair.m, d});
  result = result.with(row_major(dims));
  result.factor = factor;
  return result;
}

// One more dimension of copies before the last two, where heads are shared.
Elements shared_heads(const Elements& x, int64_t heads) {
  const size_t rank = x.layout.rank();
  if (rank < 3) return x;
  const int64_t own = x.dims()[rank - 3];
  if (own == heads || own == 1 || own == 0 || heads % own != 0) return x;
  const auto axis = static_cast<int64_t>(rank) - 2;
  Layout layout = unsqueezed(x.layout, axis);
  Dims wide = layout.dims;
  wide[rank - 2] = heads / own;
  layout = expanded(layout, wide);
  Dims merged = x.dims();
  merged[rank - 3] = heads;
  const Elements repeated = x.with(layout);
  return repeated.compacted().with(row_major(merged));
}

}  // namespace

Value matrix_product(Context& context, const Elements& a, const Elements& b) {
  Matrices pair = paired(a, b);
  if (is_kind(context, a, Source::Kind::scores)) return values_of(context, std::move(pair));
  return scores_of(context, std::move(pair));
}

Value scale_scores(Context& context, const Elements& scores, const ExpressionRef& factor) {
  const std::optional<double> value = fixed_number(context, factor);
  if (!value) throw NodeError("multiplies attention scores by something that is no fixed number");
  Elements result = scores;
  result.factor *= *value;
  // Before a mask, so that the order of factors and masks is kept.
  if (attention_of(context, scores).normalized) return result;
  return as_scores(context, with_factor(context, result), result);
}

Value mask_scores(Context& context, const Elements& scores, const ExpressionRef& mask,
                  double alpha) {
  if (alpha != 1) throw NodeError("subtracts from attention scores");
  Attention attention = finished(context, scores);
  const Dims dims = broadcast(scores.dims(), context.numbers(mask).dims());
  if (dims != scores.dims()) throw NodeError("adds a mask that is larger than the scores");
  attention.masks.push_back(mask);
  return as_scores(context, std::move(attention), scores);
}

Value fill_scores(Context& context, const Elements& scores, const ExpressionRef& condition,
                  double fill) {
  if (!(fill <= kMasked)) {
    throw NodeError(fmt::format("fills attention scores with {:g}, which masks nothing", fill));
  }
  return mask_scores(context, scores, fill_mask(context, condition, fill, 0), 1);
}

Value cap_scores(Context& context, const Elements& scores, Function function) {
  Attention attention = with_factor(context, scores);
  const bool caps = function == Function::tanh && attention.softcap == 0 && !attention.open_cap &&
                    attention.masks.empty();
  if (!caps) {
    throw NodeError("computes something of attention scores that is neither a cap nor a softmax");
  }
  attention.open_cap = true;
  return as_scores(context, std::move(attention), scores);
}

Value softmax(Context& context, const Elements& x, int64_t dim) {
  if (wrap_dim(dim, x.layout.rank()) + 1 != x.layout.rank()) {
    throw NodeError("takes a softmax over another dimension than the last");
  }
  if (is_kind(context, x, Source::Kind::scores)) {
    Attention attention = finished(context, x);
    attention.normalized = true;
    return as_scores(context, std::move(attention), x);
  }
  const Based base = ordered(context, x);
  if (context.graph.columns(base.tensor) != x.dims().back()) {
    throw NodeError("takes a softmax of parts of a row");
  }
  return renamed(context, base.view, emit_softmax(context, base.tensor, 1));
}

Value attention(Context& context, AttentionOperands operands) {
  Elements& q = operands.q;
  const size_t rank = q.layout.rank();
  if (rank < 2) throw NodeError("attends from a tensor that is no matrix");
  const int64_t heads = rank < 3 ? 1 : q.dims()[rank - 3];
  const double d = static_cast<double>(q.dims().back());
  q.factor *= operands.scale.value_or(1 / std::sqrt(d));
  const Elements k = shared_heads(operands.k, heads);
  const Elements v = shared_heads(operands.v, heads);
  Elements scores =
      std::get<Elements>(matrix_product(context, q, k.with(transposed(k.layout, -1, -2))));
  Attention with_flags = attention_of(context, scores);
  with_flags.causal = operands.causal;
  with_flags.live = operands.live;
  scores = as_scores(context, with_flags, scores);
  if (operands.mask) {
    const ExpressionRef mask =
        operands.truth_mask ? fill_mask(context, operands.mask, 0, -kInfinity) : operands.mask;
    scores = std::get<Elements>(mask_scores(context, scores, mask, 1));
  }
  scores = std::get<Elements>(softmax(context, scores, -1));
  return matrix_product(context, scores, v);
}

}  // namespace nbl::compiler::pt2
