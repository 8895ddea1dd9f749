// Could break: a period that is rounded, ticks past 2^53, a counter that wraps in a step, begin
// stamps that lie before the end of earlier dispatches.
#include "rt/base/ticks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/random.h"

namespace nbl {
namespace {

// What a float holds, times the ticks, exact: `high` and `low` are the product, 32 bits apart.
// There is no type of 128 bits on 32-bit machines.
uint64_t exact_ns(uint64_t ticks, float period_ns) {
  int exponent = 0;
  const float mantissa = std::frexp(period_ns, &exponent);
  const auto whole = static_cast<uint64_t>(std::ldexp(mantissa, 24));
  const uint64_t lower = whole * (ticks & 0xffffffffu);
  const uint64_t high = whole * (ticks >> 32) + (lower >> 32);
  const uint64_t low = lower & 0xffffffffu;
  const int right = 24 - exponent;
  if (right >= 96) return 0;
  if (right >= 32) return high >> (right - 32);
  if (right <= -32) return high + low == 0 ? 0 : ~uint64_t{0};
  const bool fits = high >> (32 + right) == 0;
  if (right >= 0) return fits ? high << (32 - right) | low >> right : ~uint64_t{0};
  return fits ? (high << 32 | low) << -right : ~uint64_t{0};
}

TEST(Ticks, keep_the_fraction_of_the_period) {
  // Mali's 52.08 ns: rounded to 52, a second would be 1.5 ms short.
  EXPECT_EQ(ticks_to_ns(19'200'000, 52.083332f), 999'999'975u);
  EXPECT_EQ(ticks_to_ns(19'200'000, 52.0f), 998'400'000u);
  EXPECT_EQ(ticks_to_ns(3, 0.5f), 1u);
  EXPECT_EQ(ticks_to_ns(4, 0.5f), 2u);
  EXPECT_EQ(ticks_to_ns(1, 0.999f), 0u);
  EXPECT_EQ(ticks_to_ns(1'000'000'000, 0.001f), 1'000'000u);
  EXPECT_EQ(ticks_to_ns(0, 52.083332f), 0u);
  EXPECT_EQ(ticks_to_ns(7, 1e9f), 7'000'000'000u);
}

TEST(Ticks, are_exact_over_centuries) {
  // Past 2^53 ticks a double holds every other number only.
  const uint64_t far = (uint64_t{1} << 53) + 1;
  EXPECT_EQ(ticks_to_ns(far, 1.0f), far);
  EXPECT_EQ(ticks_to_ns(far, 2.0f), 2 * far);
  EXPECT_EQ(ticks_to_ns(~uint64_t{0}, 1.0f), ~uint64_t{0});
  EXPECT_EQ(ticks_to_ns(~uint64_t{0}, 0.5f), ~uint64_t{0} >> 1);
  // A year at 52.083332 ns, to the nanosecond.
  const uint64_t year = 605'491'200'000'000;
  EXPECT_EQ(ticks_to_ns(year, 52.083332f), exact_ns(year, 52.083332f));
  EXPECT_EQ(ticks_to_ns(year + 1, 52.083332f) - ticks_to_ns(year, 52.083332f), 52u);
}

TEST(Ticks, saturate_where_nanoseconds_do_not_fit) {
  EXPECT_EQ(ticks_to_ns(~uint64_t{0}, 52.083332f), ~uint64_t{0});
  EXPECT_EQ(ticks_to_ns(uint64_t{1} << 63, 2.0f), ~uint64_t{0});
  EXPECT_EQ(ticks_to_ns(uint64_t{1} << 62, 2.0f), uint64_t{1} << 63);
  EXPECT_EQ(ticks_to_ns(~uint64_t{0}, 1e9f), ~uint64_t{0});
  EXPECT_EQ(ticks_to_ns(1, std::numeric_limits<float>::max()), ~uint64_t{0});
  EXPECT_EQ(ticks_to_ns(0, std::numeric_limits<float>::max()), 0u);
  EXPECT_EQ(ticks_to_ns(~uint64_t{0}, std::numeric_limits<float>::denorm_min()), 0u);
}

TEST(Ticks, agree_with_128_bit_arithmetic_on_random_values) {
  test::Random random;
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t word = uint64_t{random.below(~0u)} << 32 | random.below(~0u);
    const uint64_t ticks = word >> random.below(64);
    const float period = std::ldexp(random.uniform(1, 2), static_cast<int>(random.below(41)) - 20);
    ASSERT_EQ(ticks_to_ns(ticks, period), exact_ns(ticks, period)) << ticks << " * " << period;
  }
}

TEST(TickTimeline, starts_at_the_origin) {
  TickTimeline line(64, 1000);
  const TickSpan first = line.next(1004, 1010);
  EXPECT_EQ(first.start, 4u);
  EXPECT_EQ(first.end, 10u);
  const TickSpan second = line.next(1013, 1020);  // 3 ticks of waiting
  EXPECT_EQ(second.start, 13u);
  EXPECT_EQ(second.end, 20u);
}

TEST(TickTimeline, counts_time_that_dispatches_share_once) {
  TickTimeline line(64, 100);
  line.next(100, 150);
  const TickSpan overlapping = line.next(110, 170);
  EXPECT_EQ(overlapping.start, 50u);
  EXPECT_EQ(overlapping.end, 70u);
  const TickSpan hidden = line.next(120, 160);  // had ended before the one before it
  EXPECT_EQ(hidden.start, 70u);
  EXPECT_EQ(hidden.end, 70u);
  const TickSpan after = line.next(180, 185);
  EXPECT_EQ(after.start, 80u);
  EXPECT_EQ(after.end, 85u);
}

TEST(TickTimeline, takes_begin_stamps_that_are_pinned_to_the_submit) {
  // The last step of a burst whose other steps took 400 ticks.
  const uint64_t submit = 100, origin = 500;
  TickTimeline line(64, origin);
  uint64_t end = origin, total = 0;
  for (uint64_t i = 1; i <= 9; ++i) {
    end += i;
    const TickSpan span = line.next(submit, end);
    EXPECT_EQ(span.end - span.start, i);
    total += span.end - span.start;
  }
  EXPECT_EQ(total, end - origin);
}

TEST(TickTimeline, wraps_with_the_counter) {
  for (const uint32_t bits : {36u, 40u, 48u, 63u, 64u}) {
    const uint64_t mask = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
    for (uint64_t before = 0; before < 40; ++before) {
      uint64_t at = (mask - before) & mask;
      TickTimeline line(bits, at);
      for (uint64_t i = 0; i < 4; ++i) {
        const TickSpan span = line.next((at + 2) & mask, (at + 9) & mask);
        EXPECT_EQ(span.start, i * 9 + 2) << bits << " bits, " << before;
        EXPECT_EQ(span.end, i * 9 + 9) << bits << " bits, " << before;
        at = (at + 9) & mask;
      }
    }
  }
}

TEST(TickTimeline, ignores_bits_that_are_not_valid) {
  const uint64_t junk = 0xabcdef0ull << 36;
  TickTimeline line(36, 5 | junk);
  EXPECT_EQ(line.next(6 | junk, 9).end, 4u);
  EXPECT_EQ(line.next(9, 12 | junk).end, 7u);
}

TEST(TickTimeline, adds_up_past_the_range_of_the_counter) {
  TickTimeline line(36, 0);
  const uint64_t quarter = uint64_t{1} << 34;
  TickSpan span{};
  for (uint64_t i = 0; i < 100; ++i)
    span = line.next(i * quarter, (i + 1) * quarter);
  EXPECT_EQ(span.start, 99 * quarter);
  EXPECT_EQ(span.end, 100 * quarter);
}

TEST(TickTimeline, is_empty_without_valid_bits) {
  TickTimeline line(0, 3);
  for (const uint64_t stamp : {uint64_t{5}, uint64_t{700}, ~uint64_t{0}}) {
    const TickSpan span = line.next(stamp, stamp + 40);
    EXPECT_EQ(span.start, 0u);
    EXPECT_EQ(span.end, 0u);
  }
}

}  // namespace
}  // namespace nbl
