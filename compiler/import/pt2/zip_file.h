// The members of a zip archive, read whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace nbl::compiler::pt2 {

// Errors  every function throws ImportError, which names the file and the member.
class ZipFile {
 public:
  explicit ZipFile(const std::filesystem::path& path);
  ~ZipFile();
  ZipFile(const ZipFile&) = delete;
  ZipFile& operator=(const ZipFile&) = delete;

  const std::string& path() const { return path_; }
  // Names with sizes in bytes.
  const std::map<std::string, uint64_t>& members() const { return members_; }
  bool has(const std::string& name) const { return members_.contains(name); }

  // Errors  also where the member is absent or its checksum is not the archive's.
  std::vector<std::byte> read(const std::string& name) const;
  std::string read_text(const std::string& name) const;

 private:
  std::string path_;
  void* archive_ = nullptr;
  std::map<std::string, uint64_t> members_;
};

}  // namespace nbl::compiler::pt2
