// Could break: a line that comes in parts, or in one with others, is cut, joined or lost; one
// without end takes all memory.
#include "tools/common/line_reader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

namespace nbl::tools {
namespace {

using Result = LineReader::Result;

class Pipe {
 public:
  Pipe() {
    if (pipe(ends_) != 0) throw std::runtime_error("no pipe");
  }
  ~Pipe() {
    close(ends_[0]);
    finish();
  }
  int reading() const { return ends_[0]; }
  void put(std::string_view bytes) const {
    for (size_t at = 0; at < bytes.size();) {
      const ssize_t count = write(ends_[1], bytes.data() + at, bytes.size() - at);
      if (count < 0) throw std::runtime_error("cannot write");
      at += static_cast<size_t>(count);
    }
  }
  void finish() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }

 private:
  int ends_[2];
};

TEST(LineReader, gives_lines_however_they_come) {
  Pipe pipe;
  LineReader reader(pipe.reading(), 100);
  std::string line;
  pipe.put("one\ntwo\r\n\nfo");
  for (const char* expected : {"one", "two", ""}) {
    EXPECT_EQ(reader.next(&line), Result::line);
    EXPECT_EQ(line, expected);
  }
  std::thread writer([&] {
    for (const char c : std::string("u\xc3\xa9r\nlast")) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      pipe.put(std::string_view(&c, 1));
    }
    pipe.finish();
  });
  EXPECT_EQ(reader.next(&line), Result::line);
  EXPECT_EQ(line, "fou\xc3\xa9r");
  EXPECT_EQ(reader.next(&line), Result::line);
  EXPECT_EQ(line, "last");
  EXPECT_EQ(reader.next(&line), Result::end);
  EXPECT_EQ(reader.next(&line), Result::end);
  writer.join();
}

TEST(LineReader, drops_lines_past_the_limit_and_goes_on) {
  for (const size_t length : {10, 11, 12, 4096, 4097, 100000}) {
    Pipe pipe;
    LineReader reader(pipe.reading(), 10);
    std::thread writer([&] {
      pipe.put(std::string(length, 'x') + "\r\nnext\n" + std::string(length, 'y'));
      pipe.finish();
    });
    std::string line;
    const Result expected = length > 10 ? Result::too_long : Result::line;
    EXPECT_EQ(reader.next(&line), expected) << length;
    EXPECT_LE(line.capacity(), size_t{1} << 14);
    EXPECT_EQ(reader.next(&line), Result::line) << length;
    EXPECT_EQ(line, "next");
    EXPECT_EQ(reader.next(&line), expected) << length;
    EXPECT_EQ(reader.next(&line), Result::end) << length;
    writer.join();
  }
}

TEST(LineReader, names_an_input_that_cannot_be_read) {
  LineReader reader(-1, 10);
  std::string line;
  EXPECT_ANY_THROW(static_cast<void>(reader.next(&line)));
}

}  // namespace
}  // namespace nbl::tools
