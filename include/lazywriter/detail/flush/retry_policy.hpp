// What a failed transaction means, and when and in batches of what size to try again.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "lazywriter/cache_config.hpp"
#include "lazywriter/detail/base/backoff.hpp"
#include "lazywriter/detail/base/clock.hpp"
#include "lazywriter/detail/store/store_gate.hpp"
#include "lazywriter/detail/table/failure_state.hpp"

namespace lazywriter::detail {

/// The one place that decides what follows from an attempt (DESIGN under WriteFailure), and that
/// paces the flusher as a whole and the entries that failed alone. Knows no locks; it belongs to
/// the holder of the flush token. Nothing throws.
///
/// The size of a batch halves with each attempt that fails for now and doubles with each one that
/// commits. `streak` counts the former since the last commit, or rejection, of the pass:
///
///     0                    The store is well: everything fresh goes first.
///     1 ... depth - 1      What failed last is halved at once: is it one of its items?
///     depth ...            Even a single one failed, so the size is not to blame. Whole batches of
///                          what was not tried yet show whether there is anything it takes.
///     depth + most_tries   Nothing is: the pass ends, and if nothing at all was committed in it
///     the
///                          store's backoff begins.
class RetryPolicy {
 public:
  /// How many retries of what failed alone may follow each other while anything else is dirty.
  static constexpr unsigned retries_in_a_row = 16;

  explicit RetryPolicy(const CacheConfig& config)
      : max_batch_(config.max_batch),
        depth_(static_cast<unsigned>(std::bit_width(config.max_batch)) + 1),
        park_after_(config.park_after),
        backoff_(config.retry_backoff_min, config.retry_backoff_max),
        batch_limit_(config.max_batch),
        suspect_limit_(config.max_batch) {}

  // ---- within a pass

  /// What becomes of the entries of an attempt.
  enum class Fate : std::uint8_t {
    /// They are saved.
    complete,
    /// One of them may be the cause: each half is tried for itself.
    split,
    /// The one entry failed alone.
    isolate,
    /// They wait for the next pass as they are.
    requeue,
    /// The same, behind all others: the next pass is to try another one.
    requeue_last,
  };
  struct Decision {
    Fate fate;
    /// No further transaction in this pass.
    bool ends_pass;
  };

  void begin_pass() noexcept {
    streak_ = 0;
    retries_failed_ = 0;
    committed_ = store_failed_ = unknown_failed_ = probe_committed_ = gave_up_ = false;
  }

  /// How many entries the next transaction may hold.
  [[nodiscard]] std::size_t batch_limit() const noexcept {
    if (probe_next_) return 1;
    return doubts_the_store() ? max_batch_ : batch_limit_;
  }

  /// The same of entries that were part of a failed batch of an earlier pass. A pass that had to
  /// end before its halves were through goes on here with their size; to begin with whole batches
  /// again would come to the same halves each time, and to nothing else.
  [[nodiscard]] std::size_t suspect_limit() const noexcept {
    return doubts_the_store() ? 1 : std::min(batch_limit(), suspect_limit_);
  }

  /// Whether even single entries failed, and nothing was committed since.
  [[nodiscard]] bool doubts_the_store() const noexcept { return streak_ >= depth_; }

  /// Nothing is left of what was part of a failed batch.
  void suspects_ended() noexcept { suspect_limit_ = max_batch_; }

  /// Whether what failed last is to be halved before anything else is tried.
  [[nodiscard]] bool descends() const noexcept { return streak_ != 0 && streak_ < depth_; }

  /// An attempt was made with `entries` that are not known to fail alone. `suspects`: they were
  /// part of a failed batch. Returns: what follows.
  Decision decide(Outcome outcome, std::size_t entries, bool suspects) noexcept {
    const Fate narrowed = entries > 1 ? Fate::split : Fate::isolate;
    switch (outcome) {
      case Outcome::committed:
        if (suspects) suspect_limit_ = grown(suspect_limit_, 2);
        took();
        return {Fate::complete, false};
      case Outcome::stopped:
        // A smaller one may be through before the next deadline.
        batch_limit_ = std::max<std::size_t>(1, entries / 2);
        return {Fate::requeue, true};
      case Outcome::not_begun:
        store_failed_ = true;
        return {Fate::requeue, true};
      case Outcome::rejected:
        streak_ = 0;  // it looked at them
        narrow(entries);
        return {narrowed, false};
      case Outcome::unavailable:
        // The store as a whole, unless it has just taken a single entry: then perhaps an item that
        // breaks it, which is found like any other.
        if (!probe_committed_) {
          store_failed_ = true;
          return {std::exchange(probe_next_, true) ? Fate::requeue_last : Fate::requeue, true};
        }
        break;
      case Outcome::transient:
      case Outcome::in_doubt:
        break;
    }
    unknown_failed_ = true;
    batch_limit_ = std::max<std::size_t>(1, std::min(batch_limit_, entries / 2));
    narrow(entries);
    gave_up_ |= ++streak_ >= depth_ + most_tries;
    return {narrowed, gave_up_};
  }

  /// An attempt was made with entries that have failed alone before. They are retried one by one,
  /// and more at a time as they commit. `breaks_the_store`: it is a single one that made the store
  /// unavailable while that took others. Returns: what follows.
  Decision decide_retry(Outcome outcome, std::size_t entries, bool breaks_the_store) noexcept {
    switch (outcome) {
      case Outcome::committed:
        retry_group_ = grown(retry_group_, 4);
        took();
        return {Fate::complete, false};
      case Outcome::stopped:
        retry_group_ = 1;
        return {Fate::requeue, true};
      case Outcome::not_begun:
        store_failed_ = true;
        return {Fate::requeue, true};
      case Outcome::unavailable:
        store_failed_ |= !committed_ && !breaks_the_store;
        break;
      case Outcome::transient:
      case Outcome::in_doubt:
        gave_up_ |= !committed_ && ++retries_failed_ >= most_tries;
        break;
      case Outcome::rejected:
        break;
    }
    retry_group_ = 1;
    return {entries > 1 ? Fate::split : Fate::isolate, store_failed_ || gave_up_};
  }

  /// How many entries that failed alone the next transaction may hold.
  [[nodiscard]] std::size_t retry_group() const noexcept { return retry_group_; }

  /// Whether a transaction of this pass was committed.
  [[nodiscard]] bool committed() const noexcept { return committed_; }
  /// Whether what failed alone in this pass did so for itself: the store has taken others, and not
  /// ceased to take any.
  [[nodiscard]] bool blames_items() const noexcept { return committed_ && !gave_up_; }
  /// Whether, by what this pass has seen, it is the store that fails.
  [[nodiscard]] bool store_failed() const noexcept {
    return store_failed_ || (unknown_failed_ && !committed_);
  }

  /// What kept the cache itself from making a pass, out of memory say, counts like a store that
  /// fails.
  void pass_broke() noexcept { store_failed_ = true; }

  // ---- the flusher as a whole

  /// The flush loop writes nothing before then; flush() does.
  [[nodiscard]] Clock::time_point not_before() const noexcept { return not_before_; }

  void end_pass() noexcept {
    if (store_failed()) {
      failures_ = committed_ ? 1 : failures_ + 1;
      not_before_ = Clock::now() + backoff_.after(failures_);
    } else if (committed_) {
      failures_ = 0;
      not_before_ = {};
    }
  }

  // ---- entries that failed alone

  /// An entry failed for now, and was alone: it waits at its own pace.
  template <class Key>
  void failed_alone(Trouble<Key>& trouble, Isolated how, std::string error) noexcept {
    trouble.isolated = how;
    ++trouble.failures;
    trouble.retry_at = Clock::now() + backoff_.after(trouble.failures);
    trouble.error = std::move(error);
  }

  /// The store rejected an entry, and it was alone; whether that counts is not known yet.
  template <class Key>
  void rejected_alone(Trouble<Key>& trouble, std::string error) noexcept {
    trouble.isolated = Isolated::rejected;
    trouble.error = std::move(error);
  }

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
  [[nodiscard]] bool count_rejection(Trouble<Key>& trouble) noexcept {
    const Clock::time_point now = Clock::now();
    if (trouble.rejections++ == 0) trouble.first_rejected = now;
    trouble.retry_at = now + backoff_.after(trouble.rejections);
    return rejected_often_enough(trouble) && now - trouble.first_rejected >= backoff_.most();
  }

  /// Whether only the time keeps an entry from being parked.
  template <class Key>
  [[nodiscard]] bool rejected_often_enough(const Trouble<Key>& trouble) const noexcept {
    return trouble.rejections >= park_after_;
  }

 private:
  /// How many attempts, of those that fail for now, follow the first one that failed alone before
  /// the store is given up for this pass.
  static constexpr unsigned most_tries = 64;

  void took() noexcept {
    streak_ = 0;
    committed_ = true;
    probe_committed_ |= std::exchange(probe_next_, false);
    batch_limit_ = grown(batch_limit_, 2);
  }

  /// A batch of so many failed, and not because the store is away.
  void narrow(std::size_t entries) noexcept {
    probe_next_ = false;
    suspect_limit_ = std::max<std::size_t>(1, std::min(suspect_limit_, entries / 2));
  }

  [[nodiscard]] std::size_t grown(std::size_t size, std::size_t times) const noexcept {
    return size > max_batch_ / times ? max_batch_ : size * times;
  }

  const std::size_t max_batch_;
  /// Halving a whole batch comes to a single entry with its depth_-th attempt at the latest.
  const unsigned depth_;
  const unsigned park_after_;
  Backoff backoff_;

  // Of the pass under way.
  unsigned streak_ = 0;
  bool committed_ = false;
  bool store_failed_ = false;
  /// Something that was not known to fail alone has failed for now.
  bool unknown_failed_ = false;
  /// The pass began with a single entry, because the store was unavailable, and it was committed.
  bool probe_committed_ = false;
  /// It ended because so many attempts in a row failed for now.
  bool gave_up_ = false;
  /// Retries that failed for now, while nothing was committed.
  unsigned retries_failed_ = 0;

  // Kept from pass to pass.
  std::size_t batch_limit_;
  /// Halves with each attempt that fails, also with a rejected one, and doubles with each one with
  /// suspects that commits.
  std::size_t suspect_limit_;
  std::size_t retry_group_ = 1;
  /// The next transaction is to hold a single entry: the store was unavailable.
  bool probe_next_ = false;
  /// Failed passes in a row.
  unsigned failures_ = 0;
  Clock::time_point not_before_{};
  /// Never 0, the stuck_since of an entry that had no turn in a round cut short.
  std::uint64_t unblocked_ = 1;
};

}  // namespace lazywriter::detail
