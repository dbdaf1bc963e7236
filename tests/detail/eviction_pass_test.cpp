// Passes of the eviction policy: pinned entries, budgets, entries that leave meanwhile.
// CTEST_THREADS: none
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "detail/eviction_shard.hpp"

namespace lazywriter::detail {
namespace {

using eviction_test::Keys;
using eviction_test::Node;
using eviction_test::Shard;

TEST(EvictionPass, StepsOverPinnedEntriesAtEveryPlaceOfTheSmallQueue) {
  for (std::size_t pinned = 0; pinned < 5; ++pinned) {
    Shard shard(10);
    Keys expected;
    for (std::size_t key = 0; key < 5; ++key) {
      shard.insert(key, key == pinned);
      if (key != pinned) expected.push_back(key);
    }
    EXPECT_EQ(shard.victims(5), expected) << pinned;
    EXPECT_EQ(shard.policy.size(), 1u);
  }
}

TEST(EvictionPass, StepsOverPinnedEntriesAtEveryPlaceOfTheMainQueue) {
  for (std::size_t pinned = 0; pinned < 5; ++pinned) {
    for (int hits = 0; hits < 5; ++hits) {
      Shard shard(10);
      Keys expected;
      for (std::size_t key = 0; key < 5; ++key) {
        Node& node = shard.insert_into_main(key);
        if (key != pinned) expected.push_back(key);
        if (key != pinned) continue;
        node.pinned = true;
        shard.hit(node, hits);
      }
      EXPECT_EQ(shard.victims(5), expected) << pinned;
      EXPECT_EQ(shard.policy.size(), 1u);
    }
  }
}

TEST(EvictionPass, WhatWasPinnedIsEvictedInALaterPassAfterTheOthers) {
  Shard shard(10);
  Node& dirty = shard.insert(0, true);
  for (std::size_t key = 1; key < 6; ++key)
    shard.insert(key);
  EXPECT_EQ(shard.victims(1), (Keys{1}));
  dirty.pinned = false;
  EXPECT_EQ(shard.victims(1), (Keys{2}));  // the same pass does not look at it again
  shard.policy.begin_pass();
  EXPECT_EQ(shard.victims(4), (Keys{3, 4, 5, 0}));
}

TEST(EvictionPass, AnAllPinnedCacheIsLookedAtOnceAPassInSmallSteps) {
  for (const bool in_main : {false, true}) {
    Shard shard(300);
    for (std::size_t key = 0; key < 300; ++key) {
      Node& node = in_main && key % 2 == 0 ? shard.insert_into_main(key) : shard.insert(key);
      node.pinned = true;
    }
    for (int pass = 0; pass < 3; ++pass) {
      shard.looked_at.clear();
      shard.policy.begin_pass();
      std::size_t calls = 0;
      for (std::size_t budget = 0; budget == 0;) {
        budget = 64;
        ASSERT_EQ(shard.evict(budget), nullptr);
        ++calls;
      }
      EXPECT_EQ(calls, 300u / 64 + 1);
      std::sort(shard.looked_at.begin(), shard.looked_at.end());
      EXPECT_EQ(shard.looked_at.size(), 300u);
      EXPECT_EQ(std::unique(shard.looked_at.begin(), shard.looked_at.end()), shard.looked_at.end());
    }
  }
}

TEST(EvictionPass, AnExhaustedPassIsFollowedByANewOneWithoutBeingTold) {
  Shard shard(10);
  Node& first = shard.insert(1, true);
  shard.insert(2, true);
  EXPECT_EQ(shard.evict(), nullptr);
  first.pinned = false;
  EXPECT_EQ(shard.evict(), &first);
}

TEST(EvictionPass, LooksAtNoMoreThanItsBudget) {
  Shard shard(10);
  for (std::size_t key = 0; key < 10; ++key)
    shard.insert(key, key < 5);
  std::size_t budget = 3;
  EXPECT_EQ(shard.evict(budget), nullptr);
  EXPECT_EQ(budget, 0u);
  EXPECT_EQ(shard.looked_at, (Keys{0, 1, 2}));
  EXPECT_EQ(shard.evict(budget), nullptr);
  EXPECT_EQ(shard.looked_at.size(), 3u);
  budget = 64;
  EXPECT_EQ(shard.evict(budget)->key, 5u);
  EXPECT_EQ(budget, 61u);
}

TEST(EvictionPass, EntriesMayLeaveFromAnyPlaceDuringAPass) {
  for (std::size_t leaving = 0; leaving < 8; ++leaving) {
    Shard shard(10);
    std::vector<Node*> nodes;
    for (std::size_t key = 0; key < 8; ++key)
      nodes.push_back(&shard.insert(key, key < 4));
    std::size_t budget = 4;
    EXPECT_EQ(shard.evict(budget), nullptr);  // 0 to 3 are behind the cursor now
    shard.policy.removed(*nodes[leaving]);
    EXPECT_EQ(nodes[leaving]->hook.queue, EvictionQueue::none);
    shard.policy.removed(*nodes[leaving]);  // a second time changes nothing
    EXPECT_EQ(shard.policy.size(), 7u);
    for (Node* node : nodes)
      node->pinned = false;
    shard.policy.begin_pass();
    Keys expected{4, 5, 6, 7, 0, 1, 2, 3};
    std::erase(expected, leaving);
    EXPECT_EQ(shard.victims(8), expected) << leaving;
  }
}

}  // namespace
}  // namespace lazywriter::detail
