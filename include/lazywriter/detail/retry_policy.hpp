// When, and in batches of what size, to try again what the store did not take.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "lazywriter/cache_config.hpp"
#include "lazywriter/detail/backoff.hpp"
#include "lazywriter/detail/entry.hpp"

namespace lazywriter::detail {

/// Keeps the pace of the flusher as a whole and of the entries that failed alone. Knows no locks;
/// it belongs to the holder of the flush token. Nothing throws.
class RetryPolicy {
 public:
  explicit RetryPolicy(const CacheConfig& config)
      : max_batch_(config.max_batch),
        park_after_(config.park_after),
        backoff_(config.retry_backoff_min, config.retry_backoff_max),
        batch_limit_(config.max_batch) {}

  // ---- the flusher as a whole

  /// How many entries a transaction may hold now.
  [[nodiscard]] std::size_t batch_limit() const noexcept { return batch_limit_; }

  /// The flush loop writes nothing before then; flush() does.
  [[nodiscard]] Clock::time_point not_before() const noexcept { return not_before_; }

  /// A batch of several entries failed for now: one of them may be the cause, so halve.
  void batch_failed(std::size_t entries) noexcept {
    batch_limit_ = std::max<std::size_t>(1, entries / 2);
  }

  /// A pass is over. `failed`: something failed for now that was not known to; `committed`:
  /// something went through.
  void pass_ended(bool failed, bool committed) noexcept {
    if (failed) {
      failures_ = committed ? 1 : failures_ + 1;
      not_before_ = Clock::now() + backoff_.after(failures_);
    } else if (committed) {
      failures_ = 0;
      not_before_ = {};
      batch_limit_ = batch_limit_ > max_batch_ / 2 ? max_batch_ : batch_limit_ * 2;
    }
  }

  // ---- entries that failed alone

  /// An entry failed for now, and was alone: it has its own pace, and is tried alone.
  template <class Key>
  void failed_alone(Trouble<Key>& trouble, std::string error) noexcept {
    ++trouble.failures;
    trouble.alone_since = recoveries_;
    trouble.retry_at = Clock::now() + backoff_.after(trouble.failures);
    trouble.error = std::move(error);
  }

  /// Whether it must still be tried alone.
  template <class Key>
  [[nodiscard]] bool is_loner(const Trouble<Key>& trouble) const noexcept {
    return trouble.alone_since == recoveries_;
  }

  /// One that was tried alone went through: it was the store, not the item, so the others may join
  /// batches again.
  void loner_recovered() noexcept { ++recoveries_; }

  /// An entry that had failed went through: it may have been in another's way.
  void unblocked() noexcept { ++unblocked_; }

  /// The store rejected an entry, alone, in a round that did not come to all. Returns: whether that
  /// says as much as a whole round without progress: since its last such turn nothing was
  /// unblocked.
  template <class Key>
  [[nodiscard]] bool still_stuck(Trouble<Key>& trouble) const noexcept {
    return std::exchange(trouble.stuck_since, unblocked_) == unblocked_;
  }

  /// The store rejected an entry, alone, in a round without progress. Returns: whether it is to be
  /// parked: it was rejected often enough, and for long enough for what is in its way to have gone.
  template <class Key>
  [[nodiscard]] bool rejected(Trouble<Key>& trouble, std::string error) noexcept {
    const Clock::time_point now = Clock::now();
    if (trouble.rejections++ == 0) trouble.first_rejected = now;
    trouble.retry_at = now + backoff_.after(trouble.rejections);
    trouble.error = std::move(error);
    return trouble.rejections >= park_after_ && now - trouble.first_rejected >= backoff_.most();
  }

 private:
  const std::size_t max_batch_;
  const unsigned park_after_;
  Backoff backoff_;
  /// Half of what failed last, growing again as passes go through.
  std::size_t batch_limit_;
  /// Failed passes in a row.
  unsigned failures_ = 0;
  Clock::time_point not_before_{};
  /// Never 0, the alone_since of an entry that never failed alone.
  std::uint64_t recoveries_ = 1;
  /// Never 0, the stuck_since of an entry that had no turn in a round cut short.
  std::uint64_t unblocked_ = 1;
};

}  // namespace lazywriter::detail
