// A file that a tool writes.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

namespace nbl::tools {

// Opened before the work whose result it takes, so that a wrong path is not found out about after
// minutes.
//
// Errors  Failure with the path and the reason, in every method.
class OutputFile {
 public:
  // Units  what: for the sentence, "the trace".
  OutputFile(std::string what, std::string path);

  // Writes all of it and closes the file.
  void finish(std::string_view text);

 private:
  [[noreturn]] void fail() const;

  std::string what_, path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

}  // namespace nbl::tools
