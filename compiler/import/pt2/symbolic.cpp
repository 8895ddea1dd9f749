#include "compiler/import/pt2/symbolic.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace nbl::compiler::pt2 {
namespace {

constexpr int kMaxDepth = 64;

// Loosest first, as in Python; a call or a name binds tightest.
enum Binding { kComparison, kSum, kProduct, kPower, kAtom };

struct Text {
  std::string text;
  Binding binding = kAtom;
};

struct Operator {
  std::string_view name;
  std::string_view sign;
  Binding binding;
};
constexpr Operator kOperators[] = {
    {"Add", " + ", kSum},
    {"Mul", "*", kProduct},
    {"FloorDiv", " // ", kProduct},
    {"CleanDiv", " // ", kProduct},
    {"Mod", " % ", kProduct},
    {"PythonMod", " % ", kProduct},
    {"Pow", "**", kPower},
    {"PowByNatural", "**", kPower},
    {"GreaterThan", " >= ", kComparison},
    {"LessThan", " <= ", kComparison},
    {"StrictGreaterThan", " > ", kComparison},
    {"StrictLessThan", " < ", kComparison},
    {"Equality", " == ", kComparison},
    {"Unequality", " != ", kComparison},
};

bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::optional<Text> whole() {
    std::optional<Text> result = term(0);
    if (at_ != text_.size()) return std::nullopt;
    return result;
  }

 private:
  bool accept(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string_view name() {
    const size_t start = at_;
    while (at_ < text_.size() && is_name(text_[at_]))
      ++at_;
    return text_.substr(start, at_ - start);
  }
  std::string_view up_to(std::string_view ends) {
    const size_t end = std::min(text_.find_first_of(ends, at_), text_.size());
    const std::string_view part = text_.substr(at_, end - at_);
    at_ = end;
    return part;
  }

  // The inside of Integer(...) and its like, or the name in Symbol('...', ...).
  std::optional<Text> leaf(std::string_view kind) {
    Text leaf;
    if (kind == "Symbol") {
      if (!accept('\'')) return std::nullopt;
      leaf.text = up_to("'");
      up_to(")");
    } else {
      leaf.text = up_to("(),");
    }
    if (!accept(')') || leaf.text.empty()) return std::nullopt;
    return leaf;
  }

  std::optional<Text> term(int depth) {
    if (depth > kMaxDepth) return std::nullopt;
    const std::string_view head = name();
    if (head.empty() || !accept('(')) return std::nullopt;
    if (head == "Symbol" || head == "Integer" || head == "Float") return leaf(head);
    std::vector<Text> arguments;
    do {
      while (accept(' ')) {
      }
      std::optional<Text> argument = term(depth + 1);
      if (!argument) return std::nullopt;
      arguments.push_back(std::move(*argument));
    } while (accept(','));
    if (!accept(')')) return std::nullopt;
    return joined(head, arguments);
  }

  static Text joined(std::string_view head, const std::vector<Text>& arguments) {
    for (const Operator& op : kOperators) {
      if (op.name != head) continue;
      Text result{"", op.binding};
      for (const Text& argument : arguments) {
        if (&argument != &arguments.front()) result.text += op.sign;
        const bool loose =
            argument.binding < op.binding || (argument.binding == op.binding && op.binding != kSum);
        result.text += loose ? "(" + argument.text + ")" : argument.text;
      }
      return result;
    }
    Text result{std::string(head) + "(", kAtom};
    for (const Text& argument : arguments) {
      result.text += (&argument == &arguments.front() ? "" : ", ") + argument.text;
    }
    result.text += ")";
    return result;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::string infix_of(std::string_view expression) {
  const std::optional<Text> parsed = Parser(expression).whole();
  return parsed ? parsed->text : std::string(expression);
}

}  // namespace nbl::compiler::pt2
