// CTEST_THREADS: none
#include "lazywriter/detail/eviction/ghost_table.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>

namespace lazywriter::detail {
namespace {

TEST(GhostTable, FindsOnceWhatItRemembers) {
  GhostTable ghosts(100);
  ghosts.remember(spread_hash(7));
  EXPECT_FALSE(ghosts.take(spread_hash(8)));
  EXPECT_TRUE(ghosts.take(spread_hash(7)));
  EXPECT_FALSE(ghosts.take(spread_hash(7)));
}

TEST(GhostTable, WithoutSlotsRemembersNothing) {
  GhostTable ghosts(0);
  ghosts.remember(spread_hash(7));
  EXPECT_FALSE(ghosts.take(spread_hash(7)));
  EXPECT_EQ(ghosts.slots(), 0u);
  EXPECT_EQ(ghosts.memory_bytes(), 0u);
}

TEST(GhostTable, SmallTablesForgetTheOldestFirst) {
  for (std::size_t slots = 1; slots <= 16; ++slots) {
    GhostTable ghosts(slots);
    ASSERT_EQ(ghosts.slots(), slots);
    for (std::size_t key = 0; key <= slots; ++key)
      ghosts.remember(spread_hash(key));
    EXPECT_FALSE(ghosts.take(spread_hash(0))) << slots;
    for (std::size_t key = 1; key <= slots; ++key) {
      EXPECT_TRUE(ghosts.take(spread_hash(key))) << slots << ' ' << key;
    }
  }
}

TEST(GhostTable, TakingOneLeavesRoomForAnother) {
  GhostTable ghosts(4);
  for (std::size_t key = 0; key < 4; ++key)
    ghosts.remember(spread_hash(key));
  EXPECT_TRUE(ghosts.take(spread_hash(2)));
  ghosts.remember(spread_hash(9));
  for (const std::size_t key : {0u, 1u, 3u, 9u})
    EXPECT_TRUE(ghosts.take(spread_hash(key))) << key;
}

TEST(GhostTable, HoldsAboutAsManyAsItHasSlots) {
  for (const std::size_t slots : {17u, 57u, 64u, 1'000u, 9'000u}) {
    GhostTable ghosts(slots);
    EXPECT_NEAR(static_cast<double>(ghosts.slots()), static_cast<double>(slots),
                static_cast<double>(slots) / 16)
        << slots;
    // Consecutive integers, hashed by themselves as std::hash does, still spread over all buckets.
    for (std::size_t key = 0; key < 4 * slots; ++key)
      ghosts.remember(spread_hash(key));
    std::size_t found = 0;
    for (std::size_t key = 0; key < 4 * slots; ++key)
      found += ghosts.take(spread_hash(key));
    EXPECT_GE(found, ghosts.slots() * 95 / 100) << slots;
    EXPECT_LE(found, ghosts.slots()) << slots;
  }
}

TEST(GhostTable, RarelyTakesAStrangerForAGhost) {
  GhostTable ghosts(9'000);
  for (std::size_t key = 0; key < 20'000; ++key)
    ghosts.remember(spread_hash(key));
  std::size_t strangers = 0;
  for (std::size_t key = 20'000; key < 120'000; ++key)
    strangers += ghosts.take(spread_hash(key));
  EXPECT_LT(strangers, 100u);
}

TEST(GhostTable, CostsTwoBytesASlot) {
  const GhostTable ghosts(9'000);
  EXPECT_LE(ghosts.memory_bytes(), 2u * (9'000 + 16));
}

}  // namespace
}  // namespace lazywriter::detail
