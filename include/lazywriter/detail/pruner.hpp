// The eviction side of the loop.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <mutex>

#include "lazywriter/detail/mutex.hpp"
#include "lazywriter/detail/shard.hpp"

namespace lazywriter::detail {

/// Brings the clean entries back to the capacity.
template <class Item>
class Pruner {
 public:
  explicit Pruner(ShardSet<Item>& shards) : shards_(shards) {}

  /// Effect: evicts until no more clean entries than the capacity are left, from every shard in
  /// proportion to what it holds. Returns: how many. Holds one shard's lock at a time, for 64
  /// entries. A second caller waits for the first.
  std::size_t prune() {
    const std::lock_guard turn(prune_mutex_);
    std::size_t evicted = 0;
    for (bool progress = true; progress && shards_.overshoot() != 0;) {
      const std::size_t excess = shards_.overshoot();
      const std::size_t clean = shards_.clean_entries();
      const std::size_t before = evicted;
      for (const auto& shard : shards_) {
        if (evicted - before >= excess) break;
        const std::size_t held = shard->clean_hint.load(std::memory_order_relaxed);
        // Rounded up, so that the sum is at least the excess; in 128 bits it cannot overflow.
        const auto share = static_cast<std::size_t>((static_cast<Wide>(held) * excess + clean - 1) /
                                                    (clean == 0 ? 1 : clean));
        evicted += prune_shard(*shard, std::min(share, excess - (evicted - before)));
      }
      progress = evicted != before;
    }
    return evicted;
  }

 private:
  __extension__ using Wide = unsigned __int128;
  static constexpr std::size_t entries_per_hold = 64;

  std::size_t prune_shard(Shard<Item>& shard, std::size_t wanted) noexcept {
    std::size_t evicted = 0;
    bool first = true;
    for (bool more = true; more && evicted < wanted; first = false) {
      std::array<typename Shard<Item>::Removed, entries_per_hold>
          removed;  // destroyed after the lock
      const MutexLock lock(shard.mutex);
      if (first) shard.table.begin_prune();
      std::size_t budget = entries_per_hold;
      std::size_t count = 0;
      while (evicted < wanted && budget != 0) {
        removed[count] = shard.table.evict(budget);
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
