// A file under the system's temporary folder that goes away with its object.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace nbl::test {

class TempFile {
 public:
  explicit TempFile(std::string_view bytes, std::string_view suffix = ".bin") {
    static int count = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("nibble_test_" + std::to_string(getpid()) + "_" + std::to_string(count++));
    path_ += suffix;
    std::ofstream(path_, std::ios::binary).write(bytes.data(), std::ssize(bytes));
  }
  ~TempFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace nbl::test
