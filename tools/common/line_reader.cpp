#include "tools/common/line_reader.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tools/common/failure.h"

namespace nbl::tools {

LineReader::Result LineReader::next(std::string* line) {
  line->clear();
  bool too_long = false;
  for (;;) {
    const size_t end = pending_.find('\n');
    line->append(pending_, 0, end);
    pending_.erase(0, end == std::string::npos ? end : end + 1);
    // A byte more may be the end's "\r".
    too_long = too_long || line->size() > limit_bytes_ + 1;
    if (too_long) line->clear();
    if (end != std::string::npos || at_end_) {
      if (end == std::string::npos && line->empty() && !too_long) return Result::end;
      if (line->ends_with('\r')) line->pop_back();
      return too_long || line->size() > limit_bytes_ ? Result::too_long : Result::line;
    }
    char bytes[4096];
    const ssize_t count = read(descriptor_, bytes, sizeof bytes);
    if (count < 0 && errno == EINTR) return Result::by_signal;
    if (count < 0) throw Failure(std::string("cannot read the input: ") + std::strerror(errno));
    at_end_ = count == 0;
    pending_.assign(bytes, static_cast<size_t>(count));
  }
}

}  // namespace nbl::tools
