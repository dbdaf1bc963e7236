// EvictionPolicy against the same policy in its plainest form, under random use.
// CTEST_THREADS: none
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "detail/eviction_shard.hpp"

namespace lazywriter::detail {
namespace {

using eviction_test::Node;
using eviction_test::Policy;

/// The same policy in its plainest form: vectors, and a mark on what was stepped over.
class NaivePolicy {
 public:
  explicit NaivePolicy(std::size_t capacity)
      : small_target_(capacity == 0 ? 0 : std::max<std::size_t>(1, capacity / 10)),
        capacity_(capacity == 0 ? 1'000'000 : capacity),
        trimmed_(capacity_),
        settled_(capacity_),
        ghosts_(capacity - capacity / 10),
        sketch_(capacity) {}

  void inserted(std::size_t key) {
    if (!ghosts_.take(spread_hash(key))) return small_.push_back({key});
    sketch_.add(spread_hash(key), 4);
    const Entry* rival = main_is_full() ? candidate(main_) : nullptr;
    if (rival == nullptr || count(key) > count(rival->key)) return main_.push_back({key});
    small_.push_back({key, 1});
  }

  void touched(std::size_t key) {
    for (auto* queue : {&small_, &main_}) {
      for (Entry& entry : *queue) {
        if (entry.key == key) entry.hits = std::min(entry.hits + 1, 3U);
      }
    }
  }

  void removed(std::size_t key) {
    for (auto* queue : {&small_, &main_}) {
      std::erase_if(*queue, [key](const Entry& entry) { return entry.key == key; });
    }
  }

  void begin_pass() {
    settled_ = trimmed_;
    for (auto* queue : {&small_, &main_}) {
      std::stable_partition(queue->begin(), queue->end(),
                            [](const Entry& entry) { return !entry.seen; });
      for (Entry& entry : *queue)
        entry.seen = false;
    }
  }

  template <class Evictable>
  std::ptrdiff_t evict_one(Evictable evictable, std::size_t& budget) {
    while (budget > 0) {
      Entry* const small = candidate(small_);
      Entry* const main = candidate(main_);
      if (small == nullptr && main == nullptr) {
        begin_pass();
        return none;
      }
      --budget;
      const bool from_small =
          small != nullptr && (small_.size() > small_target_ || main == nullptr);
      const std::ptrdiff_t victim =
          from_small ? look_at_small(*small, evictable) : look_at_main(*main, evictable);
      if (victim == none) continue;
      trimmed_ = size();
      return victim;
    }
    return none;
  }

  std::size_t size() const { return small_.size() + main_.size(); }

 private:
  static constexpr std::ptrdiff_t none = -1;
  struct Entry {
    std::size_t key;
    unsigned hits = 0;
    bool seen = false;
  };
  using Queue = std::vector<Entry>;

  static Entry* candidate(Queue& queue) {
    const auto found =
        std::find_if(queue.begin(), queue.end(), [](const Entry& entry) { return !entry.seen; });
    return found == queue.end() ? nullptr : &*found;
  }

  bool main_is_full() const {
    return main_.size() + small_target_ >= std::min(capacity_, settled_);
  }

  unsigned count(std::size_t key) const { return sketch_.estimate(spread_hash(key)); }

  std::ptrdiff_t evict(std::size_t key) {
    removed(key);
    return static_cast<std::ptrdiff_t>(key);
  }

  template <class Evictable>
  std::ptrdiff_t look_at_small(Entry& entry, Evictable evictable) {
    const std::size_t key = entry.key;
    Entry* const rival = main_is_full() ? candidate(main_) : nullptr;
    if (entry.hits == 0 || rival != nullptr) {
      if (!evictable(key)) {
        entry.seen = true;
        return none;
      }
      if (entry.hits == 0) {
        ghosts_.remember(spread_hash(key));
        return evict(key);
      }
      const std::size_t rival_key = rival->key;
      if (!is_due(*rival, evictable)) return none;
      sketch_.add(spread_hash(key), entry.hits);
      if (count(key) <= count(rival_key)) {
        ghosts_.remember(spread_hash(key));
        return evict(key);
      }
      removed(key);
      main_.push_back({key});
      return evict(rival_key);
    }
    sketch_.add(spread_hash(key), entry.hits);
    removed(key);
    main_.push_back({key});
    return none;
  }

  template <class Evictable>
  std::ptrdiff_t look_at_main(Entry& entry, Evictable evictable) {
    const std::size_t key = entry.key;
    return is_due(entry, evictable) ? evict(key) : none;
  }

  template <class Evictable>
  bool is_due(Entry& entry, Evictable evictable) {
    if (!evictable(entry.key)) {
      entry.seen = true;
      return false;
    }
    if (entry.hits == 0 || spared_ >= main_.size()) {
      spared_ = 0;
      return true;
    }
    ++spared_;
    const Entry spared{entry.key, entry.hits - 1};
    sketch_.add(spread_hash(spared.key), 1);
    removed(spared.key);
    main_.push_back(spared);
    return false;
  }

  std::size_t small_target_, capacity_, trimmed_, settled_;
  Queue small_, main_;
  std::size_t spared_ = 0;
  GhostTable ghosts_;
  FrequencySketch sketch_;
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
