#include "tools/common/output_file.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "tools/common/failure.h"

namespace nbl::tools {

OutputFile::OutputFile(std::string what, std::string path)
    : what_(std::move(what)),
      path_(std::move(path)),
      file_(std::fopen(path_.c_str(), "wb"), &std::fclose) {
  if (file_ == nullptr) fail();
}

void OutputFile::finish(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size()) fail();
  if (std::fclose(file_.release()) != 0) fail();
}

void OutputFile::fail() const {
  throw Failure("cannot write " + what_ + " to " + path_ + ": " + std::strerror(errno));
}

}  // namespace nbl::tools
