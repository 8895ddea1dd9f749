// Could break: a template is taken for another family's, a vocabulary lacks what the table needs,
// or a file's template is not found.
#include "compiler/chat/chat_format.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "compiler/error.h"
#include "rt/text/check.h"
#include "tests/compiler/chat/templates.h"
#include "tests/support/chat_model.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/process.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tokenizer_json.h"

namespace nbl::compiler {
namespace {

TokenizerData vocabulary(const std::vector<std::string>& controls, std::string chat_template) {
  TokenizerData data;
  data.pieces = {"<unk>", "<s>", "</s>", "a"};
  data.types = {kPieceUnknown, kPieceControl, kPieceControl, kPieceNormal};
  data.scores = {0, 0, 0, 0};
  data.bos = 1;
  data.eos = 2;
  for (const std::string& piece : controls) {
    data.pieces.push_back(piece);
    data.types.push_back(kPieceUser);
    data.scores.push_back(0);
  }
  data.chat_template = std::move(chat_template);
  return data;
}

std::string error_of(const std::string& family, TokenizerData data) {
  std::vector<uint32_t> stops;
  try {
    choose_chat(family, &data, &stops);
  } catch (const CompileError& error) {
    return error.what();
  }
  return "";
}

TEST(ChatFamilies, unknown_templates_give_a_note_and_no_table) {
  for (const char* text :
       {"{% for m in messages %}{{ m['content'] }}{% endfor %}", "no template at all",
        "{{ '<|start|>' + message.role + '<|message|>' }}{{ '<|end|>' }}{{ '<|channel|>' }}",
        "{{ '<|im_start|>system\\nToday is ' + strftime_now('%d %B %Y') }}"}) {
    EXPECT_EQ(recognise_chat(text), "") << text;
    TokenizerData data = vocabulary({}, text);
    std::vector<uint32_t> stops;
    const ChatChoice choice = choose_chat("", &data, &stops);
    EXPECT_FALSE(choice.format);
    EXPECT_NE(choice.note.find("no family that nibble knows"), std::string::npos) << choice.note;
    EXPECT_TRUE(stops.empty());
  }
  TokenizerData data = vocabulary({}, "");
  std::vector<uint32_t> stops;
  EXPECT_FALSE(choose_chat("", &data, &stops).format);
  EXPECT_EQ(choose_chat("", &data, &stops).note, "");
}

TEST(ChatFamilies, a_family_can_be_asked_for_whatever_the_template) {
  TokenizerData data = vocabulary({"<|im_start|>", "<|im_end|>"}, "no template");
  std::vector<uint32_t> stops = {2};
  const ChatChoice choice = choose_chat("chatml", &data, &stops);
  ASSERT_TRUE(choice.format);
  EXPECT_EQ(choice.format->text(ChatText::user_before), "<|im_start|>user\n");
  EXPECT_EQ(stops, (std::vector<uint32_t>{2, 5}));
  // No text of a user's holds them from now on.
  EXPECT_EQ(data.types[4], kPieceControl);
  EXPECT_EQ(data.types[5], kPieceControl);
  TokenizerData silent = vocabulary({"<|im_start|>", "<|im_end|>"}, test::kChatMlTemplate);
  EXPECT_FALSE(choose_chat("none", &silent, &stops).format);
  EXPECT_EQ(silent.types[4], kPieceUser);
}

TEST(ChatFamilies, what_is_missing_is_named) {
  EXPECT_EQ(error_of("chatm", vocabulary({}, "")).rfind("there is no chat family chatm; ", 0), 0u);
  EXPECT_EQ(error_of("chatml", vocabulary({"<|im_start|>"}, "")),
            "a chat of the family chatml needs the token <|im_end|>, which the vocabulary lacks");
  TokenizerData endless = vocabulary({}, "");
  endless.eos = -1;
  EXPECT_EQ(error_of("zephyr", endless),
            "a chat of the family zephyr needs the token that ends a text, which the vocabulary "
            "lacks");
  // By its template alone the model is compiled nevertheless.
  TokenizerData data = vocabulary({}, test::kChatMlTemplate);
  std::vector<uint32_t> stops;
  const ChatChoice choice = choose_chat("", &data, &stops);
  EXPECT_FALSE(choice.format);
  EXPECT_NE(choice.note.find("the model cannot chat"), std::string::npos) << choice.note;
  const std::string endless_text(5000, 'x');
  EXPECT_EQ(error_of("chatml",
                     vocabulary({"<|im_start|>", "<|im_end|>"},
                                "{{ '<|im_start|>system\\n" + endless_text + "<|im_end|>\\n' }}"))
                .rfind("the texts of the chat template have 5", 0),
            0u);
}

// Whatever a template holds, it has a family and a table, or not.
TEST(ChatFamilies, damaged_templates_do_no_harm) {
  const char* const templates[] = {test::kLlama31Template, test::kQwen25Template,
                                   test::kMistral3Template, test::kZephyrTemplate,
                                   test::kDeepSeekCoderTemplate};
  const auto try_all = [](const std::string& text) {
    TokenizerData data = vocabulary({"<|im_start|>", "<|im_end|>", "<|EOT|>"}, text);
    std::vector<uint32_t> stops;
    const ChatChoice choice = choose_chat("", &data, &stops);
    EXPECT_TRUE(choice.format || !choice.note.empty() || text.empty());
    for (const char* family : {"mistral", "zephyr", "chatml", "deepseek-coder"})
      make_chat(family, text, data);
  };
  for (const std::string whole : templates) {
    for (size_t size = 0; size < whole.size(); size += 17)
      try_all(whole.substr(0, size));
    for (size_t at = 0; at < whole.size(); at += 13) {
      std::string text = whole;
      text[at] = static_cast<char>(text[at] ^ (at % 2 == 0 ? 0x80 : 0x05));
      try_all(text);
    }
  }
  // The matcher of the library calls itself for each repetition.
  for (const char* part : {" ", "\n", "'+'", "message['content'] ", "eos_token ", "\\n", "|trim"}) {
    std::string text = "'[INST] ' + message['content']'";
    while (text.size() < 200000)
      text += part;
    try_all(text);
  }
  EXPECT_EQ(recognise_chat(std::string(1 << 20, ' ') + test::kChatMlTemplate), "");
}

// As old GGUF files have them: nothing says that Phi 3's tokens take line ends.
TEST(ChatFamilies, phi3_drops_line_ends_where_only_its_family_tells) {
  const std::vector<std::string> controls = {"<|user|>", "<|assistant|>", "<|end|>"};
  TokenizerData data = vocabulary(controls, test::kPhi3Template);
  std::vector<uint32_t> stops;
  const ChatChoice choice = choose_chat("", &data, &stops);
  ASSERT_TRUE(choice.format);
  EXPECT_EQ(choice.format->text(ChatText::user_before), "<|user|>");
  EXPECT_EQ(choice.format->text(ChatText::user_after), "<|end|>");
  EXPECT_EQ(choice.format->text(ChatText::close), "");
  EXPECT_EQ(choice.format->flags & kChatTrimLeft << 2, kChatTrimLeft << 2);
}

TEST(ChatTemplates, come_from_every_kind_of_file) {
  const std::string text = test::kSmolLm2Template;
  using nlohmann::json;
  const json tokenizer = {
      {"model", {{"type", "BPE"}, {"vocab", {{"a", 0}}}, {"merges", json::array()}}},
      {"pre_tokenizer", test::byte_level(true)}};
  const auto read = [&](const json& config, const char* file_text) {
    const test::TempFolder folder;
    folder.write("tokenizer.json", tokenizer.dump());
    if (!config.is_null()) folder.write("tokenizer_config.json", config.dump());
    if (file_text != nullptr) folder.write("chat_template.jinja", file_text);
    return import_tokenizer(folder.path(), 0).chat_template;
  };
  EXPECT_EQ(read(nullptr, nullptr), "");
  EXPECT_EQ(read({{"chat_template", nullptr}}, nullptr), "");
  EXPECT_EQ(read({{"chat_template", text}}, nullptr), text);
  EXPECT_EQ(read({{"chat_template",
                   {{{"name", "tool_use"}, {"template", "other"}},
                    {{"name", "default"}, {"template", text}}}}},
                 nullptr),
            text);
  EXPECT_EQ(read({{"chat_template", text}}, "its own"), "its own");
  EXPECT_EQ(read(nullptr, "its own"), "its own");
  EXPECT_THROW(read({{"chat_template", 7}}, nullptr), ImportError);
}

}  // namespace
}  // namespace nbl::compiler
