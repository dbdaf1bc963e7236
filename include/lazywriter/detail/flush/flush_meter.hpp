// What the flusher did, for CacheStats.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "lazywriter/cache_stats.hpp"
#include "lazywriter/detail/base/mutex.hpp"

namespace lazywriter::detail {

/// See CacheStats for the counting rules.
struct FlushCounters {
  std::uint64_t flushed_items = 0;
  std::uint64_t flushed_erases = 0;
  std::uint64_t failed_items = 0;
  std::uint64_t transactions = 0;
  std::uint64_t failed_transactions = 0;
  std::uint64_t retries = 0;
  std::uint64_t parkings = 0;
  DurationHistogram duration;
};

/// Counts for the flusher, read by anyone. Its lock is a leaf: a shard's may be held.
class FlushMeter {
 public:
  void committed(std::size_t items, std::size_t erases, std::size_t retried) noexcept {
    const MutexLock lock(mutex_);
    ++counters_.transactions;
    counters_.retries += retried;
    counters_.flushed_items += items;
    counters_.flushed_erases += erases;
  }

  void failed(std::size_t entries, std::size_t retried) noexcept {
    const MutexLock lock(mutex_);
    ++counters_.transactions;
    ++counters_.failed_transactions;
    counters_.retries += retried;
    counters_.failed_items += entries;
  }

  void parked() noexcept {
    const MutexLock lock(mutex_);
    ++counters_.parkings;
  }

  void pass_took(std::chrono::nanoseconds duration) noexcept {
    const MutexLock lock(mutex_);
    counters_.duration.record(duration);
  }

  [[nodiscard]] FlushCounters counters() const noexcept {
    const MutexLock lock(mutex_);
    return counters_;
  }

 private:
  SleepingPlace place_;
  mutable Mutex mutex_{place_};
  FlushCounters counters_ LAZYWRITER_GUARDED_BY(mutex_);
};

}  // namespace lazywriter::detail
