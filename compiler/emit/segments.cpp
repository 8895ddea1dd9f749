#include "compiler/emit/segments.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "compiler/error.h"
#include "rt/base/checked.h"
#include "rt/base/limits.h"

namespace nbl::compiler {
namespace {

constexpr size_t kCompareBytes = size_t{1} << 20;

std::array<uint8_t, 32> hash(std::span<const std::byte> bytes) {
  std::array<uint8_t, 32> digest{};
  unsigned length = 0;
  const int done =
      EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr);
  if (done != 1 || length != digest.size()) throw CompileError("OpenSSL cannot compute SHA-256");
  return digest;
}

}  // namespace

OutputFile::OutputFile(std::filesystem::path path)
    : path_(std::move(path)), temporary_(path_.string() + ".tmp") {
  descriptor_ = open(temporary_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail("create");
}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
}

void OutputFile::fail(const char* what) const {
  throw CompileError(
      fmt::format("cannot {} {}: {}", what, temporary_.string(), std::strerror(errno)));
}

void OutputFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("write");
    offset += static_cast<uint64_t>(written);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

bool OutputFile::holds_at(uint64_t offset, std::span<const std::byte> bytes) const {
  std::vector<std::byte> chunk(std::min(bytes.size(), kCompareBytes));
  while (!bytes.empty()) {
    const size_t wanted = std::min(bytes.size(), chunk.size());
    const ssize_t got = pread(descriptor_, chunk.data(), wanted, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read");
    const auto count = static_cast<size_t>(got);
    if (count == 0 || std::memcmp(chunk.data(), bytes.data(), count) != 0) return false;
    offset += count;
    bytes = bytes.subspan(count);
  }
  return true;
}

void OutputFile::resize(uint64_t bytes) {
  if (ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) fail("resize");
}

void OutputFile::commit() {
  const bool written = fsync(descriptor_) == 0 || errno == EINVAL || errno == EROFS;
  if (!written) fail("write");
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail("rename");
  close(descriptor_);
  descriptor_ = -1;
}

SegmentWriter::SegmentWriter(OutputFile* file, uint64_t first_byte)
    : file_(file), end_(first_byte) {}

int32_t SegmentWriter::add(const std::string& name, std::span<const std::byte> bytes) {
  const std::array<uint8_t, 32> digest = hash(bytes);
  std::vector<int32_t>& candidates = by_hash_[digest];
  for (const int32_t candidate : candidates) {
    const SegmentInfo& segment = segments_[static_cast<size_t>(candidate)];
    if (segment.size != bytes.size() || !file_->holds_at(segment.offset, bytes)) continue;
    shared_bytes_ += bytes.size();
    return candidate;
  }
  const uint64_t offset = align_up(end_, kSegmentAlignBytes);
  file_->write_at(offset, bytes);
  end_ = offset + bytes.size();
  candidates.push_back(static_cast<int32_t>(segments_.size()));
  segments_.push_back({offset, bytes.size(), digest, name});
  return candidates.back();
}

}  // namespace nbl::compiler
