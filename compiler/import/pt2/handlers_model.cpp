// The ops that make a decoder: products with weights, lookups, attention, quantization.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compiler/import/pt2/arithmetic.h"
#include "compiler/import/pt2/attention.h"
#include "compiler/import/pt2/cache.h"
#include "compiler/import/pt2/call.h"
#include "compiler/import/pt2/linear.h"
#include "compiler/import/pt2/weights.h"

namespace nbl::compiler::pt2 {
namespace {

using Values = std::vector<Value>;

Values run_linear(const Call& call) {
  return {linear(call.context, call.elements("input"), call.expression("weight"), false,
                 call.expression_or_null("bias"))};
}

Values run_matmul(const Call& call) {
  const char* right = call.has("other") ? "other" : "mat2";
  const Elements& x = call.elements("self");
  if (call.has_elements(right)) return {matrix_product(call.context, x, call.elements(right))};
  return {linear(call.context, x, call.expression(right), true, nullptr)};
}

Values run_addmm(const Call& call) {
  if (call.real("beta", 1) != 1 || call.real("alpha", 1) != 1) {
    throw NodeError("weighs a product or its bias");
  }
  const Value product =
      linear(call.context, call.elements("mat1"), call.expression("mat2"), true, nullptr);
  return {add(call.context, product, call.value("self"), 1)};
}

Values run_embedding(const Call& call) {
  return {embedding(call.context, call.expression("weight"), call.elements("indices"))};
}

Values run_embedding_4bit(const Call& call) {
  Context& context = call.context;
  const ExpressionRef table = context.expressions.make(
      kUnpackOp, call.as_expression({"indices", "dtype"}), 0, context.node_name);
  if (call.integer("weight_quant_min") != -8 || call.integer("weight_quant_max") != 7) {
    throw NodeError(fmt::format("is quantized from {} to {}; -8 to 7 is supported",
                                call.integer("weight_quant_min"),
                                call.integer("weight_quant_max")));
  }
  return {embedding(context, table, call.elements("indices"))};
}

void require_no_dropout(const Call& call, const char* name) {
  if (call.real(name, 0) != 0) throw NodeError("drops out at random");
}

Values run_sdpa(const Call& call) {
  Context& context = call.context;
  require_no_dropout(call, "dropout_p");
  AttentionOperands operands{
      .q = call.elements("query"), .k = call.elements("key"), .v = call.elements("value")};
  if (call.has("scale")) operands.scale = call.real("scale");
  operands.causal = call.flag("is_causal", false);
  if (operands.causal && !context.whole_sequence) {
    throw NodeError(
        "is causal from the first row of the cache on, whatever the position; pass a mask that "
        "follows the position instead");
  }
  operands.mask = call.expression_or_null("attn_mask");
  if (operands.mask) {
    operands.truth_mask = context.numbers(operands.mask).kind == NumberKind::boolean;
  }
  const bool grouped = call.flag("enable_gqa", false);
  const size_t rank = operands.q.layout.rank();
  if (!grouped && rank >= 3 && operands.k.layout.rank() == rank &&
      operands.k.dims()[rank - 3] != operands.q.dims()[rank - 3]) {
    throw NodeError("has fewer key heads than query heads, without enable_gqa");
  }
  return {attention(context, std::move(operands))};
}

Elements heads_first(const Elements& x) {
  if (x.layout.rank() != 4 || x.dims()[0] != 1) {
    throw NodeError(
        fmt::format("has an operand of sizes {}; [1, tokens, heads, head_dim] is "
                    "supported",
                    text_of(x.dims())));
  }
  return x.with(transposed(x.layout, 1, 2));
}

Values run_custom_sdpa(const Call& call) {
  require_no_dropout(call, "drpout_p");
  require_no_dropout(call, "dropout_p");
  Context& context = call.context;
  if (call.integer("start_pos") != context.step.position) {
    throw NodeError("starts elsewhere than at the position of the step");
  }
  AttentionOperands operands{.q = heads_first(call.elements("query")),
                             .k = heads_first(call.elements("key")),
                             .v = heads_first(call.elements("value"))};
  if (call.has("scale")) operands.scale = call.real("scale");
  operands.causal = call.flag("is_causal", false);
  operands.live = true;
  operands.mask = call.expression_or_null("attn_mask");
  if (operands.mask) {
    operands.truth_mask = context.numbers(operands.mask).kind == NumberKind::boolean;
  }
  Elements result = std::get<Elements>(attention(context, std::move(operands)));
  return {result.with(transposed(result.layout, 1, 2))};
}

Elements update(const Call& call, const char* cache, const char* value) {
  Context& context = call.context;
  const Elements& into = call.elements(cache);
  const Elements& from = call.elements(value);
  const int64_t start = call.integer("start_pos");
  if (start != context.step.position || from.layout.rank() < 2) {
    throw NodeError("writes elsewhere than at the position of the step");
  }
  const Layout rows = sliced(into.layout, 1, start, start + from.dims()[1], 1);
  return write_cache(context, into.with(rows), from);
}

Values run_update_cache(const Call& call) {
  return {None{}, update(call, "cache", "value")};
}

Values run_sdpa_with_kv_cache(const Call& call) {
  const Elements keys = update(call, "key_cache", "key");
  const Elements values = update(call, "value_cache", "value");
  std::vector<CallArgument> arguments = {{"query", call.value("query")},
                                         {"key", keys},
                                         {"value", values},
                                         {"start_pos", call.value("start_pos")}};
  for (const char* name : {"attn_mask", "drpout_p", "dropout_p", "is_causal", "scale"}) {
    if (call.has(name)) arguments.push_back({name, call.value(name)});
  }
  Values results = run_custom_sdpa(Call(call.context, "llama.custom_sdpa", std::move(arguments)));
  return {results[0], keys, values};
}

void require_int8(const Call& call, const char* type) {
  const bool fits = call.type(type, ScalarType::int8) == ScalarType::int8 &&
                    call.integer("quant_min", -128) == -128 &&
                    call.integer("quant_max", 127) == 127;
  if (!fits) throw NodeError("quantizes activations to something else than int8, -128 to 127");
}

int64_t row_of(const Call& call, const Elements& x) {
  const int64_t columns = x.dims().empty() ? 0 : x.dims().back();
  if (!call.has("block_size")) return columns;
  const Dims block = call.integers("block_size");
  const bool rows = !block.empty() && block.back() == columns &&
                    std::all_of(block.begin(), block.end() - 1, [](int64_t b) { return b == 1; });
  if (!rows) {
    throw NodeError(fmt::format("quantizes activations in blocks of {}; whole rows are supported",
                                text_of(block)));
  }
  return columns;
}

Values run_choose_qparams(const Call& call) {
  if (call.text("mapping_type", "ASYMMETRIC") != "ASYMMETRIC") {
    throw NodeError("quantizes activations symmetrically; with a zero point is supported");
  }
  require_int8(call, call.has("target_dtype") ? "target_dtype" : "dtype");
  const Elements& x = call.elements("input");
  const Elements scales = std::get<Elements>(activation_scales(call.context, x, row_of(call, x)));
  // Per token, the scales keep the last dimension.
  if (call.has("block_size")) return {scales, scales};
  const Elements kept =
      scales.with(unsqueezed(scales.layout, static_cast<int64_t>(scales.layout.rank())));
  return {kept, kept};
}

Values run_quantize(const Call& call) {
  require_int8(call, call.has("output_dtype") ? "output_dtype" : "dtype");
  const Elements& x = call.elements("input");
  row_of(call, x);
  const char* scales = call.has("scale") ? "scale" : "scales";
  if (!call.has_elements(scales)) {
    throw NodeError(
        "quantizes activations by scales that are fixed; scales of each row are "
        "supported");
  }
  return {rounded_activation(call.context, x, call.elements(scales))};
}

Values run_dequantize(const Call& call) {
  const Elements& x = call.elements("input");
  row_of(call, x);
  int32_t index = 0;
  const Source* source = sole_source(call.context, x, &index);
  if (source == nullptr || !source->rounded) throw NodeError("dequantizes a computed tensor");
  return {x};
}

}  // namespace

std::vector<HandlerRow> model_handlers() {
  return {
      {"aten.linear", run_linear},
      {"aten.mm", run_matmul},
      {"aten.bmm", run_matmul},
      {"aten.matmul", run_matmul},
      {"aten.addmm", run_addmm},
      {"aten.embedding", run_embedding},
      {kUnpackOp, run_embedding_4bit},
      {"aten.scaled_dot_product_attention", run_sdpa},
      {"llama.custom_sdpa", run_custom_sdpa},
      {"llama.update_cache", run_update_cache},
      {"llama.sdpa_with_kv_cache", run_sdpa_with_kv_cache},
      {"torchao.choose_qparams_affine", run_choose_qparams},
      {"torchao.quantize_affine", run_quantize},
      {"torchao.dequantize_affine", run_dequantize},
      {"quantized_decomposed.choose_qparams_per_token_asymmetric", run_choose_qparams},
      {"quantized_decomposed.quantize_per_token", run_quantize},
      {"quantized_decomposed.dequantize_per_token", run_dequantize},
  };
}

}  // namespace nbl::compiler::pt2
