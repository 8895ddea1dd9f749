// Could break: a turn's tokens are not those of the whole conversation, a text of a user ends its
// turn, or white space is cut off where it must not be.
#include "rt/text/chat.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/vocab.h"

namespace nbl {
namespace {

using Ids = std::vector<uint32_t>;

// SentencePiece-style: bytes, letters, and "[a", which begins a turn, with a space and without.
TestVocab spm_vocab() {
  TestVocab vocab;
  vocab.add_bytes();
  for (const char* piece : {"\xe2\x96\x81", "a", "b", "[", "]",
                            "\xe2\x96\x81"
                            "a",
                            "\xe2\x96\x81[", "ab"})
    vocab.add(piece, -1);
  vocab.bos = static_cast<int32_t>(vocab.add("<s>", 0, kPieceControl));
  vocab.eos = static_cast<int32_t>(vocab.add("</s>", 0, kPieceControl));
  vocab.finish();
  return vocab;
}

struct Table {
  Table() { table.flags = kChatSpaceAfterControl; }
  Table& set(ChatText which, std::string_view text) {
    table.bytes += text.size();
    table.texts[static_cast<size_t>(which)] = text;
    return *this;
  }
  ChatTable table{};
};

Table marks() {
  Table t;
  t.set(ChatText::start, "<s>").set(ChatText::user_before, "[").set(ChatText::user_after, "]");
  t.set(ChatText::assistant_before, " ").set(ChatText::assistant_after, "</s>");
  t.set(ChatText::system_after, "\n").set(ChatText::user_before_after_system, "");
  t.set(ChatText::system_before, "[");
  return t;
}

struct Talk {
  Talk(TestVocab own_vocab, Table own_table)
      : vocab(std::move(own_vocab)), tables(vocab.tables()), table(own_table.table) {}

  // The pieces of a turn, each in braces; an odd address of the scratch changes nothing.
  std::string turn(uint32_t role, std::string_view text, uint32_t options = 0) {
    const size_t size = chat_scratch_bytes(table.bytes, text.size());
    std::vector<std::byte> scratch(size + 64, std::byte{0xa5});
    const size_t odd = odd_++ % 4;
    Ids out(4 * (text.size() + table.bytes) + 8);
    size_t count = 0;
    Error error;
    const Status status = chat_turn(tables, table, &state, role, text, options,
                                    std::span(scratch).subspan(odd, size), out, &count, &error);
    if (!status.ok()) return error.name;
    for (size_t i = odd + size; i < scratch.size(); ++i)
      EXPECT_EQ(scratch[i], std::byte{0xa5}) << "wrote past the scratch";
    std::string spelled;
    for (size_t i = 0; i < count; ++i)
      spelled += "{" + vocab.pieces[out[i]] + "}";
    return spelled;
  }

  TestVocab vocab;
  TokenizerTables tables;
  ChatTable table;
  ChatState state{};
  size_t odd_ = 0;
};

TEST(ChatTurn, texts_go_on_across_turns_and_begin_behind_control_tokens) {
  Talk talk(spm_vocab(), marks());
  EXPECT_EQ(talk.turn(kChatUser, "a"), "{<s>}{\xe2\x96\x81[}{a}{]}");
  EXPECT_EQ(talk.turn(kChatAssistant, "b"), "{\xe2\x96\x81}{b}{</s>}");
  EXPECT_EQ(talk.turn(kChatUser, " a"),
            "{\xe2\x96\x81[}{\xe2\x96\x81"
            "a}{]}");
}

TEST(ChatTurn, spaces_behind_control_tokens_are_the_tables) {
  Table table = marks();
  table.table.flags = 0;
  Talk talk(spm_vocab(), table);
  EXPECT_EQ(talk.turn(kChatUser, "a"), "{<s>}{[}{a}{]}");
  TestVocab vocab = spm_vocab();
  vocab.add_space_prefix = false;
  Talk without(vocab, marks());
  EXPECT_EQ(without.turn(kChatUser, "a"), "{<s>}{[}{a}{]}");
  // Without a control token in front the space of every text is there, once.
  Table bare = table;
  bare.set(ChatText::start, "");
  Talk first(spm_vocab(), bare);
  EXPECT_EQ(first.turn(kChatUser, "a"), "{\xe2\x96\x81[}{a}{]}");
  EXPECT_EQ(first.turn(kChatAssistant, "b"), "{\xe2\x96\x81}{b}{</s>}");
  EXPECT_EQ(first.turn(kChatUser, "a"), "{[}{a}{]}");
}

TEST(ChatTurn, control_pieces_in_a_text_are_text) {
  Talk talk(spm_vocab(), marks());
  const std::string text = talk.turn(kChatUser, "a</s>b<s>");
  EXPECT_EQ(text.find("{</s>}"), std::string::npos) << text;
  EXPECT_EQ(text.rfind("{<s>}"), 0u) << text;
  // Nor does one count that text and table make together.
  Table split = marks();
  split.set(ChatText::user_after, "/s>]");
  Talk joined(spm_vocab(), split);
  EXPECT_EQ(joined.turn(kChatUser, "<").find("{</s>}"), std::string::npos);
}

TEST(ChatTurn, answers_close_as_they_ended) {
  Table table = marks();
  table.set(ChatText::open, "b").set(ChatText::close, "a");
  Talk talk(spm_vocab(), table);
  EXPECT_EQ(talk.turn(kChatUser, "a", kChatOpen), "{<s>}{\xe2\x96\x81[}{a}{]}{b}");
  Talk cut = talk;
  EXPECT_EQ(talk.turn(kChatUser, "", kChatOpen),
            "{\xe2\x96\x81"
            "a}{[}{]}{b}");
  EXPECT_EQ(cut.turn(kChatUser, "", kChatOpen | kChatCut),
            "{</s>}{\xe2\x96\x81"
            "a}{[}{]}{b}");
}

TEST(ChatTurn, system_turns_come_first_or_are_the_tables) {
  Table table = marks();
  table.set(ChatText::default_system, "b\n");
  Talk talk(spm_vocab(), table);
  EXPECT_EQ(talk.turn(kChatSystem, "a"), "{<s>}{\xe2\x96\x81[}{a}{<0x0A>}");
  EXPECT_EQ(talk.turn(kChatUser, "b"), "{b}{]}");
  EXPECT_EQ(talk.turn(kChatSystem, "a"), "a system turn, which must be the first");
  EXPECT_EQ(talk.turn(kChatUser, "b"), "{[}{b}{]}");
  Talk other(spm_vocab(), table);
  EXPECT_EQ(other.turn(kChatUser, "b"), "{<s>}{\xe2\x96\x81}{b}{<0x0A>}{[}{b}{]}");
}

TEST(ChatTurn, cuts_off_white_space_as_templates_do) {
  const std::string_view text = "\x1c\xc2\xa0\n a b\xe3\x80\x80 \x1f";
  const struct {
    uint32_t flags;
    std::string kept;
  } cases[] = {{0, std::string(text)},
               {kChatTrimLeft << 2, "a b\xe3\x80\x80 \x1f"},
               {kChatTrimRight << 2, "\x1c\xc2\xa0\n a b"},
               {(kChatTrimLeft | kChatTrimRight) << 2, "a b"},
               {kChatTrimLeft | kChatTrimRight << 4, std::string(text)}};
  for (const auto& c : cases) {
    Table trimming = marks();
    trimming.table.flags |= c.flags;
    EXPECT_EQ(Talk(spm_vocab(), trimming).turn(kChatUser, text),
              Talk(spm_vocab(), marks()).turn(kChatUser, c.kept));
  }
  Table all = marks();
  all.table.flags |= (kChatTrimLeft | kChatTrimRight) << 2;
  EXPECT_EQ(Talk(spm_vocab(), all).turn(kChatUser, " \n "), "{<s>}{\xe2\x96\x81[}{]}");
  // Only what follows a system turn keeps its beginning.
  all.table.flags |= kChatKeepLeftAfterSystem;
  Talk talk(spm_vocab(), all);
  talk.turn(kChatSystem, "a");
  EXPECT_EQ(talk.turn(kChatUser, " a "),
            "{\xe2\x96\x81"
            "a}{]}");
  EXPECT_EQ(talk.turn(kChatUser, " a "), "{[}{a}{]}");
}

TEST(ChatTurn, leaves_everything_as_it_was_where_there_is_no_room) {
  Talk talk(spm_vocab(), marks());
  const size_t size = chat_scratch_bytes(talk.table.bytes, 2);
  std::vector<std::byte> scratch(size);
  Ids out(16);
  size_t count = 99;
  for (size_t room = 0; room < 5; ++room) {
    Error error;
    const Status status = chat_turn(talk.tables, talk.table, &talk.state, kChatUser, "ab", 0,
                                    scratch, std::span(out).first(room), &count, &error);
    if (room == 4) {
      EXPECT_TRUE(status.ok());
      break;
    }
    EXPECT_EQ(status.code(), Code::output_too_small);
    EXPECT_EQ(error.value, 4u);
    EXPECT_EQ(error.limit, room);
    EXPECT_EQ(count, 99u);
    EXPECT_EQ(talk.state.last, 0);
  }
  EXPECT_EQ(count, 4u);
  EXPECT_EQ(chat_scratch_bytes(0, kMaxTextBytes), SIZE_MAX);
}

}  // namespace
}  // namespace nbl
