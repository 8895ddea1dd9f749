// Could break: a prefix's way from the caches into a file and back, the file around it, positions
// before and after it, and what of it is still there after anything else was evaluated.
#include "compiler/emit/prefix.h"

#include <gtest/gtest.h>

#include <cstring>

#include "rt/base/crc32.h"
#include "rt/load.h"
#include "rt/model/file.h"
#include "schema_generated.h"
#include "tests/support/compiled.h"
#include "tests/support/engine.h"
#include "tests/support/small_llama.h"

namespace nbl::test {
namespace {

constexpr uint32_t kVocab = 211;
constexpr uint32_t kContext = 90;

AlignedBytes make_model(DType cache) {
  return build_model(small_llama({.dim = 64,
                                  .heads = 6,
                                  .kv_heads = 2,
                                  .head_dim = 20,
                                  .ffn = 96,
                                  .vocab = kVocab,
                                  .context = kContext}),
                     {.context = kContext, .prefill_chunk = 16, .cache = cache});
}

std::vector<uint32_t> tokens_of(uint32_t count, uint32_t first = 5) {
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < count; ++i)
    tokens.push_back((i * 71 + first) % kVocab);
  return tokens;
}

Model loaded(const AlignedBytes& file) {
  Model model;
  Error error;
  EXPECT_TRUE(load(file.span(), &model, &error).ok()) << error.name;
  return model;
}

// As nibblec prefix makes it.
AlignedBytes with_prefix(const AlignedBytes& file, const std::vector<uint32_t>& tokens) {
  TestEngine engine(file.span());
  engine.rewind(0);
  const size_t front = engine.save_state().size() + tokens.size() * sizeof tokens[0];
  engine.evaluate(tokens);
  std::vector<std::byte> state = engine.save_state();
  state.erase(state.begin(), state.begin() + static_cast<std::ptrdiff_t>(front));
  const TempFile out("", ".nbl");
  compiler::write_with_prefix(loaded(file), {tokens, state, "for people"}, out.path());
  return read_file(out.path());
}

class Prefix : public testing::Test {
 protected:
  void SetUp() override { NBL_REQUIRE_VULKAN(); }
};

TEST_F(Prefix, continues_as_if_it_had_been_evaluated) {
  for (const DType cache : {DType::f16, DType::f32, DType::i8}) {
    const AlignedBytes plain = make_model(cache);
    for (const uint32_t length : {1u, 16u, 37u, 48u}) {
      const std::vector<uint32_t> prefix = tokens_of(length);
      const std::vector<uint32_t> prompt = tokens_of(19, 8);
      const AlignedBytes file = with_prefix(plain, prefix);
      for (const uint32_t flags : {0u, uint32_t{NBL_FLAG_FLOOR_KERNELS}}) {
        TestEngine whole(plain.span(), {.flags = flags});
        std::vector<uint32_t> all = prefix;
        all.insert(all.end(), prompt.begin(), prompt.end());
        whole.evaluate(all);
        TestEngine engine(file.span(), {.flags = flags | NBL_FLAG_VERIFY_HASHES});
        EXPECT_EQ(engine.position(), length);
        EXPECT_EQ(nbl_prefix_length(engine.get()), length);
        EXPECT_EQ(
            std::vector(nbl_prefix_tokens(engine.get()), nbl_prefix_tokens(engine.get()) + length),
            prefix);
        engine.evaluate(prompt);
        EXPECT_EQ(engine.generate(20), whole.generate(20)) << "prefix of " << length;
      }
    }
  }
}

// Cut where chunks end, the same kernels do the same work: bit by bit.
TEST_F(Prefix, leaves_the_logits_as_they_are) {
  for (const DType cache : {DType::f16, DType::f32, DType::i8}) {
    const AlignedBytes plain = make_model(cache);
    const AlignedBytes file = with_prefix(plain, tokens_of(32));
    TestEngine whole(plain.span(), {.logits = NBL_LOGITS_ALL});
    TestEngine engine(file.span(), {.logits = NBL_LOGITS_ALL});
    (void)whole.logits_of(tokens_of(32), 16);
    EXPECT_EQ(engine.logits_of(tokens_of(30, 9), 16), whole.logits_of(tokens_of(30, 9), 16));
  }
}

TEST_F(Prefix, may_be_gone_back_to_and_below) {
  const AlignedBytes plain = make_model(DType::f16);
  const AlignedBytes file = with_prefix(plain, tokens_of(20));
  TestEngine engine(file.span());
  nbl_error error = {};
  uint32_t token = 0;
  EXPECT_STREQ(nbl_status_name(nbl_next_token(engine.get(), &token, &error)), "nothing_evaluated");
  EXPECT_STREQ(nbl_status_name(nbl_rewind(engine.get(), 21, &error)), "bad_argument");
  engine.evaluate(tokens_of(9, 3));
  const std::vector<uint32_t> expected = engine.generate(20);
  engine.rewind(20);
  engine.evaluate(tokens_of(9, 3));
  EXPECT_EQ(engine.generate(20), expected);
  // Below it, its first tokens are as good as evaluated ones.
  TestEngine other(plain.span());
  other.evaluate(tokens_of(13));
  other.evaluate(tokens_of(9, 77));
  engine.rewind(13);
  engine.evaluate(tokens_of(9, 77));
  EXPECT_EQ(engine.generate(20), other.generate(20));
  // From there only a restart leads back.
  engine.rewind(20);
  engine.evaluate(tokens_of(9, 3));
  EXPECT_NE(engine.generate(20), expected);
  EXPECT_EQ(nbl_restart(engine.get(), &error), 0u);
  EXPECT_EQ(engine.position(), 20u);
  engine.evaluate(tokens_of(9, 3));
  EXPECT_EQ(engine.generate(20), expected);
}

TEST_F(Prefix, comes_back_after_slides_states_and_other_texts) {
  const AlignedBytes plain = make_model(DType::i8);
  const AlignedBytes file = with_prefix(plain, tokens_of(20));
  TestEngine engine(file.span(), {.context = 48, .on_full = NBL_ON_FULL_SLIDE});
  engine.evaluate(tokens_of(9, 3));
  const std::vector<uint32_t> expected = engine.generate(100);
  EXPECT_GT(engine.info().dropped_positions, 0u);
  const std::vector<std::byte> state = engine.save_state();
  const auto restart = [&] {
    nbl_error error = {};
    ASSERT_EQ(nbl_restart(engine.get(), &error), 0u);
    EXPECT_EQ(engine.info().dropped_positions, 0u);
    engine.evaluate(tokens_of(9, 3));
    EXPECT_EQ(engine.generate(100), expected);
  };
  restart();
  engine.load_state(state);
  restart();
  engine.rewind(0);
  engine.evaluate(tokens_of(30, 50));
  restart();
  // Without a prefix it starts over at 0.
  TestEngine none(plain.span());
  EXPECT_EQ(nbl_prefix_length(none.get()), 0u);
  none.evaluate(tokens_of(9));
  EXPECT_EQ(nbl_restart(none.get(), nullptr), 0u);
  EXPECT_EQ(none.position(), 0u);
}

TEST_F(Prefix, takes_the_place_of_another_and_keeps_weights_in_place) {
  const AlignedBytes plain = make_model(DType::f16);
  const AlignedBytes once = with_prefix(plain, tokens_of(40));
  const AlignedBytes twice = with_prefix(once, tokens_of(7));
  EXPECT_LT(twice.size, once.size);
  EXPECT_EQ(loaded(twice).prefix().size(), 7u);
  const Model a = loaded(plain), b = loaded(twice);
  ASSERT_EQ(a.segment_count(), b.segment_count());
  for (uint32_t i = 0; i < a.segment_count(); ++i) {
    const auto x = a.segment_bytes(i), y = b.segment_bytes(i);
    ASSERT_TRUE(std::ranges::equal(x, y)) << "segment " << i;
  }
  EXPECT_TRUE(verify_hashes(b, nullptr).ok());
  TestEngine engine(twice.span());
  TestEngine expected(with_prefix(plain, tokens_of(7)).span());
  engine.evaluate(tokens_of(5));
  expected.evaluate(tokens_of(5));
  EXPECT_EQ(engine.generate(9), expected.generate(9));
}

TEST_F(Prefix, needs_a_context_that_holds_it) {
  const AlignedBytes file = with_prefix(make_model(DType::f16), tokens_of(20));
  try {
    TestEngine engine(file.span(), {.context = 19});
    FAIL();
  } catch (const std::runtime_error& refused) {
    EXPECT_NE(std::string(refused.what())
                  .find("the model's prefix has 20 positions; the context "
                        "has room for 19"),
              std::string::npos)
        << refused.what();
  }
  TestEngine engine(file.span(), {.context = 20});
  uint32_t token = 1;
  EXPECT_STREQ(nbl_status_name(nbl_evaluate(engine.get(), &token, 1, nullptr)), "context_full");
}

// Puts the checksums right after the graph was changed.
void sign(AlignedBytes* file) {
  FileHeader header{};
  std::memcpy(&header, file->span().data(), sizeof header);
  header.graph_crc32 = crc32(file->span().subspan(header.graph_offset, header.graph_bytes));
  std::memcpy(file->span().data(), &header, sizeof header);
  header.header_crc32 = crc32(file->span().first(offsetof(FileHeader, header_crc32)));
  std::memcpy(file->span().data(), &header, sizeof header);
}

fb::Prefix* prefix_of(const AlignedBytes& file) {
  return const_cast<fb::Prefix*>(loaded(file).root()->prefix());
}

void expect_refused(AlignedBytes file, const char* name) {
  sign(&file);
  Model model;
  Error error;
  const Status status = load(file.span(), &model, &error);
  EXPECT_STREQ(code_name(status.code()), name);
}

TEST_F(Prefix, that_does_not_fit_its_model_is_refused) {
  const AlignedBytes good = with_prefix(make_model(DType::f16), tokens_of(20));
  expect_refused(good, "ok");
  const auto changed = [&](auto edit) {
    AlignedBytes file = good;
    edit(prefix_of(file));
    return file;
  };
  const auto set = [](const void* field, auto value) {
    std::memcpy(const_cast<void*>(field), &value, sizeof value);
  };
  expect_refused(changed([&](fb::Prefix* p) { set(p->tokens()->data() + 3, kVocab); }),
                 "bad_header");
  const auto with_rows = [&](uint64_t offset, uint64_t size) {
    return changed([&](fb::Prefix* p) {
      auto* rows = reinterpret_cast<flatbuffers::Table*>(const_cast<fb::Segment*>(p->rows()));
      ASSERT_TRUE(rows->SetField<uint64_t>(fb::Segment::VT_OFFSET, offset, 0));
      ASSERT_TRUE(rows->SetField<uint64_t>(fb::Segment::VT_SIZE, size, 0));
    });
  };
  const uint64_t offset = prefix_of(good)->rows()->offset();
  const uint64_t size = prefix_of(good)->rows()->size();
  expect_refused(with_rows(offset, size), "ok");
  expect_refused(with_rows(offset, size - 4), "bad_header");
  expect_refused(with_rows(offset + 64, size), "bad_segment");
  expect_refused(with_rows(4096, size), "bad_segment");  // in the weights
  expect_refused(with_rows(offset, 0), "bad_segment");
  expect_refused(with_rows(offset, ~uint64_t{0}), "file_truncated");
  expect_refused(with_rows(uint64_t{1} << 40, size), "file_truncated");
  // Its bytes are what its SHA-256 says, where that is asked for.
  AlignedBytes flipped = good;
  flipped.span()[offset + 9] ^= std::byte{1};
  EXPECT_EQ(verify_hashes(loaded(flipped), nullptr).code(), Code::bad_checksum);
}

TEST_F(Prefix, is_a_model_of_its_own_to_saved_states) {
  const AlignedBytes plain = make_model(DType::f16);
  TestEngine engine(plain.span());
  engine.evaluate(tokens_of(9));
  const std::vector<std::byte> state = engine.save_state();
  TestEngine other(with_prefix(plain, tokens_of(3)).span());
  EXPECT_STREQ(nbl_status_name(nbl_load_state(other.get(), state.data(), state.size(), nullptr)),
               "state_of_other_model");
}

}  // namespace
}  // namespace nbl::test
