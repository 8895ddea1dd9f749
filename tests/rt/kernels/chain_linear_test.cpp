// What could break: a unit of eight rows that several teams share or that nobody has, slices past
// the end of a row, the halves that matrix units take x apart into, at any magnitude; a message
// that is taken for missing, or one of the copies of messages written where the other one is.
#include <gtest/gtest.h>

#include "rt/kernels/chain.h"
#include "tests/rt/kernels/chain_cases.h"
#include "tests/rt/kernels/linear_cases.h"

namespace nbl::test {
namespace {

struct Case {
  LinearCase linear;
  uint32_t cores;  // work-groups, none of which waits for another
  float x_scale = 1;
};

void PrintTo(const Case& c, std::ostream* out) {
  PrintTo(c.linear, out);
  *out << " cores " << c.cores << " x * " << c.x_scale;
}

// Where each binding's words begin in one buffer.
struct Block {
  ChainPlace add(const std::vector<uint32_t>& more) {
    words.resize(align_up(words.size(), size_t{4}), 0);
    const ChainPlace place{words.size() * 4, false};
    words.insert(words.end(), more.begin(), more.end());
    return place;
  }
  std::vector<uint32_t> words;
};

// How a record is run: as a part of a large model, whose weights matrix units multiply where there
// are any; its rows as messages.
struct Mode {
  bool large, messages;
};
constexpr Mode kModes[] = {{false, false}, {true, false}, {false, true}, {true, true}};

// As another record would have written it.
std::vector<uint32_t> message(std::vector<uint32_t> row) {
  for (uint32_t& word : row)
    word = word == 0 ? CHAIN_ZERO : word;
  return row;
}

// Runs the case as a chain of one record; false where the device takes none.
bool run_record(Gpu* gpu, const Case& c, const LinearData& data, Mode mode,
                std::vector<float>* got) {
  const Caps caps = caps_of_cores(*gpu, c.cores);
  const LinearCase& l = c.linear;
  KernelCall linear;
  EXPECT_TRUE(call_linear(caps, args_of(l, 0, data.weight.padded_rows), &linear, nullptr).ok());
  ChainShape shape;
  if (!join_chain(caps, linear, &shape)) return false;
  settle_chain(caps, mode.large ? 1ull << 40 : 0, &shape);
  const uint32_t columns = LinearData::out_columns(l);
  Block weights, values, messages;
  ChainPlace places[8] = {};
  places[2] = weights.add({data.weight.value_words.begin(), data.weight.value_words.end()});
  places[3] = weights.add({data.weight.scale_words.begin(), data.weight.scale_words.end()});
  places[5] = weights.add(words_of(data.norm));
  places[6] = weights.add(words_of(data.bias));
  Block& rows = mode.messages ? messages : values;
  places[1] = rows.add(mode.messages ? message(data.x_words) : data.x_words);
  places[7] = rows.add(mode.messages ? message(data.residual_words) : data.residual_words);
  places[4] = rows.add(std::vector<uint32_t>(row_stride(columns), mode.messages ? 0 : kPoison));
  for (const uint32_t row : {1, 4, 7})
    places[row].message = mode.messages;
  const std::vector<uint32_t> guard(4, kPoison);
  values.add(guard);
  messages.add(guard);
  std::vector<uint32_t> record(CHAIN_WORDS, 0), sync(CHAIN_SYNC_WORDS, 0), none(16, 0);
  write_chain_record(caps, shape, linear, places, record);
  const KernelCall call = call_chain(caps, shape, {1, 0, 0});
  EXPECT_EQ(
      gpu->run(call, {reads(data.step), reads(weights.words), writes(none), writes(values.words),
                      reads(record), writes(sync), writes(messages.words)}),
      "");
  EXPECT_EQ(sync[CHAIN_STALLED], 0u);
  for (const Block* block : {&values, &messages})
    EXPECT_TRUE(std::equal(block->words.end() - 4, block->words.end(), guard.begin()));
  const uint32_t* const out = &rows.words[places[4].bytes / 4];
  got->resize(columns);
  std::memcpy(got->data(), out, columns * 4);
  if (mode.messages) {
    EXPECT_EQ(std::count(out, out + columns, 0u), 0);
  }
  return true;
}

class ChainLinear : public testing::TestWithParam<Case> {};

TEST_P(ChainLinear, matches_float64) {
  NBL_REQUIRE_GPU(gpu);
  const Case& c = GetParam();
  Random random(c.linear.columns * 31 + c.linear.rows);
  LinearData data(random, c.linear);
  for (uint32_t k = 0; k < c.linear.columns; ++k) {
    // Neighbouring groups far apart: what is small must not be lost beside what is large.
    data.x[k] *= c.x_scale * (k / 32 % 2 == 0 ? 1.0f : 1.0f / 1024);
  }
  data.x_words = activation_words(data.x, 1, c.linear.columns);
  const std::vector<double> want = data.reference(c.linear, 0);
  for (const Mode mode : kModes) {
    SCOPED_TRACE(testing::Message() << "large " << mode.large << " messages " << mode.messages);
    std::vector<float> got;
    if (!run_record(gpu, c, data, mode, &got)) GTEST_SKIP() << "no room for a chain";
    EXPECT_LT(relative_error(want, got), kLinearTolerance);
  }
}

TEST(ChainLinears, hand_on_what_is_not_finite) {
  NBL_REQUIRE_GPU(gpu);
  const Case c{{.tokens = 1, .columns = 256, .rows = 64, .group_size = 32}, 2};
  for (const float bad : {INFINITY, -INFINITY, NAN}) {
    Random random(5);
    LinearData data(random, c.linear);
    data.x[77] = bad;
    data.x_words = activation_words(data.x, 1, c.linear.columns);
    for (const Mode mode : kModes) {
      std::vector<float> got;
      if (!run_record(gpu, c, data, mode, &got)) GTEST_SKIP() << "no room for a chain";
      for (const float value : got)
        EXPECT_FALSE(std::isfinite(value));
    }
  }
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const uint32_t columns : {32u, 128u, 136u, 544u, 1504u, 2080u}) {
    for (const uint32_t rows : {8u, 40u, 200u, 520u}) {
      LinearCase l{.tokens = 1, .columns = columns, .rows = rows, .group_size = 32};
      l.norm = rows % 16 == 8;
      l.bias = rows == 200;
      l.residual = rows >= 200;
      all.push_back({l, rows == 40 ? 1u : 3u});
    }
  }
  for (const float scale : {1e-20f, 1e-9f, 3e5f, 1e18f}) {
    all.push_back({{.tokens = 1, .columns = 416, .rows = 72, .group_size = 32}, 2, scale});
  }
  LinearCase l{.tokens = 1, .columns = 320, .rows = 128, .group_size = 64};
  l.swiglu = l.norm = true;
  all.push_back({l, 2});
  l.gelu = true;
  l.group_size = 128;
  l.columns = 384;
  l.f32_scales = true;
  all.push_back({l, 5});
  l.group_size = 16;  // smaller than what matrix units take together
  all.push_back({l, 1});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Shapes, ChainLinear, testing::ValuesIn(cases()));

}  // namespace
}  // namespace nbl::test
