// Could break: a conversation gets other tokens than the model was trained on. Every family is
// compared with its template as python3-jinja2 renders it, whole, and cut into tokens by a search
// for control pieces that is the test's own.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "compiler/chat/chat_format.h"
#include "compiler/emit/tokenizer_tables.h"
#include "compiler/eval/tokenize.h"
#include "rt/text/chat.h"
#include "rt/text/check.h"
#include "tests/compiler/chat/templates.h"
#include "tests/support/process.h"
#include "tests/support/temp_file.h"
#include "tests/support/vocab.h"

namespace {

using namespace nbl;
using namespace nbl::compiler;
using nlohmann::json;

struct Message {
  uint32_t role;
  std::string text;
};
using Conversation = std::vector<Message>;

struct Case {
  const char* name;
  const char* family;
  const char* chat_template;
  const char* vocabulary;
  std::vector<std::string> controls = {};  // added to the vocabulary
  json values = json::object();            // for the template
  bool system = true;
  bool add_bos = false;
  bool add_space_prefix = true;
  bool space_after_control = true;
  uint8_t strips = 0;  // of every added control piece
  uint8_t type = kPieceControl;
  bool forgets = false;          // how an answer began, once it is given
  bool text_before_end = false;  // of an answer, which is the template's
};

const Case kCases[] = {
    {.name = "llama2",
     .family = "llama2",
     .chat_template = test::kLlama2Template,
     .vocabulary = "llama-spm",
     .text_before_end = true},
    {"llama3", "llama3", test::kLlama3Template, "llama-bpe"},
    {"llama31", "llama3.1", test::kLlama31Template, "llama-bpe"},
    {"qwen25", "chatml", test::kQwen25Template, "gpt-2", {"<|im_start|>", "<|im_end|>"}},
    {"smollm2", "chatml", test::kSmolLm2Template, "gpt-2", {"<|im_start|>", "<|im_end|>"}},
    {"chatml", "chatml", test::kChatMlTemplate, "llama-spm", {"<|im_start|>", "<|im_end|>"}},
    {"trimmed", "chatml", test::kTrimmedChatMlTemplate, "gpt-2", {"<|im_start|>", "<|im_end|>"}},
    {.name = "qwen3",
     .family = "qwen3",
     .chat_template = test::kQwen3Template,
     .vocabulary = "gpt-2",
     .controls = {"<|im_start|>", "<|im_end|>"},
     .values = {{"enable_thinking", false}},
     .forgets = true},
    {.name = "qwen3thinking",
     .family = "qwen3-thinking",
     .chat_template = test::kQwen3ThinkingTemplate,
     .vocabulary = "gpt-2",
     .controls = {"<|im_start|>", "<|im_end|>"},
     .forgets = true},
    {.name = "gemma2",
     .family = "gemma",
     .chat_template = test::kGemma2Template,
     .vocabulary = "llama-spm",
     .controls = {"<start_of_turn>", "<end_of_turn>"},
     .system = false,
     .add_space_prefix = false},
    {.name = "gemma3",
     .family = "gemma",
     .chat_template = test::kGemma3Template,
     .vocabulary = "llama-spm",
     .controls = {"<start_of_turn>", "<end_of_turn>"},
     .add_space_prefix = false},
    {.name = "phi3",
     .family = "phi3",
     .chat_template = test::kPhi3Template,
     .vocabulary = "llama-spm",
     .controls = {"<|assistant|>", "<|system|>", "<|end|>", "<|user|>"},
     .strips = kStripsRight},
    {.name = "phi4mini",
     .family = "phi3",
     .chat_template = test::kPhi4MiniTemplate,
     .vocabulary = "gpt-2",
     .controls = {"<|assistant|>", "<|system|>", "<|end|>", "<|user|>"}},
    {.name = "phi4",
     .family = "phi4",
     .chat_template = test::kPhi4Template,
     .vocabulary = "gpt-2",
     .controls = {"<|im_start|>", "<|im_end|>", "<|im_sep|>"},
     .strips = kStripsLeft | kStripsRight},
    {.name = "zephyr",
     .family = "zephyr",
     .chat_template = test::kZephyrTemplate,
     .vocabulary = "llama-spm",
     .add_bos = true},
    {.name = "mistral1",
     .family = "mistral",
     .chat_template = test::kMistral1Template,
     .vocabulary = "llama-spm",
     .system = false},
    {.name = "mistral2",
     .family = "mistral",
     .chat_template = test::kMistral2Template,
     .vocabulary = "llama-spm",
     .system = false},
    {.name = "mistral3",
     .family = "mistral",
     .chat_template = test::kMistral3Template,
     .vocabulary = "llama-spm",
     .controls = {"[INST]", "[/INST]"},
     .space_after_control = false},
    {.name = "mistral7",
     .family = "mistral",
     .chat_template = test::kMistral7Template,
     .vocabulary = "gpt-2",
     .controls = {"[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"}},
    // The published vocabularies have them as tokens that any text may hold.
    {.name = "deepseek3",
     .family = "deepseek",
     .chat_template = test::kDeepSeek3Template,
     .vocabulary = "deepseek-coder",
     .controls = {"<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>"},
     .type = kPieceUser},
    {.name = "deepseekr1",
     .family = "deepseek",
     .chat_template = test::kDeepSeekR1Template,
     .vocabulary = "deepseek-coder",
     .controls = {"<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>"},
     .type = kPieceUser,
     .forgets = true},
    {"deepseekllm", "deepseek-llm", test::kDeepSeekLlmTemplate, "deepseek-coder"},
    {.name = "deepseekcoder",
     .family = "deepseek-coder",
     .chat_template = test::kDeepSeekCoderTemplate,
     .vocabulary = "deepseek-coder",
     .text_before_end = true},
};

TokenizerData vocabulary_of(const Case& c) {
  TokenizerData data = import_tokenizer(
      shared_path("tokenizers/ggml-vocab-" + std::string(c.vocabulary) + ".gguf"), 0);
  const bool spm = data.kind == TokenizerKind::spm;
  for (const std::string& piece : c.controls) {
    data.pieces.push_back(piece);
    data.types.push_back(c.type);
    if (spm) data.scores.push_back(0);
    if (c.strips != 0) data.strips[piece] = c.strips;
  }
  data.add_bos = c.add_bos;
  data.add_space_prefix = spm && c.add_space_prefix;
  data.space_after_control = c.space_after_control;
  data.chat_template = c.chat_template;
  return data;
}

std::string piece_of(const TokenizerData& data, int32_t id) {
  return id < 0 ? "" : data.pieces[static_cast<size_t>(id)];
}

// One or more words, numbers and marks, often with white space at either end.
std::string random_text(std::mt19937* random, bool bare = false) {
  static const std::vector<std::string> parts = {
      "Hello",        " there",     " 1234", "\n",     "\n\n",
      "  ",           "don't",      ", ",    ". ",     "\u00e9t\u00e9",
      "\u4f60\u597d", "\U0001f642", "<|im",  "user\n", "[INST",
      "###",          " a",         "?!"};
  static const std::vector<std::string> ends = {"", "", "", " ", "\n", "\n\n", "\t ", "\u00a0"};
  const auto pick = [&](const std::vector<std::string>& from) {
    return from[(*random)() % from.size()];
  };
  std::string text = (bare ? "" : pick(ends)) + "x";
  for (uint32_t i = (*random)() % 6; i > 0; --i)
    text += pick(parts);
  return text + "y" + (bare ? "" : pick(ends));
}

// Answers of the first half of every four have no white space at their ends: what opens an answer
// may otherwise be one token with it, which no model writes.
bool has_bare_answers(size_t index) {
  return index % 4 < 2;
}

std::vector<Conversation> conversations(bool with_system) {
  std::vector<Conversation> all;
  std::mt19937 random(7);
  for (uint32_t turns = 1; turns <= 5; ++turns) {
    for (uint32_t i = 0; i < 12; ++i) {
      Conversation conversation;
      if (with_system && i % 2 == 0) {
        // Where a template writes nothing behind it, its last word could join the next.
        conversation.push_back({kChatSystem, random_text(&random) + "\n"});
      }
      for (uint32_t turn = 0; turn < turns; ++turn) {
        if (turn > 0)
          conversation.push_back({kChatAssistant, random_text(&random, has_bare_answers(i))});
        conversation.push_back({kChatUser, random_text(&random)});
      }
      all.push_back(conversation);
    }
  }
  return all;
}

bool has_jinja() {
  return test::run_process({"/usr/bin/env", "python3", "-c", "import jinja2"}).status == 0;
}

std::vector<std::string> rendered(const Case& c, const TokenizerData& data,
                                  const std::vector<Conversation>& all) {
  static const char* const kRoles[] = {"system", "user", "assistant"};
  json tasks = json::array();
  for (const Conversation& conversation : all) {
    json messages = json::array();
    for (const Message& message : conversation)
      messages.push_back({{"role", kRoles[message.role]}, {"content", message.text}});
    json values = c.values;
    values["bos_token"] = piece_of(data, data.bos);
    values["eos_token"] = piece_of(data, data.eos);
    tasks.push_back({{"template", c.chat_template},
                     {"messages", messages},
                     {"open", true},
                     {"values", values}});
  }
  const test::TempFile file(tasks.dump(), ".json");
  const test::ProcessResult result =
      test::run_process({"/usr/bin/env", "python3",
                         NIBBLE_SOURCE_DIR "/tests/compiler/chat/render.py", file.path().string()});
  if (result.status != 0) throw std::runtime_error(result.err);
  return json::parse(result.out).get<std::vector<std::string>>();
}

// A text in which every control piece counts, as Hugging Face's tokenizers take it.
std::vector<uint32_t> with_controls(const TokenizerData& data, const TokenizerTables& tables,
                                    std::string text) {
  std::vector<uint32_t> ids;
  if (data.add_bos && !text.starts_with(piece_of(data, data.bos))) {
    ids.push_back(static_cast<uint32_t>(data.bos));
  }
  std::vector<uint32_t> controls;
  for (uint32_t id = 0; id < data.pieces.size(); ++id) {
    const bool added = data.types[id] == kPieceControl || data.types[id] == kPieceUser;
    if (added && !data.pieces[id].empty()) controls.push_back(id);
  }
  bool first = ids.empty();
  bool strip = false;
  const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  const auto strip_left = [&](std::string* part) {
    for (;;) {
      if (!part->empty() && is_space(part->front())) {
        part->erase(0, 1);
      } else if (part->starts_with("\u00a0")) {
        part->erase(0, 2);
      } else {
        return;
      }
    }
  };
  const auto strip_right = [&](std::string* part) {
    for (;;) {
      if (!part->empty() && is_space(part->back())) {
        part->pop_back();
      } else if (part->ends_with("\u00a0")) {
        part->resize(part->size() - 2);
      } else {
        return;
      }
    }
  };
  for (;;) {
    size_t at = text.size();
    uint32_t best = 0;
    for (const uint32_t id : controls) {
      const size_t found = text.find(data.pieces[id]);
      const bool longer = found == at && data.pieces[id].size() > data.pieces[best].size();
      if (found < at || longer) {
        at = found;
        best = id;
      }
    }
    std::string part = text.substr(0, at);
    if (strip) strip_left(&part);
    const auto strips = data.strips.find(data.pieces[best]);
    const uint8_t sides = at < text.size() && strips != data.strips.end() ? strips->second : 0;
    if ((sides & kStripsLeft) != 0) strip_right(&part);
    if (!part.empty()) {
      TokenizerTables part_tables = tables;
      part_tables.add_space_prefix &= first || data.space_after_control;
      for (const uint32_t id : tokenize(part_tables, part, {}))
        ids.push_back(id);
    }
    if (at == text.size()) return ids;
    ids.push_back(best);
    text.erase(0, at + data.pieces[best].size());
    strip = (sides & kStripsRight) != 0;
    first = false;
  }
}

// The tokens of one turn.
std::vector<uint32_t> turn_of(const TokenizerTables& tables, const ChatTable& table,
                              ChatState* state, const Message& message, uint32_t options) {
  std::vector<std::byte> scratch(chat_scratch_bytes(table.bytes, message.text.size()));
  std::vector<uint32_t> turn(table.bytes + 3 * message.text.size() + 16);
  size_t count = 0;
  Error error;
  const Status status = chat_turn(tables, table, state, message.role, message.text, options,
                                  scratch, turn, &count, &error);
  EXPECT_TRUE(status.ok()) << code_name(status.code());
  turn.resize(count);
  return turn;
}

void append(std::vector<uint32_t>* ids, const std::vector<uint32_t>& more) {
  ids->insert(ids->end(), more.begin(), more.end());
}

std::vector<uint32_t> by_table(const TokenizerTables& tables, const ChatTable& table,
                               const Conversation& conversation) {
  std::vector<uint32_t> ids;
  ChatState state{};
  for (const Message& message : conversation) {
    const bool last = &message == &conversation.back();
    append(&ids, turn_of(tables, table, &state, message, last ? kChatOpen : 0));
  }
  return ids;
}

std::string spelled(const TokenizerData& data, const std::vector<uint32_t>& ids) {
  std::string text;
  for (const uint32_t id : ids)
    text += "{" + data.pieces[id] + "}";
  return text;
}

// As in a session: answers are not written by the table but come from elsewhere, here from the
// template's tokens, with the token that ends them or without it.
std::vector<uint32_t> in_session(const TokenizerTables& tables, const ChatTable& table,
                                 const Conversation& conversation,
                                 const std::vector<uint32_t>& expected, uint32_t end, bool cut) {
  std::vector<uint32_t> ids;
  ChatState state{};
  for (const Message& message : conversation) {
    if (message.role == kChatAssistant) {
      while (ids.size() < expected.size() && expected[ids.size()] != end)
        ids.push_back(expected[ids.size()]);
      if (!cut) ids.push_back(end);
      continue;
    }
    const uint32_t open = message.role == kChatUser ? kChatOpen : 0;
    append(&ids, turn_of(tables, table, &state, message, open | (cut ? kChatCut : 0)));
  }
  return ids;
}

class RenderedChat : public testing::TestWithParam<Case> {};

TEST_P(RenderedChat, has_the_tokens_of_its_template) {
  const Case& c = GetParam();
  if (!std::filesystem::exists(shared_path("tokenizers"))) GTEST_SKIP() << "no vocabularies here";
  if (!has_jinja()) GTEST_SKIP() << "python3-jinja2 is not installed";
  TokenizerData data = vocabulary_of(c);
  ASSERT_EQ(recognise_chat(c.chat_template), c.family);
  std::vector<uint32_t> stops;
  const ChatChoice chat = choose_chat("", &data, &stops);
  ASSERT_TRUE(chat.format) << chat.note;
  EXPECT_EQ(stops.size(), 1u);
  const ChatTable table = chat_table(*chat.format);
  const TokenizerVectors vectors = tokenizer_vectors(data);
  const TokenizerTables tables = checked_tables(data, vectors);

  const std::vector<Conversation> all = conversations(c.system);
  const std::vector<std::string> texts = rendered(c, data, all);
  ASSERT_EQ(texts.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    const std::vector<uint32_t> expected = with_controls(data, tables, texts[i]);
    const std::vector<uint32_t> ids = by_table(tables, table, all[i]);
    ASSERT_EQ(ids, expected) << texts[i] << "\n--- table\n"
                             << spelled(data, ids) << "\n--- template\n"
                             << spelled(data, expected);
    if (c.forgets || !has_bare_answers(i)) continue;
    const uint32_t end = stops[0];
    const std::vector<uint32_t> live = in_session(tables, table, all[i], expected, end, false);
    ASSERT_EQ(live, expected) << spelled(data, live) << "\n--- template\n"
                              << spelled(data, expected);
    if (c.text_before_end) continue;
    const std::vector<uint32_t> cut = in_session(tables, table, all[i], expected, end, true);
    ASSERT_EQ(cut, expected) << spelled(data, cut) << "\n--- template\n" << spelled(data, expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, RenderedChat, testing::ValuesIn(kCases),
                         [](const auto& test_info) { return test_info.param.name; });

}  // namespace
