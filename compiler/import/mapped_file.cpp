#include "compiler/import/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "compiler/import/checkpoint.h"

namespace nbl::compiler {
namespace {

// Closes the descriptor on every way out; the mapping stays valid without it.
struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) close(value);
  }
};

[[noreturn]] void fail_with_errno(const std::filesystem::path& path, const char* what) {
  throw ImportError(fmt::format("{}: {}: {}", path.string(), what, std::strerror(errno)));
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.value < 0) fail_with_errno(path, "cannot open");
  struct stat facts = {};
  if (fstat(file.value, &facts) != 0) fail_with_errno(path, "cannot read its size");
  if (!S_ISREG(facts.st_mode)) {
    throw ImportError(fmt::format("{}: is not a regular file", path.string()));
  }
  if (facts.st_size == 0) throw ImportError(fmt::format("{}: the file is empty", path.string()));
  const size_t size = static_cast<size_t>(facts.st_size);
  void* address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.value, 0);
  if (address == MAP_FAILED) fail_with_errno(path, "cannot map");
  bytes_ = {static_cast<const std::byte*>(address), size};
}

MappedFile::~MappedFile() {
  munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace nbl::compiler
