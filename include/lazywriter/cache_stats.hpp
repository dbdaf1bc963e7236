// What a cache did and holds: an immutable snapshot, with the counting rule of every field.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace lazywriter {

/// A histogram of durations with fixed upper bounds.
struct DurationHistogram {
  /// Upper bounds of the buckets, inclusive; one more bucket takes what is longer.
  static constexpr std::array<std::chrono::microseconds, 12> bounds{
      std::chrono::microseconds{100},
      std::chrono::microseconds{300},
      std::chrono::microseconds{1'000},
      std::chrono::microseconds{3'000},
      std::chrono::microseconds{10'000},
      std::chrono::microseconds{30'000},
      std::chrono::microseconds{100'000},
      std::chrono::microseconds{300'000},
      std::chrono::seconds{1},
      std::chrono::seconds{3},
      std::chrono::seconds{10},
      std::chrono::seconds{30}};

  /// Durations counted in each bucket (not cumulative).
  std::array<std::uint64_t, bounds.size() + 1> counts{};
  /// Sum of all durations.
  std::chrono::nanoseconds sum{0};

  /// Effect: counts one duration. Complexity: constant. Does not throw or block.
  void record(std::chrono::nanoseconds duration) noexcept {
    std::size_t bucket = 0;
    while (bucket < bounds.size() && duration > bounds[bucket])
      ++bucket;
    ++counts[bucket];
    sum += duration;
  }

  /// Returns: the number of durations counted. Complexity: constant. Does not throw or block.
  [[nodiscard]] std::uint64_t total() const noexcept {
    std::uint64_t all = 0;
    for (const auto count : counts)
      all += count;
    return all;
  }
};

/// A snapshot of counters and gauges, taken shard by shard: each shard's part is consistent in
/// itself.
struct CacheStats {
  // Counters: since construction, never decreasing.

  /// Calls of get, get_into, visit, update and compute that found their key in memory. A key whose
  /// erase is not saved yet counts too: its absence is known. peek, contains and for_each count
  /// nothing.
  std::uint64_t hits = 0;
  /// Calls of the same five that did not find it, whether or not the store was then asked.
  std::uint64_t misses = 0;
  /// Calls of the adapter's find that returned, with or without an item. Concurrent misses of one
  /// key share one.
  std::uint64_t loads = 0;
  /// Calls of find that threw, or returned an item with another key.
  std::uint64_t load_failures = 0;
  /// Values accepted: put, try_put, and every update or compute that changed its item.
  std::uint64_t puts = 0;
  /// Erases accepted, including computes that emptied an item.
  std::uint64_t erases = 0;
  /// Items preloaded.
  std::uint64_t preloads = 0;
  /// Clean items dropped to keep the capacity. invalidate and discard_parked are not counted.
  std::uint64_t evictions = 0;
  /// Items committed to the store.
  std::uint64_t flushed_items = 0;
  /// Erases committed to the store.
  std::uint64_t flushed_erases = 0;
  /// Entries that a failed attempt did not save, once for each attempt.
  std::uint64_t failed_items = 0;
  /// Transactions that were committed or failed, at their begin too; not those that were given up
  /// because the time was over.
  std::uint64_t transactions = 0;
  /// Transactions that failed.
  std::uint64_t failed_transactions = 0;
  /// Entries tried again as they were when an attempt failed, once for each further attempt. A
  /// value written since is a new one, not a retry.
  std::uint64_t retries = 0;
  /// Times an entry was parked.
  std::uint64_t parkings = 0;
  /// Writes that had to wait for a slot under max_dirty.
  std::uint64_t backpressure_waits = 0;
  /// Writes refused with CacheFull (or false from try_put).
  std::uint64_t refused_writes = 0;

  // Gauges: now.

  /// Items that readers can see.
  std::size_t resident = 0;
  /// Dirty entries and tombstones, in flight or waiting; parked ones are counted apart.
  std::size_t dirty = 0;
  /// Entries that the flush under way has in its hands.
  std::size_t in_flight = 0;
  /// Entries the store rejects; they wait for retry_parked, discard_parked or a new write.
  std::size_t parked = 0;
  /// How long ago the oldest dirty entry was first written; accurate to one flush interval.
  std::chrono::nanoseconds oldest_dirty_age{0};

  /// How long flush passes took that had something to write.
  DurationHistogram flush_duration;
};

}  // namespace lazywriter
