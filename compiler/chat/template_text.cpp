#include "compiler/chat/template_text.h"

#include <regex>

namespace nbl::compiler {
namespace {

constexpr std::string_view kQuotes = "'\"";

std::string without_escapes(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 1 < text.size();
    if (escape && text[i + 1] == 'n') {
      result += '\n';
      ++i;
    } else if (escape && text[i + 1] == '\\') {
      result += '\\';
      ++i;
    } else {
      result += text[i];
    }
  }
  return result;
}

}  // namespace

TemplateText::TemplateText(std::string_view chat_template)
    : text_(std::regex_replace(
          without_escapes(chat_template.size() <= kMaxTemplateBytes ? chat_template
                                                                    : std::string_view()),
          std::regex(R"((['"])[ \n]{0,40}\+[ \n]{0,40}\1)"), "")) {}

bool TemplateText::has_match(const char* expression) const {
  return std::regex_search(text_, std::regex(expression));
}

std::optional<std::string> TemplateText::between(std::string_view before,
                                                 std::string_view after) const {
  for (size_t at = text_.find(before); at != std::string::npos; at = text_.find(before, at + 1)) {
    const size_t begin = at + before.size();
    const size_t end = text_.find(after, begin);
    if (end == std::string::npos) return std::nullopt;
    std::string found = text_.substr(begin, end - begin);
    // An apostrophe within a literal in double quotes is taken for its end.
    if (found.find_first_of("'\"{}") == std::string::npos) return found;
  }
  return std::nullopt;
}

std::optional<std::string> TemplateText::literal_with(std::string_view text) const {
  const size_t at = text_.find(text);
  if (at == std::string::npos) return std::nullopt;
  const size_t begin = text_.find_last_of(kQuotes, at);
  if (begin == std::string::npos) return std::nullopt;
  const size_t end = text_.find(text_[begin], at + text.size());
  if (end == std::string::npos) return std::nullopt;
  return text_.substr(begin + 1, end - begin - 1);
}

std::optional<std::string> TemplateText::group(const char* expression, size_t index) const {
  std::smatch match;
  if (!std::regex_search(text_, match, std::regex(expression))) return std::nullopt;
  return match[index].str();
}

}  // namespace nbl::compiler
