#include "tests/fuzz/support/json_mutator.h"

#include <nlohmann/json.hpp>
#include <vector>

namespace nbl::fuzz {
namespace {

using nlohmann::json;

// dump() and the walk below recurse.
constexpr int kMostDepth = 64;

void collect(json* value, int depth, std::vector<json*>* out) {
  out->push_back(value);
  if (!value->is_structured() || depth == 0) return;
  for (json& member : *value)
    collect(&member, depth - 1, out);
}

json wrong_value(Dice* dice) {
  static const json kWrong[] = {nullptr,
                                true,
                                false,
                                -1,
                                0,
                                1,
                                3,
                                4294967296,
                                1e300,
                                -1e300,
                                0.5,
                                "",
                                "x",
                                json::array(),
                                json::object(),
                                INT64_MIN,
                                UINT64_MAX,
                                16777217,
                                json::array({1, "y"})};
  return kWrong[dice->below(std::size(kWrong))];
}

void change_number(json* value, Dice* dice) {
  if (value->is_number_float()) {
    static constexpr double kFactors[] = {0, -1, 0.5, 2, 1e-30, 1e30, 1e300};
    *value = value->get<double>() * kFactors[dice->below(std::size(kFactors))];
  } else {
    *value = static_cast<int64_t>(dice->number(value->get<uint64_t>()));
  }
}

void change_list(json* list, Dice* dice) {
  const size_t size = list->size();
  if (size == 0) return list->push_back(wrong_value(dice));
  const size_t at = dice->below(size);
  switch (dice->below(4)) {
    case 0:
      return list->push_back((*list)[at]);
    case 1:
      return list->erase(at);
    case 2:
      return std::swap((*list)[at], (*list)[dice->below(size)]);
    default: {
      // Twice all of it, sizes that nobody checked.
      json twice = *list;
      if (size < 64) twice.insert(twice.end(), list->begin(), list->end());
      *list = std::move(twice);
    }
  }
}

void change_object(json* object, const std::vector<json*>& all, Dice* dice) {
  if (object->empty()) {
    (*object)["x"] = wrong_value(dice);
    return;
  }
  auto at = object->begin();
  std::advance(at, static_cast<std::ptrdiff_t>(dice->below(object->size())));
  const std::string key = at.key();
  json value = at.value();
  switch (dice->below(4)) {
    case 0:
      object->erase(key);
      return;
    case 1: {
      // Under the name that stands elsewhere in the document.
      const json& other = *all[dice->below(all.size())];
      const std::string name = other.is_string() ? other.get<std::string>() : key + "x";
      object->erase(key);
      (*object)[name] = std::move(value);
      return;
    }
    case 2: {
      auto other = object->begin();
      std::advance(other, static_cast<std::ptrdiff_t>(dice->below(object->size())));
      std::swap(at.value(), other.value());
      return;
    }
    default:
      at.value() = wrong_value(dice);
  }
}

void change(json* document, Dice* dice) {
  std::vector<json*> all;
  collect(document, kMostDepth, &all);
  json* const value = all[dice->below(all.size())];
  if (dice->one_in(8)) {
    *value = wrong_value(dice);
  } else if (dice->one_in(6)) {
    *value = json(*all[dice->below(all.size())]);  // one from elsewhere
  } else if (value->is_number()) {
    change_number(value, dice);
  } else if (value->is_string()) {
    auto text = value->get<std::string>();
    mutate_bytes(&text, 0);
    *value = std::move(text);
  } else if (value->is_array()) {
    change_list(value, dice);
  } else if (value->is_object()) {
    change_object(value, all, dice);
  } else {
    *value = wrong_value(dice);
  }
}

}  // namespace

void mutate_json(std::string* text, size_t most, Dice* dice) {
  int depth = 0;
  int deepest = 0;
  for (const char c : *text) {
    depth += c == '[' || c == '{' ? 1 : c == ']' || c == '}' ? -1 : 0;
    deepest = std::max(deepest, depth);
  }
  json document;
  if (deepest <= kMostDepth) document = json::parse(*text, nullptr, false);
  if (dice->one_in(16) || !document.is_structured()) return mutate_bytes(text, most);
  for (size_t changes = 1 + dice->below(3); changes > 0; --changes)
    change(&document, dice);
  *text = document.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace nbl::fuzz
