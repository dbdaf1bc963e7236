// The eviction side of the loop.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "lazywriter/detail/base/mutex.hpp"
#include "lazywriter/detail/shard/shard.hpp"
#include "lazywriter/detail/shard/shard_set.hpp"

namespace lazywriter::detail {

/// Brings the clean entries back to the capacity.
template <class Item>
class Pruner {
 public:
  explicit Pruner(ShardSet<Item>& shards) : shards_(shards) {}

  /// Effect: evicts until no more clean entries than the capacity are left, from every shard in
  /// proportion to what it holds beyond its share. Returns: how many. Holds one shard's lock at a
  /// time, for a few entries. A second caller waits for the first.
  std::size_t prune() {
    const std::lock_guard turn(prune_mutex_);
    std::size_t evicted = 0;
    for (bool progress = true; progress;) {
      const std::size_t excess = shards_.overshoot();
      std::size_t surplus = 0;
      for (const auto& shard : shards_)
        surplus += surplus_of(*shard);
      if (excess == 0 || surplus == 0) break;
      // Rounded on the running sum, so that the parts add up to the excess whatever their number.
      std::size_t seen = 0;
      std::size_t planned = 0;
      const std::size_t before = evicted;
      for (const auto& shard : shards_) {
        seen += surplus_of(*shard);
        const auto due =
            static_cast<std::size_t>(static_cast<Wide>(std::min(seen, surplus)) * excess / surplus);
        evicted += prune_shard(*shard, due - std::min(due, planned));
        planned = std::max(planned, due);
      }
      progress = evicted != before;
    }
    return evicted;
  }

 private:
  // Takes the product of two counts.
#ifdef __SIZEOF_INT128__
  __extension__ using Wide = unsigned __int128;
#else
  using Wide = std::uint64_t;  // where std::size_t has 32 bits
#endif

  [[nodiscard]] std::size_t surplus_of(const Shard<Item>& shard) const noexcept {
    const std::size_t clean = shard.clean_hint.load(std::memory_order_relaxed);
    return clean - std::min(clean, shards_.share());
  }

  std::size_t prune_shard(Shard<Item>& shard, std::size_t wanted) noexcept {
    std::size_t evicted = 0;
    bool first = true;
    for (bool more = true; more && evicted < wanted; first = false) {
      // Destroyed after the lock is released.
      std::array<typename Shard<Item>::Removed, entries_while_waited_for> removed;
      const YieldingLock lock(shard.mutex);
      if (first) shard.table.begin_prune();
      std::size_t budget = entries_while_waited_for;
      std::size_t count = 0;
      while (evicted < wanted && budget != 0) {
        removed[count] = shard.evict(budget);
        more = !removed[count].empty();
        if (!more) break;
        ++count;
        ++evicted;
      }
      // With the budget used up there may be more; with budget left the pass has seen every entry.
      more = more || budget == 0;
      shard.counters.evictions += count;
      shard.publish_clean();
    }
    return evicted;
  }

  ShardSet<Item>& shards_;
  std::mutex prune_mutex_;
};

}  // namespace lazywriter::detail
