// Could break: tensors that overlap while both live, wasted memory, an order that is not the same
// twice, sums that wrap.
#include "rt/mem/offsets.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <random>
#include <vector>

namespace {

using nbl::Interval;

struct Placement {
  std::vector<uint64_t> offsets;
  uint64_t total = 0;
};

Placement plan(const std::vector<Interval>& intervals, uint64_t align = 256) {
  std::vector<uint64_t> scratch(nbl::offsets_scratch_bytes(intervals.size()) / 8 + 1);
  Placement placement;
  placement.offsets.resize(intervals.size());
  EXPECT_TRUE(nbl::plan_offsets(intervals, align,
                                std::as_writable_bytes(std::span(scratch))
                                    .first(nbl::offsets_scratch_bytes(intervals.size())),
                                placement.offsets, &placement.total, nullptr)
                  .ok());
  EXPECT_TRUE(nbl::check_offsets(intervals, align, placement.offsets, placement.total));
  EXPECT_GE(placement.total, nbl::lower_bound_bytes(intervals, align));
  return placement;
}

uint64_t sum_of(const std::vector<Interval>& intervals, uint64_t align) {
  uint64_t sum = 0;
  for (const Interval& interval : intervals)
    sum += (interval.bytes + align - 1) / align * align;
  return sum;
}

// The live set at every single time, which lower_bound_bytes() does not walk.
uint64_t live_at_most(const std::vector<Interval>& intervals, uint64_t align, uint32_t times) {
  uint64_t most = 0;
  for (uint32_t time = 0; time < times; ++time) {
    uint64_t live = 0;
    for (const Interval& interval : intervals) {
      if (interval.first_use <= time && time <= interval.last_use) {
        live += (interval.bytes + align - 1) / align * align;
      }
    }
    most = std::max(most, live);
  }
  return most;
}

TEST(Offsets, nothing_takes_nothing) {
  EXPECT_EQ(plan({}).total, 0u);
  EXPECT_EQ(plan({{0, 0, 5}, {0, 3, 9}}).total, 0u);
}

TEST(Offsets, tensors_that_live_together_lie_side_by_side) {
  const Placement placement = plan({{100, 0, 3}, {257, 3, 4}, {1, 2, 3}});
  EXPECT_EQ(placement.total, 256u + 512u + 256u);
}

TEST(Offsets, tensors_that_live_one_after_the_other_share_a_place) {
  const Placement placement = plan({{1000, 0, 1}, {500, 2, 3}, {1024, 4, 4}});
  EXPECT_EQ(placement.total, 1024u);
  EXPECT_EQ(placement.offsets, (std::vector<uint64_t>{0, 0, 0}));
}

TEST(Offsets, both_ends_of_a_lifetime_are_in_use) {
  EXPECT_EQ(plan({{256, 0, 1}, {256, 1, 2}}).total, 512u);
  EXPECT_EQ(plan({{256, 0, 1}, {256, 2, 2}}).total, 256u);
}

TEST(Offsets, the_oracle_sees_overlap_bad_alignment_and_what_ends_outside) {
  const std::vector<Interval> intervals = {{256, 0, 2}, {300, 2, 3}, {256, 4, 5}};
  const auto check = [&](std::vector<uint64_t> offsets, uint64_t total) {
    return nbl::check_offsets(intervals, 256, offsets, total);
  };
  EXPECT_TRUE(check({0, 256, 0}, 768));
  EXPECT_TRUE(check({512, 0, 0}, 768));
  EXPECT_FALSE(check({256, 0, 0}, 768));  // overlap in its last 44 bytes
  EXPECT_FALSE(check({0, 0, 0}, 768));    // overlap at the shared time 2
  EXPECT_FALSE(check({0, 384, 0}, 768));  // not aligned
  EXPECT_FALSE(check({0, 256, 0}, 512));  // ends outside
  EXPECT_FALSE(check({0, 256, 0}, 700));  // the total is not aligned
  EXPECT_FALSE(check({0, 256, 1u << 30}, 768));
  EXPECT_FALSE(check({0, 256}, 768));
  EXPECT_FALSE(check({0, ~uint64_t{255}, 0}, 768));
}

TEST(Offsets, bytes_that_cannot_be_counted_are_an_error) {
  const uint64_t kMost = std::numeric_limits<uint64_t>::max();
  const std::vector<std::vector<Interval>> cases = {
      {{kMost, 0, 0}},
      {{kMost - 255, 0, 0}},
      {{kMost / 2, 0, 0}},
      {{kMost / 4, 0, 0}, {kMost / 4, 1, 1}, {kMost / 4, 2, 2}, {kMost / 4, 3, 3}}};
  for (const std::vector<Interval>& intervals : cases) {
    std::vector<uint64_t> scratch(3 * intervals.size()), offsets(intervals.size());
    uint64_t total = 0;
    nbl::Error error;
    EXPECT_EQ(nbl::plan_offsets(intervals, 256, std::as_writable_bytes(std::span(scratch)), offsets,
                                &total, &error)
                  .code(),
              nbl::Code::device_limit);
    EXPECT_STREQ(error.name, "activation memory");
  }
}

TEST(Offsets, lifetimes_up_to_the_last_time_are_fine) {
  const uint32_t kLast = std::numeric_limits<uint32_t>::max();
  EXPECT_EQ(plan({{256, 0, kLast}, {256, kLast, kLast}, {512, 1, kLast - 1}}).total, 768u);
}

std::vector<Interval> random_graph(std::mt19937* random, size_t count, uint32_t times) {
  std::vector<Interval> intervals(count);
  const uint32_t style = (*random)() % 3;
  for (Interval& interval : intervals) {
    const uint64_t sizes[] = {(*random)() % 5000, ((*random)() % 20) * 256,
                              uint64_t{1} << ((*random)() % 24)};
    interval.bytes = sizes[style];
    interval.first_use = (*random)() % times;
    const uint32_t most = (*random)() % 8 == 0 ? times : std::min(times, 6u);
    interval.last_use = std::min<uint32_t>(times - 1, interval.first_use + (*random)() % most);
  }
  return intervals;
}

TEST(Offsets, thousands_of_random_graphs_are_placed_without_overlap_and_twice_the_same) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  double worst = 0, sum = 0;
  const int kGraphs = 3000;
  for (int round = 0; round < kGraphs; ++round) {
    const uint32_t times = 1 + random() % 60;
    const std::vector<Interval> intervals = random_graph(&random, random() % 48, times);
    const uint64_t align = uint64_t{1} << (random() % 13);
    const Placement placement = plan(intervals, align);
    ASSERT_FALSE(HasFailure()) << "graph " << round;
    ASSERT_EQ(placement.offsets, plan(intervals, align).offsets);
    const uint64_t bound = live_at_most(intervals, align, times);
    ASSERT_EQ(nbl::lower_bound_bytes(intervals, align), bound);
    ASSERT_LE(placement.total, sum_of(intervals, align));
    if (bound == 0) continue;
    const double ratio = static_cast<double>(placement.total) / static_cast<double>(bound);
    worst = std::max(worst, ratio);
    sum += ratio - 1;
  }
  printf("random graphs: %.2f %% over the bound on average, %.1f %% at worst\n",
         100 * sum / kGraphs, 100 * (worst - 1));
  EXPECT_LT(sum / kGraphs, 0.02);
}

// What the plan of one decode or prefill step looks like: a residual stream through every layer,
// fused or op by op.
struct Decoder {
  uint64_t rows, embed, heads_dim, kv_dim, ffn, vocab;
  uint32_t layers;
  bool fused;
};

struct Graph {
  std::vector<Interval> intervals;
  uint32_t now = 0;

  // A tensor written at `now`.
  size_t write(uint64_t rows, uint64_t columns) {
    intervals.push_back({rows * ((columns + 31) / 32 * 32) * 4, now, now});
    return intervals.size() - 1;
  }
  void read(size_t tensor) { intervals[tensor].last_use = now; }
};

size_t fused_layer(Graph* graph, const Decoder& d, size_t x) {
  const auto step = [&](std::initializer_list<size_t> reads, uint64_t columns) {
    ++graph->now;
    for (const size_t tensor : reads)
      graph->read(tensor);
    return graph->write(d.rows, columns);
  };
  const size_t qkv = step({x}, d.heads_dim + 2 * d.kv_dim);
  const size_t q = step({qkv}, d.heads_dim);
  const size_t mix = step({q}, d.heads_dim);
  const size_t after = step({mix, x}, d.embed);
  const size_t hidden = step({after}, d.ffn);
  return step({hidden, after}, d.embed);
}

size_t plain_layer(Graph* graph, const Decoder& d, size_t x) {
  const auto step = [&](std::initializer_list<size_t> reads, uint64_t columns) {
    ++graph->now;
    for (const size_t tensor : reads)
      graph->read(tensor);
    return graph->write(d.rows, columns);
  };
  const size_t norm = step({x}, d.embed);
  const size_t q = step({norm}, d.heads_dim);
  const size_t k = step({norm}, d.kv_dim);
  const size_t v = step({norm}, d.kv_dim);
  const size_t q_turned = step({q}, d.heads_dim);
  const size_t k_turned = step({k}, d.kv_dim);
  ++graph->now;
  graph->read(k_turned);
  ++graph->now;
  graph->read(v);
  const size_t mix = step({q_turned}, d.heads_dim);
  const size_t projected = step({mix}, d.embed);
  const size_t after = step({projected, x}, d.embed);
  const size_t norm2 = step({after}, d.embed);
  const size_t gate = step({norm2}, d.ffn);
  const size_t up = step({norm2}, d.ffn);
  const size_t hidden = step({gate, up}, d.ffn);
  const size_t down = step({hidden}, d.embed);
  return step({down, after}, d.embed);
}

std::vector<Interval> decoder_graph(const Decoder& d) {
  Graph graph;
  const size_t tokens = graph.write(1, d.rows);
  graph.intervals[tokens].last_use = graph.now;
  size_t x = graph.write(d.rows, d.embed);
  for (uint32_t layer = 0; layer < d.layers; ++layer) {
    x = d.fused ? fused_layer(&graph, d, x) : plain_layer(&graph, d, x);
  }
  ++graph.now;
  graph.read(x);
  const size_t norm = graph.write(d.rows, d.embed);
  ++graph.now;
  graph.read(norm);
  const size_t logits = graph.write(1, d.vocab);
  ++graph.now;
  graph.read(logits);
  graph.intervals[logits].last_use = graph.now;
  return graph.intervals;
}

void expect_near_bound(const std::vector<Interval>& intervals, const char* name) {
  const Placement placement = plan(intervals);
  const uint64_t bound = nbl::lower_bound_bytes(intervals, 256);
  EXPECT_LE(static_cast<double>(placement.total), 1.02 * static_cast<double>(bound)) << name;
}

TEST(Offsets, decoders_are_within_two_percent_of_the_lower_bound) {
  for (const bool fused : {true, false}) {
    for (const uint64_t rows : {1, 7, 32, 128, 512}) {
      expect_near_bound(decoder_graph({rows, 64, 64, 32, 172, 512, 5, fused}), "stories260K");
      expect_near_bound(decoder_graph({rows, 288, 288, 288, 768, 32000, 6, fused}), "stories15M");
      expect_near_bound(decoder_graph({rows, 576, 576, 192, 1536, 49152, 30, fused}), "smol 135M");
      expect_near_bound(decoder_graph({rows, 2048, 2048, 256, 5632, 32000, 22, fused}), "1.1B");
      expect_near_bound(decoder_graph({rows, 2560, 2048, 512, 10240, 262144, 26, fused}),
                        "3B wide");
      expect_near_bound(decoder_graph({rows, 4096, 4096, 1024, 14336, 128256, 32, fused}), "8B");
    }
  }
}

// No placement may reach the bound, and a greedy planner may miss one that does: one in 400 is let
// through.
TEST(Offsets, random_decoders_are_within_two_percent_of_the_lower_bound) {
  int above = 0;
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 400; ++round) {
    const uint64_t embed = 32 + random() % 4096;
    const Decoder d = {.rows = 1 + random() % 300,
                       .embed = embed,
                       .heads_dim = 32 + random() % 4096,
                       .kv_dim = 16 + random() % 1024,
                       .ffn = embed + random() % 12000,
                       .vocab = 100 + random() % 100000,
                       .layers = 1 + static_cast<uint32_t>(random() % 8),
                       .fused = random() % 2 == 0};
    const std::vector<Interval> intervals = decoder_graph(d);
    const double bound = static_cast<double>(nbl::lower_bound_bytes(intervals, 256));
    above += static_cast<double>(plan(intervals).total) > 1.02 * bound ? 1 : 0;
    ASSERT_FALSE(HasFailure()) << "decoder " << round;
  }
  EXPECT_LE(above, 1);
}

TEST(Offsets, the_largest_count_ends_in_time) {
  std::mt19937 random(1);
  std::vector<Interval> intervals = random_graph(&random, 4096, 2000);
  const auto start = std::chrono::steady_clock::now();
  const Placement placement = plan(intervals);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  printf("4096 tensors: %.2f s, %.2f %% over the bound\n", seconds.count(),
         100.0 * static_cast<double>(placement.total) /
                 static_cast<double>(nbl::lower_bound_bytes(intervals, 256)) -
             100.0);
  EXPECT_LT(seconds.count(), 30);
}

}  // namespace
