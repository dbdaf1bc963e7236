// One part of the cache: a table, its lock, and what else that lock guards.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "lazywriter/cache_config.hpp"
#include "lazywriter/detail/base/hash_seed.hpp"
#include "lazywriter/detail/base/large_pages.hpp"
#include "lazywriter/detail/base/mutex.hpp"
#include "lazywriter/detail/base/stamp_clock.hpp"
#include "lazywriter/detail/shard/load_ticket.hpp"
#include "lazywriter/detail/shard/slot_budget.hpp"
#include "lazywriter/detail/table/departures.hpp"
#include "lazywriter/detail/table/entry_table.hpp"
#include "lazywriter/detail/table/failure_state.hpp"

namespace lazywriter::detail {

/// How many entries a loop handles in one hold of a shard's lock at most, and how many once a
/// caller waits for it. An entry whose memory is cold takes some tenth of a microsecond, and a
/// caller who waits for longer than it spins falls asleep, which costs it far more than the hold
/// does.
inline constexpr std::size_t entries_per_hold = 8;
inline constexpr std::size_t entries_while_waited_for = 4;

/// What callers did in one shard; see CacheStats for the counting rules.
struct ShardCounters {
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t puts = 0;
  std::uint64_t erases = 0;
  std::uint64_t preloads = 0;
  std::uint64_t evictions = 0;
  /// By KeyChanged; the flusher counts the others.
  std::uint64_t parkings = 0;
  std::uint64_t refused_writes = 0;
  std::uint64_t backpressure_waits = 0;
};

/// Alone on its cache lines, so that two threads in two shards do not meet.
template <class Item>
struct alignas(64) Shard {
  using Key = key_type_t<Item>;
  using Table = EntryTable<Item>;
  using Node = typename Table::Node;
  using Removed = typename Table::Removed;

  Shard(std::size_t its_number, std::size_t capacity, std::size_t expected, LargePages& pages,
        Departures& departures)
      : table(capacity, expected, pages, departures), number(its_number) {}

  // What every call writes comes first, in one cache line: a line that two threads write to is
  // passed between them. Then what every call reads: the index, in front of the table.
  Mutex mutex{sleeping_place};
  /// Set once by close; a write is refused or comes before close looks at this shard.
  bool closed LAZYWRITER_GUARDED_BY(mutex) = false;
  ShardCounters counters LAZYWRITER_GUARDED_BY(mutex);
  Table table LAZYWRITER_GUARDED_BY(mutex);
  /// Slots drawn from the budget that no entry holds. Whether there are any is noted in the budget.
  std::size_t credits LAZYWRITER_GUARDED_BY(mutex) = 0;
  LoadTickets<Item> tickets LAZYWRITER_GUARDED_BY(mutex);
  /// Ready for an update that turns out to change the key: parking that item must not need memory.
  std::unique_ptr<FailureState<Key>> spare_failure LAZYWRITER_GUARDED_BY(mutex);
  /// Which of the shards this is.
  const std::size_t number;
  /// table.clean(), for others to add up without the lock; written under it.
  std::atomic<std::size_t> clean_hint{0};
  SleepingPlace sleeping_place;

  void publish_clean() noexcept LAZYWRITER_REQUIRES(mutex) {
    clean_hint.store(table.clean(), std::memory_order_relaxed);
  }

  /// Effect: evicts as the table does, but nothing that a call under way relies on.
  Removed evict(std::size_t& budget) noexcept LAZYWRITER_REQUIRES(mutex) {
    return table.evict(budget, [this](const Node& node) noexcept {
      mutex.assert_held();
      return tickets.watched(node.first.hash);
    });
  }

  /// Effect: takes a slot that the caller must attach to an entry or return. Returns: whether it
  /// got one.
  bool draw_slot(SlotBudget& budget) noexcept LAZYWRITER_REQUIRES(mutex) {
    if (budget.unlimited()) return true;
    if (credits == 0) return draw_from(budget);
    set_credits(budget, credits - 1);
    return true;
  }

  /// Effect: takes back `slots` that entries no longer hold.
  void return_slots(SlotBudget& budget, std::size_t slots) noexcept LAZYWRITER_REQUIRES(mutex) {
    if (budget.unlimited()) return;
    const std::size_t all = credits + slots;
    const std::size_t kept = all > 2 * budget.credit() ? budget.credit() : all;
    keep_credits(budget, kept);
    budget.give(all - kept);
  }

  /// Effect: takes in a slot for the write that is made in this hold.
  void add_credit(SlotBudget& budget) noexcept LAZYWRITER_REQUIRES(mutex) {
    set_credits(budget, credits + 1);
  }

  /// Effect: gives back all credits.
  void return_credits(SlotBudget& budget) noexcept LAZYWRITER_REQUIRES(mutex) {
    const std::size_t given = credits;
    set_credits(budget, 0);
    budget.give(given);
  }

 private:
  [[gnu::noinline]] bool draw_from(SlotBudget& budget) noexcept LAZYWRITER_REQUIRES(mutex) {
    const std::size_t drawn = budget.take(std::max<std::size_t>(1, budget.credit()));
    if (drawn != 0) keep_credits(budget, drawn - 1);
    return drawn != 0;
  }

  /// Effect: keeps so many credits, unless somebody waits. That is asked after it is noted that
  /// there are some: a writer looks for that note after it has said that it waits.
  void keep_credits(SlotBudget& budget, std::size_t count) noexcept LAZYWRITER_REQUIRES(mutex) {
    set_credits(budget, count);
    if (count != 0 && budget.wanted()) return_credits(budget);
  }

  void set_credits(SlotBudget& budget, std::size_t count) noexcept LAZYWRITER_REQUIRES(mutex) {
    const bool any = count != 0;
    if (any != (credits != 0)) [[unlikely]]
      budget.note_spare(number, any);
    credits = count;
  }
};

}  // namespace lazywriter::detail
