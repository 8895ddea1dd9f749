// Lines of an interactive input, as they come.
#pragma once

#include <cstddef>
#include <string>

namespace nbl::tools {

// Reads a file descriptor until it has a whole line, however the bytes arrive.
class LineReader {
 public:
  enum class Result {
    line,
    too_long,   // the line was dropped, to its end
    by_signal,  // interrupted; what came of the line before it is dropped
    end,
  };

  // Units  limit_bytes: of a line, without its end.
  LineReader(int descriptor, size_t limit_bytes)
      : descriptor_(descriptor), limit_bytes_(limit_bytes) {}

  // Sets *line, without "\n" or "\r\n". The last line of an input needs no end.
  //
  // Errors  Failure: the input cannot be read.
  Result next(std::string* line);

 private:
  int descriptor_;
  size_t limit_bytes_;
  std::string pending_;  // read, but behind the line that was given last
  bool at_end_ = false;
};

}  // namespace nbl::tools
