// The settings of a cache, each with its unit, default and consequence.
#pragma once

#include <bit>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>

namespace lazywriter {

/// How a LazyWriterCache behaves; constant after construction. Every field has a default that suits
/// a service with some ten thousand hot rows. Times are 0 to ten years.
struct CacheConfig {
  /// Items that stay in memory once they are saved. A soft limit: the pruner wakes at 10 % above
  /// it, and past 25 % a call that inserts evicts up to two items itself. Unsaved entries come on
  /// top. 0 = no limit.
  std::size_t capacity = 10'000;

  /// Milliseconds between two passes of the flush loop: the window of writes that a crash can lose.
  /// 0 = no flush loop; only flush() and close() write, and a write that finds max_dirty slots
  /// taken throws CacheFull at once.
  std::chrono::milliseconds flush_interval{500};

  /// Milliseconds between two passes of the prune loop. 0 = no prune loop, only prune().
  std::chrono::milliseconds prune_interval{10'000};

  /// Whether a read of a key that is not resident asks the store. false: the cache alone answers.
  bool lookup_on_miss = true;

  /// Whether close() writes what is unsaved before it hands the rest back.
  bool flush_on_close = true;

  /// Items per transaction, at least 1. More is faster, but holds more memory (a flush keeps about
  /// three copies of a batch) and makes a failure cost more. Up to 1,024 copies are kept for the
  /// next flush, which overwrites them, until one finds nothing to write.
  std::size_t max_batch = 1'000;

  /// Hard bound on entries that hold something unsaved (dirty, in flight, erased or parked): the
  /// memory that a store which is down can cost. A write that needs one more waits. 0 = no bound.
  std::size_t max_dirty = 1'000'000;

  /// Milliseconds that a write may wait for one of max_dirty slots before it throws CacheFull; 0 =
  /// it never waits.
  std::chrono::milliseconds backpressure_timeout{30'000};

  /// Counted rejections of one version of an item before it is parked, at least 1.
  unsigned park_after = 5;

  /// Independent parts of the cache, each with a mutex and a map: a power of two, at most 65,536.
  /// More lets more threads in at once. 0 = chosen from the machine and the capacity (at least 64
  /// entries each); 1 = one mutex, one map, exact oldest-first order.
  std::size_t shards = 0;

  /// Milliseconds of the first wait after a failed pass; it doubles with each further failure. 0 =
  /// as little as there is, a millisecond.
  std::chrono::milliseconds retry_backoff_min{100};

  /// Milliseconds that a wait between two tries never exceeds, not below retry_backoff_min; also
  /// the least time between the first rejection of an item and its parking.
  std::chrono::milliseconds retry_backoff_max{30'000};

  /// Milliseconds that close() without argument, and the destructor, may take; close() says what
  /// comes on top.
  std::chrono::milliseconds close_timeout{30'000};

  /// The name of the cache: every line of its log begins with it. Empty: the adapter's (the table's
  /// with PostgreSQL).
  std::string name{};
};

namespace detail {

/// Throws std::invalid_argument naming the field and the rule that `config` breaks, if any.
inline void validate(const CacheConfig& config) {
  const auto require = [](bool holds, const char* field_and_rule) {
    if (!holds)
      throw std::invalid_argument(std::string("lazywriter: CacheConfig::") + field_and_rule);
  };
  using std::chrono::milliseconds;
  constexpr milliseconds zero{0};
  // Beyond this a deadline would overflow the clock.
  constexpr milliseconds longest = std::chrono::hours{24 * 365 * 10};
  const auto is_time = [&](milliseconds time) { return time >= zero && time <= longest; };

  require(is_time(config.flush_interval), "flush_interval must be 0 (no flush loop) to ten years");
  require(is_time(config.prune_interval), "prune_interval must be 0 (no prune loop) to ten years");
  require(is_time(config.backpressure_timeout), "backpressure_timeout must be 0 to ten years");
  require(is_time(config.retry_backoff_min), "retry_backoff_min must be 0 to ten years");
  require(is_time(config.retry_backoff_max), "retry_backoff_max must be 0 to ten years");
  require(is_time(config.close_timeout), "close_timeout must be 0 to ten years");
  require(config.retry_backoff_min <= config.retry_backoff_max,
          "retry_backoff_max must not be below retry_backoff_min");
  require(config.max_batch >= 1, "max_batch must be at least 1");
  require(config.park_after >= 1, "park_after must be at least 1");
  require(config.shards == 0 || std::has_single_bit(config.shards),
          "shards must be 0 (chosen by the cache) or a power of two");
  require(config.shards <= 65'536, "shards must be at most 65536");
}

}  // namespace detail

}  // namespace lazywriter
