// A place in a JSON document, which every complaint about its shape names.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nbl::compiler {

// Borrows  the document and the source's text.
// Errors   ImportError "<source>: <place> is ..., not ...".
class JsonField {
 public:
  JsonField(const std::string& source, const nlohmann::json& value, std::string place)
      : source_(&source), value_(&value), place_(std::move(place)) {}

  const std::string& place() const { return place_; }
  const std::string& source() const { return *source_; }
  const nlohmann::json& value() const { return *value_; }
  bool is_null() const { return value_->is_null(); }
  bool is_list() const { return value_->is_array(); }
  bool is_text() const { return value_->is_string(); }

  // A member of an object. has() is false where it is absent or null.
  bool has(std::string_view key) const;
  JsonField at(std::string_view key) const;
  std::vector<std::pair<std::string, JsonField>> members() const;
  // The one member of an object that is a union: {"as_int": 3}.
  std::pair<std::string, JsonField> only() const;

  std::vector<JsonField> elements() const;
  const std::string& text() const;
  int64_t integer() const;
  // Also "Infinity", "-Infinity" and "NaN", which JSON has no numbers for.
  double real() const;
  bool flag() const;

  // The error that something is wrong here: "<source>: <place> <what>".
  [[noreturn]] void fail(std::string_view what) const;

 private:
  const std::string* source_;
  const nlohmann::json* value_;
  std::string place_;
};

}  // namespace nbl::compiler
