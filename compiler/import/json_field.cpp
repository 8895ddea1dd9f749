#include "compiler/import/json_field.h"

#include <fmt/format.h>

#include <limits>

#include "compiler/import/checkpoint.h"

namespace nbl::compiler {

void JsonField::fail(std::string_view what) const {
  throw ImportError(fmt::format("{}: {} {}", *source_, place_, what));
}

bool JsonField::has(std::string_view key) const {
  if (!value_->is_object()) return false;
  const auto found = value_->find(key);
  return found != value_->end() && !found->is_null();
}

JsonField JsonField::at(std::string_view key) const {
  if (!value_->is_object()) fail(fmt::format("is {}, not an object", value_->type_name()));
  const auto found = value_->find(key);
  if (found == value_->end()) fail(fmt::format("has no \"{}\"", key));
  return {*source_, *found, fmt::format("{}.{}", place_, key)};
}

std::vector<std::pair<std::string, JsonField>> JsonField::members() const {
  if (!value_->is_object()) fail(fmt::format("is {}, not an object", value_->type_name()));
  std::vector<std::pair<std::string, JsonField>> all;
  for (const auto& [key, value] : value_->items()) {
    all.emplace_back(key, JsonField(*source_, value, fmt::format("{}[\"{}\"]", place_, key)));
  }
  return all;
}

std::pair<std::string, JsonField> JsonField::only() const {
  std::vector<std::pair<std::string, JsonField>> all = members();
  if (all.size() != 1) fail(fmt::format("has {} members, one is wanted", all.size()));
  return std::move(all[0]);
}

std::vector<JsonField> JsonField::elements() const {
  if (!value_->is_array()) fail(fmt::format("is {}, not a list", value_->type_name()));
  std::vector<JsonField> all;
  all.reserve(value_->size());
  for (size_t i = 0; i < value_->size(); ++i) {
    all.emplace_back(*source_, (*value_)[i], fmt::format("{}[{}]", place_, i));
  }
  return all;
}

const std::string& JsonField::text() const {
  if (!value_->is_string()) fail(fmt::format("is {}, not text", value_->type_name()));
  return value_->get_ref<const std::string&>();
}

int64_t JsonField::integer() const {
  constexpr uint64_t kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (!value_->is_number_integer()) {
    fail(fmt::format("is {}, not an integer", value_->type_name()));
  }
  if (value_->is_number_unsigned() && value_->get<uint64_t>() > kMost) {
    fail(fmt::format("is {}, which is more than {}", value_->get<uint64_t>(), kMost));
  }
  return value_->get<int64_t>();
}

double JsonField::real() const {
  if (value_->is_number()) return value_->get<double>();
  if (value_->is_string()) {
    if (text() == "Infinity") return std::numeric_limits<double>::infinity();
    if (text() == "-Infinity") return -std::numeric_limits<double>::infinity();
    if (text() == "NaN") return std::numeric_limits<double>::quiet_NaN();
  }
  fail(fmt::format("is {}, not a number", value_->type_name()));
}

bool JsonField::flag() const {
  if (!value_->is_boolean()) fail(fmt::format("is {}, not true or false", value_->type_name()));
  return value_->get<bool>();
}

}  // namespace nbl::compiler
