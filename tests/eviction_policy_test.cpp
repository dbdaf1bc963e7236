#include "lazywriter/detail/eviction_policy.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <limits>
#include <vector>

namespace lazywriter::detail {
namespace {

struct Node {
  std::size_t key = 0;
  bool pinned = false;
  EvictionHook<Node> hook;
};

struct HookOf {
  EvictionHook<Node>& operator()(Node& node) const noexcept { return node.hook; }
};

struct HashOf {
  std::size_t operator()(const Node& node) const noexcept { return node.key; }
};

using Policy = EvictionPolicy<Node, HookOf, HashOf>;
using Keys = std::vector<std::size_t>;

static_assert(sizeof(EvictionHook<Node>) <= 3 * sizeof(void*));

/// A policy, its nodes, and what the shard around it would do.
class Shard {
 public:
  explicit Shard(std::size_t capacity) : policy(capacity) {}

  Node& insert(std::size_t key, bool pinned = false) {
    Node& node = nodes_.emplace_back(Node{key, pinned, {}});
    policy.inserted(node);
    return node;
  }

  /// Adds a new entry and promotes it, behind what is in the main queue.
  Node& insert_into_main(std::size_t key) {
    Node& node = insert(key);
    Policy::touched(node);
    // Passes over a shard in which everything is pinned promote, and otherwise change nothing.
    while (node.hook.queue != EvictionQueue::main)
      promote_only();
    promote_only();
    node.hook.frequency = 0;
    return node;
  }

  void hit(Node& node, int times = 1) {
    for (int i = 0; i < times; ++i)
      Policy::touched(node);
  }

  Node* evict(std::size_t& budget) {
    return policy.evict_one(
        [this](const Node& node) {
          looked_at.push_back(node.key);
          return !node.pinned;
        },
        budget);
  }

  Node* evict() {
    std::size_t budget = std::numeric_limits<std::size_t>::max();
    return evict(budget);
  }

  /// The keys of the next `count` victims.
  Keys victims(std::size_t count) {
    Keys keys;
    while (keys.size() < count) {
      const Node* node = evict();
      if (node == nullptr) break;
      keys.push_back(node->key);
    }
    return keys;
  }

  Policy policy;
  Keys looked_at;

 private:
  void promote_only() {
    std::size_t budget = std::numeric_limits<std::size_t>::max();
    policy.evict_one([](const Node&) { return false; }, budget);
  }

  std::deque<Node> nodes_;
};

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
  EXPECT_EQ(victim->hook.prev, nullptr);
  EXPECT_EQ(victim->hook.next, nullptr);
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

TEST(EvictionPolicy, StepsOverPinnedEntriesAtEveryPlaceOfTheSmallQueue) {
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

TEST(EvictionPolicy, StepsOverPinnedEntriesAtEveryPlaceOfTheMainQueue) {
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

TEST(EvictionPolicy, WhatWasPinnedIsEvictedInALaterPassAfterTheOthers) {
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

TEST(EvictionPolicy, AnAllPinnedCacheIsLookedAtOnceAPassInSmallSteps) {
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

TEST(EvictionPolicy, AnExhaustedPassIsFollowedByANewOneWithoutBeingTold) {
  Shard shard(10);
  Node& first = shard.insert(1, true);
  shard.insert(2, true);
  EXPECT_EQ(shard.evict(), nullptr);
  first.pinned = false;
  EXPECT_EQ(shard.evict(), &first);
}

TEST(EvictionPolicy, LooksAtNoMoreThanItsBudget) {
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

TEST(EvictionPolicy, EntriesMayLeaveFromAnyPlaceDuringAPass) {
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
  EXPECT_LE(policy.memory_bytes() + capacity * sizeof(EvictionHook<Node>), 32 * capacity);
}

}  // namespace
}  // namespace lazywriter::detail
