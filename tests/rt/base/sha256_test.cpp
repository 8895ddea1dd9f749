// What could break: a wrong constant, the padding around a block's end, and a digest that depends
// on how the input is cut.
#include "rt/base/sha256.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace nbl {
namespace {

std::string hex(const Sha256Digest& digest) {
  std::string out;
  for (const uint8_t byte : digest) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

std::string sha_of(const std::string& text) {
  Sha256Digest digest;
  sha256(std::as_bytes(std::span(text)), &digest);
  return hex(digest);
}

TEST(Sha256, gives_the_digests_of_fips_180_4) {
  EXPECT_EQ(sha_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha_of(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// Lengths 55, 56, 63, 64, 65: where the padding fits, spills into another block, or starts one. The
// digests are those of sha256sum.
TEST(Sha256, pads_right_around_the_end_of_a_block) {
  EXPECT_EQ(sha_of(std::string(55, 'a')),
            "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
  EXPECT_EQ(sha_of(std::string(56, 'a')),
            "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
  EXPECT_EQ(sha_of(std::string(63, 'a')),
            "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34");
  EXPECT_EQ(sha_of(std::string(64, 'a')),
            "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
  EXPECT_EQ(sha_of(std::string(65, 'a')),
            "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0");
}

TEST(Sha256, does_not_depend_on_how_the_input_is_cut) {
  const uint32_t seed = 20240602;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (size_t size = 0; size < 400; size += 11) {
    std::vector<std::byte> bytes(size);
    for (std::byte& byte : bytes)
      byte = static_cast<std::byte>(random());
    Sha256Digest whole;
    sha256(bytes, &whole);
    Sha256 pieces;
    for (size_t at = 0; at < size;) {
      const size_t length = std::min<size_t>(random() % 150, size - at);
      pieces.update(std::span(bytes).subspan(at, length));
      at += length;
    }
    Sha256Digest digest;
    pieces.finish(&digest);
    EXPECT_EQ(hex(digest), hex(whole)) << size;
  }
}

TEST(Sha256, can_be_copied_after_a_common_prefix) {
  const std::string prefix = "abc";
  Sha256 first;
  first.update(std::as_bytes(std::span(prefix)));
  Sha256 second = first;
  second.update(std::as_bytes(std::span(prefix)));
  Sha256Digest digest;
  first.finish(&digest);
  EXPECT_EQ(hex(digest), sha_of("abc"));
  second.finish(&digest);
  EXPECT_EQ(hex(digest), sha_of("abcabc"));
}

}  // namespace
}  // namespace nbl
