// EvictionPolicy against the same policy in its plainest form, under random use.
#include "lazywriter/detail/eviction_policy.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
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
/// The same policy in its plainest form: vectors, and a mark on what was stepped over.
class NaivePolicy {
 public:
  explicit NaivePolicy(std::size_t capacity)
      : small_target_(capacity == 0 ? 0 : std::max<std::size_t>(1, capacity / 10)),
        ghosts_(capacity - capacity / 10) {}

  void inserted(std::size_t key) {
    (ghosts_.take(spread_hash(key)) ? main_ : small_).push_back({key});
  }

  void touched(std::size_t key) {
    for (auto* queue : {&small_, &main_}) {
      for (Entry& entry : *queue) {
        if (entry.key == key) entry.hits = std::min(entry.hits + 1, 3);
      }
    }
  }

  void removed(std::size_t key) {
    for (auto* queue : {&small_, &main_}) {
      std::erase_if(*queue, [key](const Entry& entry) { return entry.key == key; });
    }
  }

  void begin_pass() {
    for (auto* queue : {&small_, &main_}) {
      std::stable_partition(queue->begin(), queue->end(),
                            [](const Entry& entry) { return !entry.seen; });
      for (Entry& entry : *queue)
        entry.seen = false;
    }
  }

  template <class Evictable>
  std::ptrdiff_t evict_one(Evictable evictable, std::size_t& budget) {
    const auto unseen = [](const Entry& entry) { return !entry.seen; };
    for (; budget > 0; --budget) {
      const auto small = std::find_if(small_.begin(), small_.end(), unseen);
      const auto main = std::find_if(main_.begin(), main_.end(), unseen);
      if (small == small_.end() && main == main_.end()) {
        begin_pass();
        return -1;
      }
      if (small != small_.end() && (small_.size() > small_target_ || main == main_.end())) {
        const Entry entry = *small;
        if (entry.hits > 0) {
          small_.erase(small);
          main_.push_back({entry.key});
        } else if (!evictable(entry.key)) {
          small->seen = true;
        } else {
          small_.erase(small);
          ghosts_.remember(spread_hash(entry.key));
          --budget;
          return static_cast<std::ptrdiff_t>(entry.key);
        }
        continue;
      }
      const Entry entry = *main;
      if (!evictable(entry.key)) {
        main->seen = true;
        continue;
      }
      main_.erase(main);
      if (entry.hits > 0 && spared_ < main_.size()) {
        main_.push_back({entry.key, entry.hits - 1});
        ++spared_;
      } else {
        spared_ = 0;
        --budget;
        return static_cast<std::ptrdiff_t>(entry.key);
      }
    }
    return -1;
  }

  std::size_t size() const { return small_.size() + main_.size(); }

 private:
  struct Entry {
    std::size_t key;
    int hits = 0;
    bool seen = false;
  };

  std::size_t small_target_;
  std::vector<Entry> small_, main_;
  std::size_t spared_ = 0;
  GhostTable ghosts_;
};

TEST(EvictionPolicy, BehavesAsItsPlainestForm) {
  for (const std::size_t capacity : {0u, 1u, 2u, 9u, 10u, 33u, 64u}) {
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      std::mt19937_64 random(seed);
      const auto below = [&](std::size_t bound) {
        return static_cast<std::size_t>(random() % bound);
      };
      Policy policy(capacity);
      NaivePolicy naive(capacity);
      std::map<std::size_t, Node> resident;
      for (int step = 0; step < 4'000; ++step) {
        const std::size_t key = below(3 * capacity + 5);
        const auto found = resident.find(key);
        switch (below(8)) {
          case 0:
            policy.begin_pass();
            naive.begin_pass();
            break;
          case 1:
            if (found == resident.end()) break;
            if (below(3) != 0) {
              found->second.pinned = !found->second.pinned;
              break;
            }
            policy.removed(found->second);
            naive.removed(key);
            resident.erase(found);
            break;
          case 2:
          case 3: {
            std::size_t budget = below(20);
            std::size_t naive_budget = budget;
            Node* victim = policy.evict_one([](const Node& node) { return !node.pinned; }, budget);
            const auto expected = naive.evict_one(
                [&](std::size_t candidate) { return !resident.at(candidate).pinned; },
                naive_budget);
            ASSERT_EQ(victim == nullptr ? -1 : static_cast<std::ptrdiff_t>(victim->key), expected);
            ASSERT_EQ(budget, naive_budget);
            if (victim != nullptr) resident.erase(victim->key);
            break;
          }
          default:
            if (found != resident.end()) {
              Policy::touched(found->second);
              naive.touched(key);
            } else {
              Node& node = resident[key];
              node.key = key;
              node.pinned = below(4) == 0;
              policy.inserted(node);
              naive.inserted(key);
            }
        }
        ASSERT_EQ(policy.size(), resident.size());
        ASSERT_EQ(naive.size(), resident.size());
      }
    }
  }
}

}  // namespace
}  // namespace lazywriter::detail
