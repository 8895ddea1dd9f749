#include "compiler/import/pt2/zip_file.h"

#include <fmt/format.h>
#include <zip.h>

#include <system_error>

#include "compiler/import/checkpoint.h"

namespace nbl::compiler::pt2 {
namespace {

// Deflate cannot do better, so that a size beyond is a lie told to take our memory.
constexpr uint64_t kMaxRatio = 1032;
constexpr uint64_t kSmallMember = 65536;

struct Member {
  zip_file_t* file = nullptr;
  ~Member() {
    if (file != nullptr) zip_fclose(file);
  }
};

std::string open_error(int code) {
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  std::string text = zip_error_strerror(&error);
  zip_error_fini(&error);
  return text;
}

}  // namespace

ZipFile::ZipFile(const std::filesystem::path& path) : path_(path.string()) {
  std::error_code failed;
  if (!std::filesystem::exists(path, failed)) {
    throw ImportError(fmt::format("{}: there is no such file", path_));
  }
  if (!std::filesystem::is_regular_file(path, failed)) {
    throw ImportError(fmt::format("{}: is not a regular file", path_));
  }
  const uint64_t file_bytes = std::filesystem::file_size(path, failed);
  if (failed) throw ImportError(fmt::format("{}: cannot read its size", path_));
  int code = 0;
  zip_t* archive = zip_open(path_.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code);
  if (archive == nullptr) {
    throw ImportError(fmt::format("{}: is not a whole zip archive: {}", path_, open_error(code)));
  }
  archive_ = archive;
  const zip_int64_t count = zip_get_num_entries(archive, 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    zip_stat_t facts;
    zip_stat_init(&facts);
    if (zip_stat_index(archive, static_cast<zip_uint64_t>(i), 0, &facts) != 0) continue;
    constexpr zip_uint64_t kNeeded = ZIP_STAT_NAME | ZIP_STAT_SIZE;
    if ((facts.valid & kNeeded) != kNeeded) continue;
    if (facts.size > kSmallMember && facts.size / kMaxRatio > file_bytes) {
      zip_discard(archive);
      throw ImportError(
          fmt::format("{}: member {} says it has {} bytes, which {} bytes of archive "
                      "cannot hold",
                      path_, facts.name, facts.size, file_bytes));
    }
    members_.emplace(facts.name, facts.size);
  }
}

ZipFile::~ZipFile() {
  zip_discard(static_cast<zip_t*>(archive_));
}

std::vector<std::byte> ZipFile::read(const std::string& name) const {
  const auto found = members_.find(name);
  if (found == members_.end()) {
    throw ImportError(fmt::format("{}: has no member {}", path_, name));
  }
  zip_t* archive = static_cast<zip_t*>(archive_);
  const Member member{zip_fopen(archive, name.c_str(), 0)};
  const auto fail = [&](const std::string& why) {
    return ImportError(fmt::format("{}: member {} cannot be read: {}", path_, name, why));
  };
  if (member.file == nullptr) throw fail(zip_strerror(archive));
  std::vector<std::byte> bytes(found->second);
  uint64_t done = 0;
  // One byte more than there is: reading the end is what checks the checksum.
  while (true) {
    std::byte beyond;
    const bool at_end = done == bytes.size();
    const zip_int64_t got = at_end
                                ? zip_fread(member.file, &beyond, 1)
                                : zip_fread(member.file, bytes.data() + done, bytes.size() - done);
    if (got < 0) throw fail(zip_error_strerror(zip_file_get_error(member.file)));
    if (at_end && got == 0) return bytes;
    if (at_end) throw fail(fmt::format("it has more than its {} bytes", bytes.size()));
    if (got == 0) throw fail(fmt::format("{} of its {} bytes are there", done, bytes.size()));
    done += static_cast<uint64_t>(got);
  }
}

std::string ZipFile::read_text(const std::string& name) const {
  const std::vector<std::byte> bytes = read(name);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace nbl::compiler::pt2
