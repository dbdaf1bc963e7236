// One shard's eviction policy with the nodes it orders, for the tests of the policy.
#pragma once

#include <cstddef>
#include <deque>
#include <limits>
#include <vector>

#include "lazywriter/detail/eviction/eviction_policy.hpp"

namespace lazywriter::detail::eviction_test {

struct Node {
  std::size_t key = 0;
  bool pinned = false;
  EvictionHook hook;
  EvictionLinks<Node> links;
};

struct HookOf {
  EvictionHook& operator()(Node& node) const noexcept { return node.hook; }
};

struct LinksOf {
  EvictionLinks<Node>& operator()(Node& node) const noexcept { return node.links; }
};

struct HashOf {
  std::size_t operator()(const Node& node) const noexcept { return node.key; }
};

using Policy = EvictionPolicy<Node, HookOf, LinksOf, HashOf>;
using Keys = std::vector<std::size_t>;

static_assert(sizeof(EvictionHook) + sizeof(EvictionLinks<Node>) <= 3 * sizeof(void*));

/// A policy, its nodes, and what the shard around it would do.
class Shard {
 public:
  explicit Shard(std::size_t capacity) : policy(capacity) {}

  Node& insert(std::size_t key, bool pinned = false) {
    Node& node = nodes_.emplace_back(Node{key, pinned, {}, {}});
    policy.inserted(node);
    return node;
  }

  /// Adds a new entry and promotes it after `hits` requests, behind what is in the main queue.
  Node& insert_into_main(std::size_t key, int hits = 1) {
    Node& node = insert(key);
    hit(node, hits);
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

}  // namespace lazywriter::detail::eviction_test
