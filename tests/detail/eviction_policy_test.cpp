// Which entry the eviction policy picks, step by step.
// CTEST_THREADS: none
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <vector>

#include "detail/eviction_shard.hpp"

namespace lazywriter::detail {
namespace {

using eviction_test::Keys;
using eviction_test::Node;
using eviction_test::Policy;
using eviction_test::Shard;

TEST(EvictionPolicy, EvictsNewEntriesOldestFirst) {
  Shard shard(10);
  for (std::size_t key = 0; key < 12; ++key)
    shard.insert(key);
  EXPECT_EQ(shard.victims(3), (Keys{0, 1, 2}));
  EXPECT_EQ(shard.policy.size(), 9u);
}

TEST(EvictionPolicy, AVictimIsInNoQueue) {
  Shard shard(10);
  shard.insert(1);
  Node* victim = shard.evict();
  ASSERT_NE(victim, nullptr);
  EXPECT_EQ(victim->hook.queue, EvictionQueue::none);
  EXPECT_EQ(victim->links.prev, nullptr);
  EXPECT_EQ(victim->links.next, nullptr);
  EXPECT_EQ(shard.policy.size(), 0u);
  EXPECT_EQ(shard.evict(), nullptr);
}

TEST(EvictionPolicy, OneHitMovesANewEntryToTheMainQueue) {
  Shard shard(10);
  Node& wanted = shard.insert(0);
  for (std::size_t key = 1; key < 5; ++key)
    shard.insert(key);
  shard.hit(wanted);
  EXPECT_EQ(wanted.hook.queue, EvictionQueue::small);
  EXPECT_EQ(shard.victims(1), (Keys{1}));
  EXPECT_EQ(wanted.hook.queue, EvictionQueue::main);
  EXPECT_EQ(wanted.hook.frequency, 0);
  // Down to its tenth the small queue gives first, then the main queue does.
  EXPECT_EQ(shard.victims(4), (Keys{2, 3, 0, 4}));
}

TEST(EvictionPolicy, AGhostEntersTheMainQueue) {
  Shard shard(10);
  shard.insert(1);
  shard.insert(2);
  EXPECT_EQ(shard.victims(1), (Keys{1}));
  EXPECT_EQ(shard.insert(1).hook.queue, EvictionQueue::main);
  EXPECT_EQ(shard.insert(3).hook.queue, EvictionQueue::small);
}

TEST(EvictionPolicy, GhostsAreForgottenAfterNineTenthsOfTheCapacity) {
  Shard shard(10);
  for (std::size_t key = 0; key < 11; ++key)
    shard.insert(key);
  shard.victims(10);
  EXPECT_EQ(shard.insert(0).hook.queue, EvictionQueue::small);
  for (std::size_t key = 1; key < 10; ++key) {
    EXPECT_EQ(shard.insert(key).hook.queue, EvictionQueue::main) << key;
  }
}

TEST(EvictionPolicy, RemovedEntriesAndVictimsOfTheMainQueueLeaveNoGhost) {
  Shard shard(10);
  shard.policy.removed(shard.insert(1));
  EXPECT_EQ(shard.insert(1).hook.queue, EvictionQueue::small);
  shard.insert_into_main(2);
  EXPECT_EQ(shard.victims(1), (Keys{2}));
  EXPECT_EQ(shard.insert(2).hook.queue, EvictionQueue::small);
}

TEST(EvictionPolicy, AFullMainQueueTakesOnlyWhatIsWantedMore) {
  Shard shard(1'000);
  for (std::size_t key = 0; key < 900; ++key)
    shard.insert_into_main(key, 3);
  shard.policy.removed(shard.insert_into_main(1'001, 3));
  Node& wanted_less = shard.insert(1'000);
  Node& wanted_more = shard.insert(1'001);
  for (std::size_t key = 2'000; key < 2'100; ++key)
    shard.insert(key);
  shard.hit(wanted_less, 1);
  shard.hit(wanted_more, 3);
  EXPECT_EQ(shard.victims(2), (Keys{1'000, 0}));
  EXPECT_EQ(wanted_more.hook.queue, EvictionQueue::main);
  // The loser left a ghost, whose return counts for more.
  EXPECT_EQ(shard.insert(1'000).hook.queue, EvictionQueue::main);
}

TEST(EvictionPolicy, AGhostWantedLessThanTheMainQueueTriesTheSmallOne) {
  Shard shard(1'000);
  // Each promotion counts three requests of the key; five are more than a ghost counts for.
  for (int round = 0; round < 4; ++round)
    shard.policy.removed(shard.insert_into_main(0, 3));
  for (std::size_t key = 0; key < 900; ++key)
    shard.insert_into_main(key, 3);
  for (std::size_t key = 1'000; key < 1'101; ++key)
    shard.insert(key);
  EXPECT_EQ(shard.victims(1), (Keys{1'000}));
  const Node& returned = shard.insert(1'000);
  EXPECT_EQ(returned.hook.queue, EvictionQueue::small);
  EXPECT_EQ(returned.hook.frequency, 1);
}

TEST(EvictionPolicy, AFullMainQueueThatIsAllPinnedLetsWantedEntriesIn) {
  Shard shard(10);
  for (std::size_t key = 0; key < 9; ++key)
    shard.insert_into_main(key).pinned = true;
  Node& wanted = shard.insert(100);
  shard.insert(101);
  shard.insert(102);
  shard.hit(wanted);
  EXPECT_EQ(shard.victims(1), (Keys{101}));
  EXPECT_EQ(wanted.hook.queue, EvictionQueue::main);
}

TEST(EvictionPolicy, APinnedEntryDoesNotEnterAFullMainQueue) {
  Shard shard(10);
  for (std::size_t key = 0; key < 9; ++key)
    shard.insert_into_main(key);
  Node& wanted = shard.insert(100, true);
  shard.insert(101);
  shard.hit(wanted, 3);
  EXPECT_EQ(shard.victims(1), (Keys{101}));
  EXPECT_EQ(wanted.hook.queue, EvictionQueue::small);
  EXPECT_EQ(wanted.hook.frequency, 3);
}

TEST(EvictionPolicy, AMainQueueIsFullWithWhatItsShardKeepsEvenBelowTheCapacity) {
  Shard shard(1'000);
  for (std::size_t key = 0; key < 700; ++key)
    shard.insert_into_main(key, 3);
  for (std::size_t key = 1'000; key < 1'200; ++key)
    shard.insert(key);
  shard.victims(100);
  shard.policy.begin_pass();  // 800 stayed, 100 of them in the small queue
  shard.hit(shard.insert(2'000));
  for (std::size_t key = 3'000; key < 3'200; ++key)
    shard.insert(key);
  EXPECT_EQ(shard.victims(101).back(), 2'000u);  // wanted, but less than what it would replace
}

TEST(EvictionPolicy, ALoopOverMoreThanFitsIsAnsweredInPart) {
  Shard shard(500);
  std::deque<Node> nodes;
  for (std::size_t key = 0; key < 600; ++key)
    nodes.push_back(Node{key, false, {}, {}});
  std::size_t hits = 0;
  for (int round = 0; round < 40; ++round) {
    for (Node& node : nodes) {
      if (node.hook.queue != EvictionQueue::none) {
        Policy::touched(node);
        ++hits;
      } else {
        shard.policy.inserted(node);
        if (shard.policy.size() > 550) shard.victims(50);
      }
    }
  }
  EXPECT_GT(hits, 40u * 600u / 2);  // first-in-first-out: none
}

TEST(EvictionPolicy, TheCounterSaturates) {
  Shard shard(10);
  Node& node = shard.insert(1);
  for (int hits = 1; hits <= 600; ++hits) {
    shard.hit(node);
    EXPECT_EQ(node.hook.frequency, std::min(hits, 3));
  }
}

TEST(EvictionPolicy, TheMainQueueSparesAnEntryOncePerHit) {
  Shard shard(100);
  Node& wanted = shard.insert_into_main(0);
  for (std::size_t key = 1; key < 8; ++key)
    shard.insert_into_main(key);
  shard.hit(wanted, 2);
  EXPECT_EQ(shard.victims(1), (Keys{1}));
  EXPECT_EQ(wanted.hook.frequency, 1);
  EXPECT_EQ(shard.victims(6), (Keys{2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(shard.victims(1), (Keys{0}));
}

TEST(EvictionPolicy, EntriesHitWithoutPauseAreStillEvictedAfterOneRound) {
  Shard shard(100);
  std::vector<Node*> nodes;
  for (std::size_t key = 0; key < 50; ++key)
    nodes.push_back(&shard.insert_into_main(key));
  for (std::size_t evicted = 0; evicted < 50; ++evicted) {
    Node* victim = nullptr;
    for (std::size_t looks = 0; victim == nullptr; ++looks) {
      ASSERT_LE(looks, 50u);
      for (Node* node : nodes)
        shard.hit(*node, 3);
      std::size_t budget = 1;
      victim = shard.evict(budget);
    }
  }
  EXPECT_EQ(shard.policy.size(), 0u);
}

TEST(EvictionPolicy, CapacityOneKeepsTheNewest) {
  Shard shard(1);
  for (std::size_t key = 0; key < 100; ++key) {
    shard.insert(key);
    if (shard.policy.size() > 1) {
      EXPECT_EQ(shard.victims(1), (Keys{key - 1}));
    }
  }
}

TEST(EvictionPolicy, WithoutCapacityKeepsTheOrderButNoGhosts) {
  Shard shard(0);
  for (std::size_t key = 0; key < 100; ++key)
    shard.insert(key);
  EXPECT_EQ(shard.victims(2), (Keys{0, 1}));
  EXPECT_EQ(shard.insert(0).hook.queue, EvictionQueue::small);
  EXPECT_EQ(shard.policy.memory_bytes(), sizeof(Policy));
}

TEST(EvictionPolicy, AScanLeavesTheMainQueueAlone) {
  Shard shard(1'000);
  for (std::size_t key = 0; key < 900; ++key)
    shard.hit(shard.insert(key));
  std::size_t lost = 0;
  for (std::size_t key = 1'000; key < 50'000; ++key) {
    shard.insert(key);
    while (shard.policy.size() > 1'000)
      lost += shard.evict()->key < 1'000 ? 1 : 0;
  }
  EXPECT_LT(lost, 40u);  // a few strangers pass for ghosts
}

TEST(EvictionPolicy, MetadataStaysWithinThirtyTwoBytesAnEntry) {
  constexpr std::size_t capacity = 1'250;
  const Policy policy(capacity);
  constexpr std::size_t in_the_entry = sizeof(EvictionHook) + sizeof(EvictionLinks<Node>);
  EXPECT_LE(policy.memory_bytes() + capacity * in_the_entry, 32 * capacity);
}

}  // namespace
}  // namespace lazywriter::detail
