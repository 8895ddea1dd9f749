// Could break: a chat table of a hostile file that load() takes leads a conversation past its
// memory, or one that load() refuses is refused without a reason.
#include <gtest/gtest.h>

#include "rt/text/chat.h"
#include "tests/support/chat_model.h"
#include "tests/support/fault_rig.h"
#include "tests/support/hostile_file.h"

namespace nbl {
namespace {

using test::AlignedBytes;
using test::HostileFile;

const AlignedBytes& good_file() {
  static const AlignedBytes file = test::chat_model(64);
  return file;
}

// Emitted with these texts, and without a tokenizer where asked to.
AlignedBytes file_with(const compiler::ChatFormat& format, bool tokenizer = true) {
  compiler::TokenizerData data = test::chat_vocabulary();
  const auto vocab = static_cast<uint32_t>(data.pieces.size());
  const compiler::Checkpoint checkpoint = test::small_llama({.layers = 1, .vocab = vocab});
  const compiler::Graph graph = compiler::make_graph(checkpoint, 64, 8, {});
  const test::TempFile file("", ".nbl");
  compiler::emit(graph, tokenizer ? &data : nullptr, {.chat = &format}, file.path());
  return test::read_file(file.path());
}

TEST(HostileChat, tables_that_lead_astray_are_refused_by_name) {
  const auto refused = [](HostileFile& file, const char* part) {
    file.fix();
    const std::string text = file.load_error();
    EXPECT_EQ(file.code(), Code::bad_tokenizer) << text;
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  HostileFile fewer(good_file());
  fewer.set_length(fewer.root()->chat_texts(), kChatTextCount - 1);
  refused(fewer, "chat text count is 10 (limit 11)");

  compiler::ChatFormat format;
  HostileFile alone(file_with(format, false));
  refused(alone, "chat text count is 0 (limit 11)");

  for (const uint32_t flags : {1u << 8, 1u << 31, ~0u}) {
    format.flags = flags;
    HostileFile strange(file_with(format));
    refused(strange, "chat flags");
  }
  format.flags = kChatFlagsEnd - 1;
  format.text(ChatText::default_system) = std::string(kMaxChatBytes - 3, 'x');
  format.text(ChatText::close) = "yyy";
  HostileFile longest(file_with(format));
  EXPECT_EQ(longest.load_error(), "");
  format.text(ChatText::assistant_after) = "z";
  HostileFile too_long(file_with(format));
  refused(too_long, "bytes of chat texts is 4097 (limit 4096)");
}

// A conversation with exactly the memory that it asks for.
void converse(const Model& model) {
  TokenizerTables tables{};
  ChatTable table;
  if (!model.tokenizer(&tables) || !model.chat(&table)) return;
  ChatState state{};
  const std::string_view text = " hi <|im_end|>\n";
  for (const uint32_t role : {kChatSystem, kChatUser, kChatUser, kChatAssistant, kChatUser}) {
    const test::ExactBytes scratch(chat_scratch_bytes(table.bytes, text.size()));
    std::vector<uint32_t> out(3 * (text.size() + table.bytes) + 64);
    size_t count = 0;
    Error error;
    const uint32_t options = (role == kChatUser ? kChatOpen : 0) | kChatCut;
    if (role == kChatAssistant) state.last = kChatUser + 1;
    const Status status = chat_turn(tables, table, &state, role, text, options,
                                    {scratch.data.get(), scratch.size}, out, &count, &error);
    ASSERT_TRUE(status.ok()) << code_name(status.code());
    for (size_t i = 0; i < count; ++i)
      ASSERT_LT(out[i], tables.count);
  }
}

TEST(HostileChat, conversations_by_damaged_tables_end_well) {
  uint32_t survivors = 0;
  HostileFile file(good_file());
  for (const uint8_t mask : {0x01, 0x04, 0x40, 0x80, 0xff}) {
    for (size_t at = 0; at < file.graph().size(); ++at) {
      file.graph()[at] ^= std::byte{mask};
      file.fix();
      if (file.load_error().empty()) {
        ++survivors;
        converse(file.model());
      }
      file.graph()[at] ^= std::byte{mask};
    }
  }
  EXPECT_GT(survivors, 0u);
}

TEST(HostileChat, arguments_of_the_c_api_are_checked) {
  NBL_REQUIRE_VULKAN();
  test::TestEngine engine(good_file().span());
  EXPECT_EQ(engine.info().has_chat, 1u);
  const size_t scratch_bytes = nbl_chat_scratch_bytes(engine.get(), 2);
  std::vector<std::byte> scratch(scratch_bytes);
  std::vector<uint32_t> tokens(200);
  const auto turn = [&](nbl_chat* chat, uint32_t role, uint32_t flags, size_t scratch_size,
                        size_t capacity, size_t* count) {
    nbl_error error = {};
    nbl_chat_turn(engine.get(), chat, role, "hi", 2, flags, scratch.data(), scratch_size,
                  tokens.data(), capacity, count, &error);
    return error.status == 0 ? std::string() : test::sentence(error);
  };
  nbl_chat chat = {};
  size_t count = 77;
  EXPECT_EQ(turn(nullptr, 1, 0, scratch_bytes, 200, &count), "argument chat is missing");
  EXPECT_EQ(turn(&chat, 1, 0, scratch_bytes, 200, nullptr), "argument count is missing");
  EXPECT_EQ(turn(&chat, 3, 0, scratch_bytes, 200, &count),
            "argument role is 3; it must be at most 2");
  const std::string small = turn(&chat, 1, 0, scratch_bytes - 1, 200, &count);
  EXPECT_NE(small.find("scratch holds"), std::string::npos) << small;
  const std::string few = turn(&chat, 1, 0, scratch_bytes, 5, &count);
  EXPECT_NE(few.find("tokens holds 5 elements;"), std::string::npos) << few;
  EXPECT_EQ(count, 77u);
  EXPECT_EQ(chat.last, 0);
  // What was refused can be done with more; what opens the answer is ten tokens of it.
  EXPECT_EQ(turn(&chat, 1, NBL_CHAT_OPEN, scratch_bytes, 200, &count), "");
  EXPECT_EQ(few, "tokens holds 5 elements; " + std::to_string(count - 10) + " are needed");
  EXPECT_EQ(turn(&chat, NBL_CHAT_SYSTEM, 0, scratch_bytes, 200, &count),
            "the conversation cannot go on with a system turn, which must be the first");
  EXPECT_EQ(turn(&chat, NBL_CHAT_ASSISTANT, 0, scratch_bytes, 200, &count),
            "the conversation cannot go on with the assistant's turn again: it is open");

  test::TestEngine mute(test::tiny_model(true).span());
  EXPECT_EQ(mute.info().has_chat, 0u);
  EXPECT_EQ(nbl_chat_scratch_bytes(mute.get(), 2), 0u);
  nbl_error error = {};
  nbl_chat_turn(mute.get(), &chat, 1, "hi", 2, 0, scratch.data(), scratch_bytes, tokens.data(), 200,
                &count, &error);
  EXPECT_EQ(test::sentence(error), "the model has no chat table");
}

}  // namespace
}  // namespace nbl
