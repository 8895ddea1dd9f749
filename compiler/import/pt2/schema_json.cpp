#include "compiler/import/pt2/schema_json.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/import/pt2/symbolic.h"

namespace nbl::compiler::pt2 {
namespace {

using std::string_view_literals::operator""sv;

std::string name_of(const JsonField& field) {
  const std::string& name = field.at("name").text();
  if (name.empty()) field.fail("is a value without a name");
  return name;
}

// A number, or a value of the graph by name.
Argument number_or_name(const JsonField& field) {
  const auto [kind, value] = field.only();
  if (kind == "as_name") return ValueName{value.text()};
  if (kind == "as_int") return value.integer();
  if (kind == "as_float") return value.real();
  if (kind == "as_bool") return value.flag();
  field.fail(fmt::format("is of the unknown kind {}", kind));
}

Argument integers_of(const JsonField& field, bool may_have_names) {
  std::vector<IntOrName> list;
  for (const JsonField& element : field.elements()) {
    if (!may_have_names) {
      list.push_back({element.integer(), ""});
      continue;
    }
    const Argument one = number_or_name(element);
    if (const auto* name = std::get_if<ValueName>(&one)) {
      list.push_back({0, name->name});
    } else if (const auto* value = std::get_if<int64_t>(&one)) {
      list.push_back({*value, ""});
    } else {
      element.fail("is no integer");
    }
  }
  return list;
}

// "" stands for None.
std::string optional_name(const JsonField& field) {
  const auto [kind, value] = field.only();
  if (kind == "as_none") return "";
  if (kind == "as_tensor") return name_of(value);
  field.fail(fmt::format("is of the unknown kind {}", kind));
}

Argument list_of(const std::string& kind, const JsonField& field) {
  if (kind == "as_ints") return integers_of(field, false);
  if (kind == "as_sym_ints") return integers_of(field, true);
  if (kind == "as_floats") {
    std::vector<double> list;
    for (const JsonField& element : field.elements())
      list.push_back(element.real());
    return list;
  }
  if (kind == "as_bools") {
    std::vector<bool> list;
    for (const JsonField& element : field.elements())
      list.push_back(element.flag());
    return list;
  }
  ValueNames names;
  for (const JsonField& element : field.elements()) {
    names.names.push_back(kind == "as_tensors" ? name_of(element) : optional_name(element));
  }
  return names;
}

}  // namespace

ScalarType scalar_type_of(const JsonField& field) {
  switch (field.integer()) {
    case 1:
      return ScalarType::uint8;
    case 2:
      return ScalarType::int8;
    case 3:
      return ScalarType::int16;
    case 4:
      return ScalarType::int32;
    case 5:
      return ScalarType::int64;
    case 6:
      return ScalarType::float16;
    case 7:
      return ScalarType::float32;
    case 8:
      return ScalarType::float64;
    case 12:
      return ScalarType::boolean;
    case 13:
      return ScalarType::bfloat16;
    default:
      return ScalarType::unknown;
  }
}

SymInt sym_int_of(const JsonField& field) {
  const auto [kind, value] = field.only();
  if (kind == "as_int") return {value.integer(), ""};
  if (kind != "as_expr") field.fail(fmt::format("is of the unknown kind {}", kind));
  SymInt result{-1, infix_of(value.at("expr_str").text())};
  if (result.expression.empty()) value.fail("is an expression without text");
  if (value.has("hint")) {
    const auto [hint_kind, hint] = value.at("hint").only();
    if (hint_kind == "as_int") result.value = hint.integer();
  }
  return result;
}

TensorMeta tensor_meta_of(const JsonField& field) {
  TensorMeta meta;
  meta.dtype = scalar_type_of(field.at("dtype"));
  for (const JsonField& size : field.at("sizes").elements())
    meta.sizes.push_back(sym_int_of(size));
  for (const JsonField& stride : field.at("strides").elements())
    meta.strides.push_back(sym_int_of(stride));
  if (meta.sizes.size() != meta.strides.size()) {
    field.fail(fmt::format("has {} sizes and {} strides", meta.sizes.size(), meta.strides.size()));
  }
  return meta;
}

Argument argument_of(const JsonField& field) {
  const auto [kind, value] = field.only();
  const auto is_one_of = [&kind = kind](std::initializer_list<std::string_view> kinds) {
    return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
  };
  if (is_one_of({"as_none"sv, "as_memory_format"sv, "as_layout"sv, "as_device"sv})) return None{};
  if (kind == "as_tensor") return ValueName{name_of(value)};
  if (kind == "as_int") return value.integer();
  if (kind == "as_float") return value.real();
  if (kind == "as_bool") return value.flag();
  if (is_one_of({"as_string"sv, "as_operator"sv})) return value.text();
  if (kind == "as_scalar_type") return scalar_type_of(value);
  if (is_one_of({"as_sym_int"sv, "as_sym_float"sv, "as_sym_bool"sv})) return number_or_name(value);
  if (kind == "as_optional_tensor") {
    const std::string name = optional_name(value);
    return name.empty() ? Argument(None{}) : Argument(ValueName{name});
  }
  if (is_one_of({"as_ints"sv, "as_sym_ints"sv, "as_floats"sv, "as_bools"sv, "as_tensors"sv,
                 "as_optional_tensors"sv})) {
    return list_of(kind, value);
  }
  return Other{kind};
}

}  // namespace nbl::compiler::pt2
