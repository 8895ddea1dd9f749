// The families of chat templates: how each is recognised, and its table.
//
// Source   the formats as their publishers describe them, and the chat_template of the models named
//          in docs/models.md.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "compiler/chat/chat_format.h"
#include "compiler/chat/template_text.h"
#include "compiler/error.h"

namespace nbl::compiler {
namespace {

struct Context {
  const TemplateText& text;
  const TokenizerData& tokenizer;
  std::string bos, eos;  // the pieces, or empty

  // BOS, where the template writes it or every text of the model gets it.
  std::string start() const {
    const bool written = text.has("bos_token") || (!bos.empty() && text.has(bos));
    return written || tokenizer.add_bos ? bos : std::string();
  }
};

constexpr uint32_t kTrimSystem = kChatTrimLeft | kChatTrimRight;
constexpr uint32_t kTrimUser = kTrimSystem << 2;
constexpr uint32_t kTrimAssistant = kTrimSystem << 4;

// The content of a message, white space cut off: {{ message['content'] | trim }}.
constexpr const char* kTrimmedContent =
    R"((\[['"]content['"]\]|[. (]content)[ ]{0,9}(\|[ ]{0,9}trim|\.strip\(\)))";

ChatFormat make(const std::string& start, std::vector<std::string> controls, uint32_t flags = 0) {
  ChatFormat format;
  format.text(ChatText::start) = start;
  format.controls = std::move(controls);
  format.flags = flags;
  return format;
}

void set_turns(ChatFormat* f, const std::array<std::string, 2>& system,
               const std::array<std::string, 2>& user,
               const std::array<std::string, 2>& assistant) {
  f->text(ChatText::system_before) = system[0];
  f->text(ChatText::system_after) = system[1];
  f->text(ChatText::user_before) = user[0];
  f->text(ChatText::user_before_after_system) = user[0];
  f->text(ChatText::user_after) = user[1];
  f->text(ChatText::assistant_before) = assistant[0];
  f->text(ChatText::assistant_after) = assistant[1];
}

// The answer is opened by `open`; `close` is what its turn has behind its end.
void set_answer(ChatFormat* f, const std::string& open, const std::string& close,
                const std::string& end = {}) {
  std::string& after = f->text(ChatText::assistant_after);
  after.resize(after.size() - close.size());
  f->text(ChatText::open) = open;
  f->text(ChatText::close) = close;
  f->end = end;
}

// A system text goes in front of the first user's, in its turn.
void set_system_in_user(ChatFormat* f, const std::string& before, const std::string& after) {
  f->text(ChatText::system_before) = before;
  f->text(ChatText::system_after) = after;
  f->text(ChatText::user_before_after_system) = "";
}

ChatFormat chatml(const Context& c) {
  ChatFormat f = make(c.start(), {"<|im_start|>", "<|im_end|>"});
  const auto turn = [](const char* role) {
    return std::array<std::string, 2>{fmt::format("<|im_start|>{}\n", role), "<|im_end|>\n"};
  };
  set_turns(&f, turn("system"), turn("user"), turn("assistant"));
  set_answer(&f, "<|im_start|>assistant\n", "\n", "<|im_end|>");
  if (c.text.has_match(kTrimmedContent)) f.flags = kTrimSystem | kTrimUser | kTrimAssistant;
  if (const auto system = c.text.between("<|im_start|>system\n", "<|im_end|>\n")) {
    f.text(ChatText::default_system) = fmt::format("<|im_start|>system\n{}<|im_end|>\n", *system);
  }
  return f;
}

// The answer begins behind an empty thought, which the template writes for enable_thinking=false.
ChatFormat qwen3(const Context& c) {
  ChatFormat f = chatml(c);
  f.flags = 0;
  f.text(ChatText::open) += "<think>\n\n</think>\n\n";
  return f;
}

// The model thinks first. Where the template opens the thought, it is open.
ChatFormat qwen3_thinking(const Context& c) {
  ChatFormat f = chatml(c);
  f.flags = 0;
  if (c.text.has("<|im_start|>assistant\n<think>\n'") ||
      c.text.has("<|im_start|>assistant\n<think>\n\"")) {
    f.text(ChatText::open) += "<think>\n";
  }
  return f;
}

ChatFormat phi4(const Context& c) {
  ChatFormat f = make(c.start(), {"<|im_start|>", "<|im_sep|>", "<|im_end|>"});
  const auto turn = [](const char* role) {
    return std::array<std::string, 2>{fmt::format("<|im_start|>{}<|im_sep|>", role), "<|im_end|>"};
  };
  set_turns(&f, turn("system"), turn("user"), turn("assistant"));
  set_answer(&f, "<|im_start|>assistant<|im_sep|>", "", "<|im_end|>");
  return f;
}

ChatFormat llama3(const Context& c) {
  ChatFormat f = make(c.bos, {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
                      kTrimSystem | kTrimUser | kTrimAssistant);
  const auto turn = [](const char* role) {
    return std::array<std::string, 2>{
        fmt::format("<|start_header_id|>{}<|end_header_id|>\n\n", role), "<|eot_id|>"};
  };
  set_turns(&f, turn("system"), turn("user"), turn("assistant"));
  set_answer(&f, turn("assistant")[0], "", "<|eot_id|>");
  return f;
}

// As llama3, with a system turn that always says two dates. Today's is the one that the template
// falls back to: a device may have no clock, and the same text gives the same tokens.
ChatFormat llama3_1(const Context& c) {
  ChatFormat f = llama3(c);
  const std::string cutoff =
      c.text.between("Cutting Knowledge Date: ", "\n").value_or("December 2023");
  const std::string today = c.text.between("date_string = \"", "\"").value_or("26 Jul 2024");
  f.text(ChatText::system_before) +=
      fmt::format("Cutting Knowledge Date: {}\nToday Date: {}\n\n", cutoff, today);
  f.text(ChatText::default_system) =
      f.text(ChatText::system_before) + f.text(ChatText::system_after);
  return f;
}

// The publisher's text has no system role; Gemma 3's template puts one in front of the user's text.
ChatFormat gemma(const Context& c) {
  ChatFormat f = make(c.bos, {"<start_of_turn>", "<end_of_turn>"}, kTrimUser | kTrimAssistant);
  const std::string user = "<start_of_turn>user\n";
  set_turns(&f, {}, {user, "<end_of_turn>\n"}, {"<start_of_turn>model\n", "<end_of_turn>\n"});
  set_system_in_user(&f, user, "\n\n");
  set_answer(&f, "<start_of_turn>model\n", "\n", "<end_of_turn>");
  return f;
}

// Phi-4-mini writes no line ends.
ChatFormat phi3(const Context& c) {
  ChatFormat f = make(c.start(), {"<|user|>", "<|assistant|>", "<|end|>"});
  const bool lines = !c.text.has("<|end|>") || c.text.has("<|end|>\n");
  const std::string line = lines ? "\n" : "";
  const auto turn = [&](const char* role) {
    return std::array<std::string, 2>{fmt::format("<|{}|>{}", role, line), "<|end|>" + line};
  };
  set_turns(&f, turn("system"), turn("user"), turn("assistant"));
  set_answer(&f, turn("assistant")[0], line, "<|end|>");
  const std::string system = "<|system|>";  // the first versions had none
  if (std::ranges::find(c.tokenizer.pieces, system) != c.tokenizer.pieces.end()) {
    f.controls.push_back(system);
  }
  // GGUF files do not say that the tokens of this vocabulary take the line ends behind them.
  if (c.tokenizer.kind == TokenizerKind::spm && c.tokenizer.strips.empty()) {
    for (const std::string& piece : f.controls)
      f.strips[piece] = kStripsRight;
  }
  return f;
}

// <|user|> and the others are text; the vocabulary's end of text ends each turn.
ChatFormat zephyr(const Context& c) {
  ChatFormat f = make(c.start(), {c.eos});
  const bool lines = !c.text.has("eos_token") ||
                     c.text.has_match("eos_token[ ]{0,9}(\\}\\}\n|\\+[ ]{0,9}['\"]\n)");
  const std::string line = lines ? "\n" : "";
  const auto turn = [&](const char* role) {
    return std::array<std::string, 2>{fmt::format("<|{}|>\n", role), c.eos + line};
  };
  set_turns(&f, turn("system"), turn("user"), turn("assistant"));
  set_answer(&f, turn("assistant")[0], line);
  return f;
}

ChatFormat llama2(const Context& c) {
  ChatFormat f = make("", {c.bos, c.eos}, kTrimUser | kTrimAssistant | kChatKeepLeftAfterSystem);
  set_turns(&f, {}, {c.bos + "[INST] ", " [/INST]"}, {" ", " " + c.eos});
  set_system_in_user(&f, c.bos + "[INST] <<SYS>>\n", "\n<</SYS>>\n\n");
  set_answer(&f, "", "");
  return f;
}

// The spaces around the markers differ from version to version and are the template's. A system
// text without markers of its own goes in front of the first user's.
ChatFormat mistral(const Context& c) {
  // ' ' + message['content'] | trim + eos_token + ' '
  constexpr const char* kAnswer =
      R"((['"]([ ]?)['"][ ]{0,9}\+[ ]{0,9})?(message\[['"]content['"]\]|message\.content|content)[ ]{0,9})"
      R"((\|[ ]{0,9}trim)?[ ]{0,9}\+[ ]{0,9}eos_token([ ]{0,9}\+[ ]{0,9}['"]([ ]?)['"])?)";
  ChatFormat f = make(c.bos, {c.bos, c.eos});
  const std::string before = c.text.literal_with("[INST]").value_or("[INST] ");
  const std::string after = c.text.literal_with("[/INST]").value_or(" [/INST]");
  const std::string answer_after = c.eos + c.text.group(kAnswer, 6).value_or("");
  set_turns(&f, {}, {before, after}, {c.text.group(kAnswer, 2).value_or(" "), answer_after});
  set_answer(&f, "", answer_after.substr(c.eos.size()));
  if (!c.text.group(kAnswer, 4).value_or("").empty()) f.flags = kTrimAssistant;
  if (const auto system = c.text.literal_with("[SYSTEM_PROMPT]")) {
    f.controls.insert(f.controls.end(), {"[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"});
    f.text(ChatText::system_before) = *system;
    f.text(ChatText::system_after) =
        c.text.literal_with("[/SYSTEM_PROMPT]").value_or("[/SYSTEM_PROMPT]");
  } else {
    set_system_in_user(&f, before, "\n\n");
  }
  return f;
}

constexpr const char* kDeepSeekUser = "<\uff5cUser\uff5c>";
constexpr const char* kDeepSeekAssistant = "<\uff5cAssistant\uff5c>";

// V2.5, V3 and R1, whose template opens a thought.
ChatFormat deepseek(const Context& c) {
  ChatFormat f = make(c.bos, {c.bos, kDeepSeekUser, kDeepSeekAssistant, c.eos});
  set_turns(&f, {"", ""}, {kDeepSeekUser, ""}, {kDeepSeekAssistant, c.eos});
  const bool thinks = c.text.has(kDeepSeekAssistant + std::string("<think>\n"));
  set_answer(&f, kDeepSeekAssistant + std::string(thinks ? "<think>\n" : ""), "");
  return f;
}

ChatFormat deepseek_llm(const Context& c) {
  ChatFormat f = make(c.bos, {c.bos, c.eos});
  set_turns(&f, {"", "\n\n"}, {"User: ", "\n\n"}, {"Assistant: ", c.eos});
  set_answer(&f, "Assistant:", "");
  return f;
}

ChatFormat deepseek_coder(const Context& c) {
  ChatFormat f = make(c.bos, {"<|EOT|>"});
  set_turns(&f, {"", ""}, {"### Instruction:\n", "\n"}, {"### Response:\n", "\n<|EOT|>\n"});
  set_answer(&f, "### Response:", "\n", "<|EOT|>");
  if (const auto system = c.text.literal_with("You are an AI programming assistant")) {
    f.text(ChatText::default_system) = *system;
  }
  return f;
}

struct Family {
  const char* name;
  ChatFormat (*make)(const Context&);
};

constexpr Family kFamilies[] = {{"llama2", llama2},
                                {"llama3", llama3},
                                {"llama3.1", llama3_1},
                                {"chatml", chatml},
                                {"qwen3", qwen3},
                                {"qwen3-thinking", qwen3_thinking},
                                {"gemma", gemma},
                                {"phi3", phi3},
                                {"phi4", phi4},
                                {"zephyr", zephyr},
                                {"mistral", mistral},
                                {"deepseek", deepseek},
                                {"deepseek-llm", deepseek_llm},
                                {"deepseek-coder", deepseek_coder}};

std::string piece_of(const TokenizerData& tokenizer, int32_t id) {
  return id < 0 ? std::string() : tokenizer.pieces[static_cast<size_t>(id)];
}

}  // namespace

std::string chat_family_names() {
  std::vector<std::string_view> names;
  for (const Family& family : kFamilies)
    names.emplace_back(family.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string recognise_chat(std::string_view chat_template) {
  const TemplateText t(chat_template);
  if (t.has("<|start_header_id|>")) {
    return t.has("Cutting Knowledge Date") ? "llama3.1" : "llama3";
  }
  // What is the day's is none of a table's.
  if (t.has("strftime_now")) return "";
  if (t.has("<|im_start|>") && t.has("<|im_sep|>")) return "phi4";
  if (t.has("<|im_start|>") && t.has("enable_thinking")) return "qwen3";
  if (t.has("<|im_start|>assistant\n<think>\n")) return "qwen3-thinking";
  if (t.has("<|im_start|>")) return "chatml";
  if (t.has("<start_of_turn>")) return "gemma";
  if (t.has(kDeepSeekUser) && t.has(kDeepSeekAssistant)) return "deepseek";
  const bool named_roles = t.has("<|user|>") || t.has("|>' + message") || t.has("'<|' + message");
  if (t.has("<|end|>") && named_roles && !t.has("<|channel|>")) return "phi3";
  if (t.has("[INST]")) return t.has("<<SYS>>") ? "llama2" : "mistral";
  if (t.has("### Instruction:") && t.has("<|EOT|>")) return "deepseek-coder";
  if (t.has("<|user|>") && t.has("<|assistant|>") && t.has("eos_token")) return "zephyr";
  if (t.has("'User: '") && t.has("'Assistant: '")) return "deepseek-llm";
  return "";
}

ChatFormat make_chat(const std::string& family, std::string_view chat_template,
                     const TokenizerData& tokenizer) {
  const TemplateText text(chat_template);
  const Context context{text, tokenizer, piece_of(tokenizer, tokenizer.bos),
                        piece_of(tokenizer, tokenizer.eos)};
  for (const Family& known : kFamilies) {
    if (family != known.name) continue;
    ChatFormat format = known.make(context);
    format.family = family;
    return format;
  }
  throw CompileError(fmt::format("there is no chat family {}; there are {}, and none", family,
                                 chat_family_names()));
}

}  // namespace nbl::compiler
