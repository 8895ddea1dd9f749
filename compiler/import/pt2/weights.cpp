#include "compiler/import/pt2/weights.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/import/pt2/shape_ops.h"
#include "rt/base/limits.h"

namespace nbl::compiler::pt2 {
namespace {

const ExpressionRef* argument_of(const Expression& expression, const char* name) {
  for (const ExpressionArgument& argument : expression.arguments) {
    if (argument.name == name) return std::get_if<ExpressionRef>(&argument.value);
  }
  return nullptr;
}

// Casts between float types change nothing here: all weights are read as float32.
bool is_cast(const Expression& expression) {
  return expression.op == "aten.to" || expression.op == "aten._to_copy";
}

Dims dims_of(const Context& context, const ExpressionRef& core) {
  if (is_dequantize(core->op)) {
    if (const ExpressionRef constant = packed_constant(context, core)) {
      Dims dims = constant->constant.dims();
      if (core->op == kUnpackOp && !dims.empty()) dims.back() *= 2;
      return dims;
    }
  }
  return context.numbers(core).dims();
}

std::optional<SourceType> source_type(ScalarType type) {
  switch (type) {
    case ScalarType::float32:
      return SourceType::f32;
    case ScalarType::float16:
      return SourceType::f16;
    case ScalarType::bfloat16:
      return SourceType::bf16;
    default:
      return std::nullopt;
  }
}

// Rows of a parameter that follow each other are read where they lie.
std::shared_ptr<Constant> float_rows(Context& context, const WeightView& weight,
                                     const std::string& name) {
  auto constant = std::make_shared<Constant>();
  SourceTensor tensor{.name = name,
                      .rows = static_cast<uint64_t>(weight.layout.dims[0]),
                      .columns = static_cast<uint64_t>(weight.layout.dims[1])};
  const Numbers& numbers = context.numbers(weight.core);
  const ConstantTensor* raw = numbers.storage->constant;
  const std::optional<SourceType> type = raw ? source_type(raw->meta.dtype) : std::nullopt;
  if (type && weight.layout.contiguous() && numbers.layout.contiguous()) {
    tensor.type = *type;
    const auto at = static_cast<size_t>(weight.layout.offset + numbers.layout.offset);
    tensor.data = raw->bytes.data() + at * scalar_type_bytes(raw->meta.dtype);
  } else {
    const Numbers whole = numbers.layout.contiguous() ? numbers : numbers.compacted();
    Layout layout = weight.layout;
    layout.offset += whole.layout.offset;
    const std::vector<double> values = whole.with(layout).values();
    context.store->values.emplace_back(values.begin(), values.end());
    tensor.data = reinterpret_cast<const std::byte*>(context.store->values.back().data());
  }
  context.store->tensors.push_back(std::move(tensor));
  constant->sources = {&context.store->tensors.back()};
  return constant;
}

// Some rows of weights that are quantized, all of them as a rule.
std::shared_ptr<Constant> taken_rows(std::shared_ptr<Q4Rows> rows, const Layout& layout) {
  const int64_t columns = rows->columns;
  if (layout.dims[0] != rows->rows) {
    const int64_t first = layout.offset / columns;
    const auto cut = [&]<typename T>(std::vector<T>* values, int64_t stride) {
      const auto begin = values->begin() + first * stride;
      *values = std::vector<T>(begin, begin + layout.dims[0] * stride);
    };
    cut(&rows->values, columns);
    cut(&rows->scales, rows->groups());
    rows->rows = static_cast<uint32_t>(layout.dims[0]);
  }
  auto constant = std::make_shared<Constant>();
  constant->quantized = std::move(rows);
  return constant;
}

std::string name_of(const Context& context, const WeightView& weight) {
  const ExpressionRef constant =
      is_dequantize(weight.core->op) ? packed_constant(context, weight.core) : weight.core;
  std::string name = constant ? constant->name : weight.core->name;
  for (const std::string_view suffix : {".qdata", "_qdata", ".tensor_impl.int_data"}) {
    if (name.ends_with(suffix)) name.erase(name.size() - suffix.size());
  }
  return name;
}

std::shared_ptr<Constant> constant_of(Context& context, const WeightView& weight,
                                      const std::string& name) {
  if (is_dequantize(weight.core->op) && weight.layout.contiguous()) {
    std::string reason;
    std::shared_ptr<Q4Rows> rows = quantized_rows(context, weight.core, &reason);
    if (rows) return taken_rows(std::move(rows), weight.layout);
    context.warnings.push_back(fmt::format(
        "the quantized weight {} {}; it is dequantized and quantized again", name, reason));
  }
  return float_rows(context, weight, name);
}

}  // namespace

WeightView weight_view(const Context& context, const ExpressionRef& expression) {
  const ShapeRule rule = find_shape_rule(expression->op);
  const ExpressionRef* operand = argument_of(*expression, "self");
  if (operand != nullptr && (rule != nullptr || is_cast(*expression))) {
    WeightView inner = weight_view(context, *operand);
    if (rule == nullptr) return inner;
    const std::vector<Shaped> results =
        rule(inner.layout, evaluate_arguments(*expression, context.step));
    const Shaped& shaped = results.at(expression->output);
    std::optional<Layout> layout = shaped.layout;
    if (shaped.reshape_to) layout = reshaped(shaped.layout, *shaped.reshape_to);
    if (layout) return {inner.core, *layout};
  }
  return {expression, row_major(dims_of(context, expression))};
}

std::string module_of(const std::string& weight) {
  constexpr std::string_view kSuffix = ".weight";
  if (!weight.ends_with(kSuffix)) return weight;
  return weight.substr(0, weight.size() - kSuffix.size());
}

int32_t matrix_weight(Context& context, const ExpressionRef& expression, bool transposed_weight) {
  if (expression->varies) throw NodeError("has a weight that changes with the position");
  WeightView weight = weight_view(context, expression);
  if (weight.layout.rank() == 3 && weight.layout.dims[0] == 1) {
    weight.layout = squeezed(weight.layout, {0});
  }
  if (weight.layout.rank() != 2) {
    throw NodeError(
        fmt::format("has a weight of sizes {}; a matrix is wanted", text_of(weight.layout.dims)));
  }
  if (transposed_weight) weight.layout = transposed(weight.layout, 0, 1);
  const Dims& dims = weight.layout.dims;
  if (dims[0] > kMaxDim || dims[1] > kMaxDim || weight.layout.count() == 0) {
    throw NodeError(
        fmt::format("has a weight of sizes {}; 1 to {} are supported", text_of(dims), kMaxDim));
  }
  if (const ExpressionRef packed = packed_constant(context, weight.core)) {
    claim_layout(context, packed,
                 weight.core->op == kUnpackOp ? "pairs of 4-bit values" : "one value a byte");
  }
  const std::string key = fmt::format("matrix {} {} {} {}", weight.core->id, text_of(dims),
                                      text_of(weight.layout.strides), weight.layout.offset);
  const auto [found, added] = context.weights.try_emplace(key, kAbsent);
  if (!added) return found->second;
  const std::string name = name_of(context, weight);
  found->second = context.graph.add(
      {.name = name,
       .role = Role::weight,
       .dtype = DType::q4,
       .shape = {static_cast<uint32_t>(dims[0]), static_cast<uint32_t>(dims[1])},
       .constant = context.store == nullptr ? std::make_shared<Constant>()
                                            : constant_of(context, weight, name)});
  return found->second;
}

}  // namespace nbl::compiler::pt2
