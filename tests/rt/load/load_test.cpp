// Could break: where size_t has 32 bits, sizes in a file wrap and bytes outside of it are read, or
// a right file is refused. Needs no compiler, so that it runs on every target (scripts/cross); what
// a hostile file may hold besides is in tests/faults.
#include "rt/load.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <vector>

#include "rt/base/crc32.h"
#include "rt/model/file.h"

namespace nbl {
namespace {

struct alignas(64) Line {
  std::byte bytes[64];
};

// A header that is right but for what `edit` does to it, and a line of zeros behind.
template <typename Edit>
Error error_of(const Edit& edit) {
  Line lines[2] = {};
  FileHeader header{};
  std::memcpy(header.magic, kFileMagic, sizeof kFileMagic);
  header.version = kFileVersion;
  header.header_bytes = sizeof header;
  header.file_bytes = sizeof lines;
  header.graph_offset = sizeof header;
  header.graph_bytes = sizeof(Line);
  edit(&header);
  header.header_crc32 =
      crc32(std::as_bytes(std::span(&header, 1)).first(offsetof(FileHeader, header_crc32)));
  std::memcpy(&lines[0], &header, sizeof header);
  Model model;
  Error error;
  const Status status = load(std::as_bytes(std::span(lines)), &model, &error);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.code(), error.status.code());
  return error;
}

constexpr uint64_t kFourGiB = uint64_t{1} << 32;

TEST(Load, says_how_large_a_file_past_4_GiB_is) {
  const Error error = error_of([](FileHeader* h) { h->file_bytes = kFourGiB + 128; });
  EXPECT_EQ(error.status.code(), Code::file_truncated);
  EXPECT_EQ(error.value, kFourGiB + 128);
  EXPECT_EQ(error.limit, 128u);
  char text[256];
  describe(error, text, sizeof text);
  EXPECT_NE(std::string(text).find("4294967424"), std::string::npos) << text;
}

TEST(Load, refuses_a_graph_that_only_fits_where_sizes_wrap) {
  EXPECT_EQ(error_of([](FileHeader* h) { h->graph_offset = kFourGiB + 64; }).status.code(),
            Code::file_truncated);
  EXPECT_EQ(error_of([](FileHeader* h) { h->graph_bytes = kFourGiB + 64; }).status.code(),
            Code::file_truncated);
  EXPECT_EQ(error_of([](FileHeader* h) { h->graph_bytes = kFourGiB - 64; }).status.code(),
            Code::file_truncated);
}

// The file that the environment names.
class LoadFile : public testing::Test {
 protected:
  void SetUp() override {
    const char* const path = std::getenv("NIBBLE_TEST_MODEL");
    if (path == nullptr) GTEST_SKIP() << "NIBBLE_TEST_MODEL names no model file";
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    ASSERT_TRUE(file) << path;
    size_ = static_cast<size_t>(file.tellg());
    lines_.resize((size_ + sizeof(Line) - 1) / sizeof(Line));
    file.seekg(0);
    file.read(reinterpret_cast<char*>(lines_.data()), static_cast<std::streamsize>(size_));
  }
  std::span<std::byte> bytes() { return std::as_writable_bytes(std::span(lines_)).first(size_); }

  std::vector<Line> lines_;
  size_t size_ = 0;
};

TEST_F(LoadFile, takes_a_model_of_the_build_machine_and_finds_its_weights_whole) {
  Model model;
  Error error;
  ASSERT_TRUE(load(bytes(), &model, &error).ok());
  EXPECT_TRUE(verify_hashes(model, &error).ok());
  EXPECT_GT(model.segment_count(), 0u);
}

TEST_F(LoadFile, refuses_it_cut_and_finds_a_changed_weight) {
  Model model;
  Error error;
  for (const size_t size : {size_t{0}, size_t{63}, size_t{64}, size_ / 2, size_ - 1}) {
    EXPECT_FALSE(load(bytes().first(size), &model, &error).ok()) << size;
  }
  ASSERT_TRUE(load(bytes(), &model, &error).ok());
  const std::span<const std::byte> weights = model.segment_bytes(0);
  bytes()[static_cast<size_t>(weights.data() - bytes().data())] ^= std::byte{1};
  EXPECT_EQ(verify_hashes(model, &error).code(), Code::bad_checksum);
}

}  // namespace
}  // namespace nbl
