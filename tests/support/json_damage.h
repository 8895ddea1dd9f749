// Documents with one value put in the place of another.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace nbl::test {

// Calls use(document) with every value, containers included, replaced by one of each kind in turn,
// and with every member of an object left out.
inline void for_each_damage(nlohmann::json document,
                            const std::function<void(const nlohmann::json&)>& use) {
  using nlohmann::json;
  std::vector<json::json_pointer> places;
  const std::function<void(const json&, const json::json_pointer&)> walk =
      [&](const json& value, const json::json_pointer& at) {
        places.push_back(at);
        if (!value.is_structured()) return;
        for (const auto& [key, member] : value.items())
          walk(member, value.is_array() ? at / std::stoul(key) : at / key);
      };
  walk(document, json::json_pointer());
  const json wrong[] = {nullptr,
                        true,
                        -1,
                        0,
                        3,
                        4294967296,
                        1e300,
                        0.5,
                        "",
                        "x",
                        json::array(),
                        json::array({1, "y"}),
                        json::object(),
                        json::object({{"type", "z"}})};
  for (const json::json_pointer& place : places) {
    const json right = document[place];
    for (const json& value : wrong) {
      document[place] = value;
      use(document);
    }
    document[place] = right;
    if (place.empty() || !document[place.parent_pointer()].is_object()) continue;
    document[place.parent_pointer()].erase(place.back());
    use(document);
    document[place] = right;
  }
}

}  // namespace nbl::test
