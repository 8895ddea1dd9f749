// What can be read off a chat template without running it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace nbl::compiler {

// Longer templates hold nothing, as far as this goes.
inline constexpr size_t kMaxTemplateBytes = size_t{1} << 18;

// A Jinja template with the escapes of its literals resolved and literals that are added to each
// other joined, so that what it writes can be looked for.
class TemplateText {
 public:
  explicit TemplateText(std::string_view chat_template);

  bool has(std::string_view text) const { return text_.find(text) != std::string::npos; }
  // Expressions bound their repetitions: the library's matcher calls itself for each.
  bool has_match(const char* expression) const;

  // What stands between `before` and `after` in one literal, the first time that both do.
  std::optional<std::string> between(std::string_view before, std::string_view after) const;
  // The whole literal around the first `text`.
  std::optional<std::string> literal_with(std::string_view text) const;
  // A group of the first match.
  std::optional<std::string> group(const char* expression, size_t index) const;

 private:
  std::string text_;
};

}  // namespace nbl::compiler
