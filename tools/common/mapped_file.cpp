#include "tools/common/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "tools/common/failure.h"

namespace nbl::tools {
namespace {

[[noreturn]] void fail_file(const std::string& path, const std::string& reason) {
  throw Failure("cannot read " + path + ": " + reason);
}

}  // namespace

MappedFile::MappedFile(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail_file(path, std::strerror(errno));
  struct stat facts = {};
  void* start = MAP_FAILED;
  std::string reason;
  if (fstat(file, &facts) != 0) {
    reason = std::strerror(errno);
  } else if (!S_ISREG(facts.st_mode)) {
    reason = "it is not a regular file";
  } else if (facts.st_size == 0) {
    reason = "it is empty";
  } else {
    start = mmap(nullptr, static_cast<size_t>(facts.st_size), PROT_READ, MAP_PRIVATE, file, 0);
    if (start == MAP_FAILED) reason = std::strerror(errno);
  }
  close(file);
  if (start == MAP_FAILED) fail_file(path, reason);
  bytes_ = {static_cast<const std::byte*>(start), static_cast<size_t>(facts.st_size)};
}

MappedFile::~MappedFile() {
  munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

std::string read_text_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail_file(path, std::strerror(errno));
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) fail_file(path, "reading failed");
  return text;
}

}  // namespace nbl::tools
