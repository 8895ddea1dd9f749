// What could break: the parts of an attention that its work-groups share out by heads or by kv
// heads and by positions, and that the first of them joins; a work-group that waits for one that
// never comes.
#include "rt/kernels/chain.h"

#include <gtest/gtest.h>

#include "rt/kernels/rope_update_cache.h"
#include "rt/kernels/sdpa_token.h"
#include "tests/rt/kernels/chain_cases.h"
#include "tests/support/attention.h"
#include "tests/support/rope_table.h"

namespace nbl::test {
namespace {

struct Case {
  uint32_t heads, kv_heads, head_dim, context, input_pos;
  uint32_t cores;  // that the record is made for; one work-group does what they would
  uint32_t window = 0;
  float softcap = 0;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << "H" << c.heads << "/" << c.kv_heads << " D" << c.head_dim << " at " << c.input_pos
       << " cores " << c.cores << " window " << c.window << " cap " << c.softcap;
}

template <typename T>
std::vector<T> joined(const std::vector<T>& a, const std::vector<T>& b) {
  std::vector<T> both = a;
  both.insert(both.end(), b.begin(), b.end());
  return both;
}

// One record, an attention, and what it reads and writes.
struct Attention {
  explicit Attention(const Case& c)
      : caches(c.kv_heads, c.context, c.head_dim, DType::f16),
        columns((c.heads + 2 * c.kv_heads) * c.head_dim),
        step(step_words(c.input_pos, 1)),
        table(words_of(rope_table(c.context, c.head_dim, 1e4))) {
    Random random(c.heads * 1000 + c.input_pos);
    qkv = activation_words(random.normals(columns), 1, columns, NAN);
    const uint32_t hidden =
        c.window == 0 ? 0 : c.input_pos + 1 - std::min(c.input_pos + 1, c.window);
    for (uint32_t h = 0; h < c.kv_heads; ++h) {
      for (uint32_t p = hidden; p < c.input_pos; ++p) {
        caches.set_row(&caches.k, h, p, random.normals(c.head_dim));
        caches.set_row(&caches.v, h, p, random.normals(c.head_dim));
      }
    }
    out.assign(row_stride(c.heads * c.head_dim), kPoison);
  }

  // False where the device takes no chain.
  bool plan(const Gpu& gpu, const Case& c) {
    const Caps caps = caps_of_cores(gpu, c.cores);
    const SdpaTokenArgs args{c.heads,   c.kv_heads, c.head_dim, c.head_dim, false,
                             c.context, 0.2f,       DType::f16, c.window,   c.softcap};
    KernelCall token;
    if (!sdpa_token_fits(caps, args)) return false;
    EXPECT_TRUE(call_sdpa_token(caps, args, &token, nullptr).ok());
    ChainShape shape;
    if (!join_chain(caps, token, &shape)) return false;
    settle_chain(caps, 0, &shape);
    // As if parts were there already, of numbers that are none.
    messages.assign(std::max(chain_part_bytes(caps, token) / 4, uint64_t{4}), kPoison);
    ChainPlace places[8] = {};
    places[4].bytes = caches.k.size() * 4;
    places[5].bytes = qkv.size() * 4;
    places[kChainParts].message = true;
    write_chain_record(caps, shape, token, places, record);
    call = call_chain(caps_of_cores(gpu, 1), shape, {1, 0, 0});
    return true;
  }

  std::string run(Gpu* gpu) {
    sync.assign(CHAIN_SYNC_WORDS, 0);
    std::vector<uint32_t> both = joined(caches.k, caches.v), values = joined(qkv, out);
    const std::string problem =
        gpu->run(call, {reads(step), reads(table), writes(both), writes(values), reads(record),
                        writes(sync), writes(messages)});
    const auto middle = both.begin() + static_cast<ptrdiff_t>(caches.k.size());
    caches.k.assign(both.begin(), middle);
    caches.v.assign(middle, both.end());
    out.assign(values.begin() + static_cast<ptrdiff_t>(qkv.size()), values.end());
    return problem;
  }

  Caches caches;
  uint32_t columns;
  std::vector<uint32_t> step, table, qkv, out, messages, sync;
  std::vector<uint32_t> record = std::vector<uint32_t>(CHAIN_WORDS, 0);
  KernelCall call;
};

class ChainAttention : public testing::TestWithParam<Case> {};

TEST_P(ChainAttention, joins_its_parts_as_float64_does) {
  NBL_REQUIRE_GPU(gpu);
  const Case& c = GetParam();
  Attention a(c);
  if (!a.plan(*gpu, c)) GTEST_SKIP() << "no room for a chain on this device";
  // The one work-group joins the parts of a task before it makes them: those of its second run are
  // there from the first.
  ASSERT_EQ(a.run(gpu), "");
  const uint32_t last = c.heads * c.head_dim - 1;
  const bool split = std::isnan(std::bit_cast<float>(a.out[last]));
  ASSERT_EQ(a.run(gpu), "");
  EXPECT_EQ(a.sync[CHAIN_STALLED], 0u);
  EXPECT_EQ(split, c.cores > c.kv_heads && c.input_pos >= 256);

  const Caches before = Attention(c).caches;
  Caches fresh = before;
  std::vector<uint32_t> q(row_stride(c.heads * c.head_dim), kPoison);
  const RopeUpdateCacheArgs rope{1,          c.heads, c.kv_heads, c.head_dim,
                                 c.head_dim, false,   c.context,  DType::f16};
  KernelCall call;
  ASSERT_TRUE(call_rope_update_cache(gpu->caps(), rope, &call, nullptr).ok());
  ASSERT_EQ(gpu->run(call, {reads(a.step), reads(a.qkv), reads(a.table), writes(q), writes(fresh.k),
                            writes(fresh.v), reads(a.step)}),
            "");
  EXPECT_EQ(a.caches.v, fresh.v);

  SdpaArgs args{1, c.heads, c.kv_heads, c.head_dim, c.context, 0.2f};
  args.window = c.window;
  args.softcap = c.softcap;
  const auto want = reference_attention(args, a.caches, live_rows(q, 1, c.heads * c.head_dim),
                                        {c.input_pos, 1}, all_queries(1, c.heads));
  EXPECT_LT(relative_error(want, live_rows(a.out, 1, c.heads * c.head_dim)), kAttentionError);
}

TEST(ChainAttentionParts, that_do_not_come_are_given_up) {
  NBL_REQUIRE_GPU(gpu);
  const Case c{1, 1, 32, 2500, 700, 4};
  Attention a(c);
  if (!a.plan(*gpu, c)) GTEST_SKIP() << "no room for a chain on this device";
  std::fill(a.messages.begin(), a.messages.end(), 0);
  ASSERT_EQ(a.run(gpu), "");
  EXPECT_EQ(a.sync[CHAIN_STALLED], 1u);
}

// By kv heads with 4 cores a kv head, by heads with 12 a head, and all by one.
INSTANTIATE_TEST_SUITE_P(
    Shapes, ChainAttention,
    testing::Values(Case{6, 2, 64, 2500, 0, 72}, Case{6, 2, 64, 2500, 127, 72},
                    Case{6, 2, 64, 2500, 128, 1}, Case{6, 2, 64, 2500, 700, 1},
                    Case{6, 2, 64, 2500, 300, 72}, Case{6, 2, 64, 2500, 1279, 72},
                    Case{6, 2, 64, 2500, 2100, 8}, Case{5, 1, 32, 2500, 700, 5},
                    Case{2, 1, 128, 2500, 999, 24}, Case{8, 8, 64, 2500, 511, 96},
                    Case{6, 2, 64, 2500, 2100, 72, 513}, Case{6, 2, 64, 2500, 900, 8, 700, 2}));

}  // namespace
}  // namespace nbl::test
