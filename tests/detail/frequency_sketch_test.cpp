// CTEST_THREADS: none
#include "lazywriter/detail/eviction/frequency_sketch.hpp"

#include <gtest/gtest.h>

#include <cstddef>

#include "lazywriter/detail/eviction/ghost_table.hpp"

namespace lazywriter::detail {
namespace {

TEST(FrequencySketch, CountsRequests) {
  FrequencySketch sketch(1'000);
  EXPECT_EQ(sketch.estimate(spread_hash(1)), 0u);
  sketch.add(spread_hash(1), 1);
  EXPECT_EQ(sketch.estimate(spread_hash(1)), 1u);
  sketch.add(spread_hash(1), 3);
  EXPECT_EQ(sketch.estimate(spread_hash(1)), 4u);
  sketch.add(spread_hash(1), 0);
  EXPECT_EQ(sketch.estimate(spread_hash(1)), 4u);
  EXPECT_EQ(sketch.estimate(spread_hash(2)), 0u);
}

TEST(FrequencySketch, Saturates) {
  FrequencySketch sketch(1'000);
  for (int i = 0; i < 10; ++i)
    sketch.add(spread_hash(1), 4);
  EXPECT_EQ(sketch.estimate(spread_hash(1)), FrequencySketch::max_estimate);
}

TEST(FrequencySketch, NeverEstimatesTooLittleBeforeItFades) {
  constexpr std::size_t keys = 200;
  FrequencySketch sketch(1'000);
  for (unsigned round = 0; round < 3; ++round) {
    for (std::size_t key = 0; key < keys; ++key)
      sketch.add(spread_hash(key), 1);
  }
  // 600 additions have halved 30 of 500 words by now.
  std::size_t exact = 0, too_little = 0;
  for (std::size_t key = 0; key < keys; ++key) {
    exact += sketch.estimate(spread_hash(key)) == 3 ? 1 : 0;
    too_little += sketch.estimate(spread_hash(key)) < 3 ? 1 : 0;
  }
  EXPECT_GE(exact, keys * 8 / 10);
  EXPECT_LE(too_little, keys / 10);
}

TEST(FrequencySketch, ForgetsWhatIsNoLongerAskedFor) {
  FrequencySketch sketch(100);
  sketch.add(spread_hash(0), 12);
  for (std::size_t key = 1; key < 5'000; ++key)
    sketch.add(spread_hash(key), 1);
  EXPECT_LT(sketch.estimate(spread_hash(0)), 8u);
}

TEST(FrequencySketch, WithoutCapacityCountsNothing) {
  FrequencySketch sketch(0);
  sketch.add(spread_hash(1), 3);
  EXPECT_EQ(sketch.estimate(spread_hash(1)), 0u);
  EXPECT_EQ(sketch.memory_bytes(), 0u);
}

TEST(FrequencySketch, CostsFourBytesAnEntry) {
  EXPECT_EQ(FrequencySketch(1'000).memory_bytes(), 4'000u);
  FrequencySketch one(1);
  one.add(spread_hash(5), 2);
  EXPECT_EQ(one.estimate(spread_hash(5)), 2u);
}

}  // namespace
}  // namespace lazywriter::detail
