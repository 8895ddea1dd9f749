// MappedFile with a copy of the file that ends where it ends: behind a mapping there are zeros up
// to the end of the page, where AddressSanitizer sees nothing. It is linked in place of the real
// one.
#include <fmt/format.h>

#include <fstream>

#include "compiler/import/checkpoint.h"
#include "compiler/import/mapped_file.h"

namespace nbl::compiler {

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  std::error_code failed;
  const uint64_t size =
      std::filesystem::is_regular_file(path, failed) ? std::filesystem::file_size(path, failed) : 0;
  if (size == 0) throw ImportError(fmt::format("{}: cannot open", path.string()));
  // As aligned as a mapping.
  void* const copy = operator new (size, std::align_val_t{4096});
  std::ifstream(path, std::ios::binary)
      .read(static_cast<char*>(copy), static_cast<std::streamsize>(size));
  bytes_ = {static_cast<const std::byte*>(copy), size};
}

MappedFile::~MappedFile() {
  operator delete (const_cast<std::byte*>(bytes_.data()), std::align_val_t{4096});
}

}  // namespace nbl::compiler
