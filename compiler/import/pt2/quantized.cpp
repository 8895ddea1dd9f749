// Weights that arrive quantized: which of them are groupwise symmetric int4 and can be taken over
// bit for bit.
#include <fmt/format.h>

#include <algorithm>

#include "compiler/import/pt2/weights.h"

namespace nbl::compiler::pt2 {
namespace {

constexpr int64_t kLeast = -8;
constexpr int64_t kMost = 7;

// Where the parts of a dequantizing op are in its arguments.
struct Form {
  const char* op;
  const char* values;
  const char* scales;
  const char* zero_points;
  const char* least;
  const char* most;
  const char* type;  // null: fixed by the op
};
constexpr Form kForms[] = {
    {"torchao.dequantize_affine", "input", "scale", "zero_point", "quant_min", "quant_max",
     "input_dtype"},
    {"quantized_decomposed.dequantize_per_channel_group", "input", "scales", "zero_points",
     "quant_min", "quant_max", "dtype"},
    {"quantized_decomposed.dequantize_per_channel", "input", "scales", "zero_points", "quant_min",
     "quant_max", "dtype"},
    {kUnpackOp, "weight", "weight_scales", "weight_zero_points", "weight_quant_min",
     "weight_quant_max", nullptr},
};

const Form* form_of(const std::string& op) {
  const auto found = std::ranges::find_if(kForms, [&](const Form& form) { return op == form.op; });
  return found == std::end(kForms) ? nullptr : found;
}

const ExpressionArgument* argument_of(const Expression& expression, const char* name) {
  for (const ExpressionArgument& argument : expression.arguments) {
    if (argument.name == name && !std::holds_alternative<None>(argument.value)) return &argument;
  }
  return nullptr;
}

ExpressionRef expression_of(const Expression& expression, const char* name) {
  const ExpressionArgument* argument = argument_of(expression, name);
  if (argument == nullptr) return nullptr;
  const auto* found = std::get_if<ExpressionRef>(&argument->value);
  return found == nullptr ? nullptr : *found;
}

std::optional<int64_t> integer_of(const Context& context, const Expression& expression,
                                  const char* name) {
  const ExpressionRef found = expression_of(expression, name);
  if (!found) return std::nullopt;
  const std::optional<double> value = fixed_number(context, found);
  return value ? std::optional(static_cast<int64_t>(*value)) : std::nullopt;
}

// Columns that share a scale; nothing where they are no whole number of groups in a row.
std::optional<int64_t> group_of(const Context& context, const Expression& expression,
                                const Dims& dims, int64_t scales, std::string* reason) {
  const int64_t columns = dims[1];
  if (expression.op == kUnpackOp) {
    const int64_t groups = scales / dims[0];
    if (groups > 0 && groups * dims[0] == scales && columns % groups == 0) return columns / groups;
    *reason = fmt::format("has {} scales for {} rows of {} columns", scales, dims[0], columns);
    return std::nullopt;
  }
  if (expression.op == "quantized_decomposed.dequantize_per_channel") {
    if (integer_of(context, expression, "axis") == 0) return columns;
    *reason = "has one scale a column";
    return std::nullopt;
  }
  int64_t group = 0;
  if (expression.op == "torchao.dequantize_affine") {
    const Dims block = evaluate_arguments(expression, context.step).integers("block_size");
    if (block.size() != 2 || block[0] != 1) {
      *reason = fmt::format("has blocks of {}; one row by one group is supported", text_of(block));
      return std::nullopt;
    }
    group = block[1];
  } else {
    group = integer_of(context, expression, "group_size").value_or(0);
  }
  if (group > 0 && columns % group == 0) return group;
  *reason =
      fmt::format("has groups of {} over {} columns, which leaves a part of one", group, columns);
  return std::nullopt;
}

bool zero_points_are_zero(const Context& context, const Expression& expression, const Form& form,
                          std::string* reason) {
  const ExpressionArgument* argument = argument_of(expression, form.zero_points);
  if (argument == nullptr) return true;
  const auto* zeros = std::get_if<ExpressionRef>(&argument->value);
  if (zeros == nullptr || (*zeros)->varies) {
    *reason = "has zero points that are no constant";
    return false;
  }
  const std::vector<double> values = context.numbers(*zeros).values();
  const auto wrong = std::ranges::find_if(values, [](double value) { return value != 0; });
  if (wrong == values.end()) return true;
  *reason = fmt::format("has a zero point of {}; all must be 0", *wrong);
  return false;
}

// The signed values, two a byte with the even column in the high nibble or one a byte.
bool read_values(const Numbers& numbers, bool packed, std::vector<int8_t>* values,
                 std::string* reason) {
  const int64_t count = numbers.layout.count();
  values->reserve(static_cast<size_t>(count) * (packed ? 2 : 1));
  for (int64_t i = 0; i < count; ++i) {
    const auto number = static_cast<int64_t>(numbers.at(numbers.layout.offset + i));
    if (packed) {
      values->push_back(static_cast<int8_t>((number >> 4 & 15) - 8));
      values->push_back(static_cast<int8_t>((number & 15) - 8));
      continue;
    }
    if (number < kLeast || number > kMost) {
      *reason = fmt::format("holds the value {}; {} to {} are 4-bit", number, kLeast, kMost);
      return false;
    }
    values->push_back(static_cast<int8_t>(number));
  }
  return true;
}

bool range_fits(const Context& context, const Expression& expression, const Form& form,
                std::string* reason) {
  const std::optional<int64_t> least = integer_of(context, expression, form.least);
  const std::optional<int64_t> most = integer_of(context, expression, form.most);
  if (least == kLeast && most == kMost) return true;
  const auto text = [](const std::optional<int64_t>& bound) {
    return bound ? fmt::format("{}", *bound) : std::string("none");
  };
  *reason = fmt::format("is quantized from {} to {}; {} to {} is supported", text(least),
                        text(most), kLeast, kMost);
  return false;
}

bool type_fits(const Expression& expression, const Form& form, std::string* reason) {
  if (form.type == nullptr) return true;
  const ExpressionArgument* argument = argument_of(expression, form.type);
  const auto* type = argument ? std::get_if<ScalarType>(&argument->value) : nullptr;
  if (type != nullptr && *type == ScalarType::int8) return true;
  *reason = fmt::format("is quantized as {}; int8 is supported",
                        type == nullptr ? "no type" : scalar_type_name(*type));
  return false;
}

}  // namespace

bool is_dequantize(const std::string& op) {
  return form_of(op) != nullptr;
}

ExpressionRef packed_constant(const Context& context, const ExpressionRef& dequantize) {
  const Form* form = form_of(dequantize->op);
  if (form == nullptr) return nullptr;
  const ExpressionRef values = expression_of(*dequantize, form->values);
  if (!values) return nullptr;
  const WeightView view = weight_view(context, values);
  if (view.core->op != "constant" || view.layout.count() != view.core->constant.layout.count()) {
    return nullptr;
  }
  return view.layout.contiguous() ? view.core : nullptr;
}

std::shared_ptr<Q4Rows> quantized_rows(Context& context, const ExpressionRef& dequantize,
                                       std::string* reason) {
  const Form& form = *form_of(dequantize->op);
  const bool packed = dequantize->op == kUnpackOp;
  const ExpressionRef constant = packed_constant(context, dequantize);
  if (!constant || constant->constant.dims().size() != 2) {
    *reason = "is no matrix that lies in the file";
    return nullptr;
  }
  const Expression& e = *dequantize;
  const ExpressionRef scales = expression_of(e, form.scales);
  if (!scales || scales->varies) {
    *reason = "has scales that are no constant";
    return nullptr;
  }
  Dims dims = constant->constant.dims();
  if (packed) dims[1] *= 2;
  const Numbers& scale_numbers = context.numbers(scales);
  if (!range_fits(context, e, form, reason) || !type_fits(e, form, reason)) return nullptr;
  const std::optional<int64_t> group =
      group_of(context, e, dims, scale_numbers.layout.count(), reason);
  if (!group || !zero_points_are_zero(context, e, form, reason)) return nullptr;
  if (scale_numbers.layout.count() != dims[0] * (dims[1] / *group)) {
    *reason = fmt::format("has scales of sizes {} for [{}, {}] in groups of {}",
                          text_of(scale_numbers.dims()), dims[0], dims[1], *group);
    return nullptr;
  }
  auto rows = std::make_shared<Q4Rows>();
  rows->rows = static_cast<uint32_t>(dims[0]);
  rows->columns = static_cast<uint32_t>(dims[1]);
  rows->group_size = static_cast<uint32_t>(*group);
  rows->embedding_order = packed;
  rows->name = constant->name;
  if (stored_group_size(rows->group_size, rows->columns) == 0) {
    *reason = fmt::format("has groups of {}; multiples of 8 are supported", *group);
    return nullptr;
  }
  if (!read_values(constant->constant, packed, &rows->values, reason)) return nullptr;
  for (const double scale : scale_numbers.values())
    rows->scales.push_back(static_cast<float>(scale));
  return rows;
}

void claim_layout(Context& context, const ExpressionRef& constant, const std::string& layout) {
  const auto [found, added] = context.layouts.try_emplace(constant->name, layout);
  if (added || found->second == layout) return;
  throw NodeError(fmt::format("reads {} as {}, where another op reads it as {}", constant->name,
                              layout, found->second));
}

}  // namespace nbl::compiler::pt2
