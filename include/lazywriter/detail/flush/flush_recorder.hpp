// What is recorded of a pass: its result, the counters, the log.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "lazywriter/detail/base/clock.hpp"
#include "lazywriter/detail/base/key_text.hpp"
#include "lazywriter/detail/flush/flush_batch.hpp"
#include "lazywriter/detail/flush/flush_meter.hpp"
#include "lazywriter/detail/flush/flush_token.hpp"
#include "lazywriter/detail/flush/store_monitor.hpp"
#include "lazywriter/detail/store/store_caller.hpp"
#include "lazywriter/flush_result.hpp"

namespace lazywriter::detail {

/// What one pass was asked for, and what became of it.
struct FlushPass {
  /// The flush loop's: what failed alone is left alone until its own backoff is over.
  bool only_due;
  FlushToken::Deadline deadline;
  /// What was written by then counts as pending when it stays unsaved.
  Stamp cutoff;
  FlushResult& result;
  /// What is due by then is tried; how long the pass took counts from there.
  Clock::time_point started = Clock::now();
  /// No further transaction: the store is away, time is up, or something newer waits.
  bool over = false;
  /// It ended for what was written meanwhile, which should not wait for the interval.
  bool made_way = false;
  /// It made at least one attempt.
  bool wrote = false;
  /// Attempts since the last one that was committed.
  unsigned failures_in_a_row = 0;
  /// When the first entry with its own backoff is due.
  Clock::time_point next_due = Clock::time_point::max();
  /// Of result.pending, those that failed alone although the store takes others.
  std::size_t pending_alone = 0;
  /// Why the last attempt failed that says something of the store as a whole.
  std::string store_error{};

  /// An item to tell the log of: its key, and what the store has against it.
  using Named = std::pair<std::string, std::string>;
  std::vector<Named> newly_parked{};
  std::vector<Named> newly_isolated{};
  /// How many more were isolated than are named.
  std::size_t isolated_unnamed = 0;
};

/// Counts what passes do and tells the log; decides nothing. Used by the holder of the flush token,
/// but for counters(). Nothing throws.
template <class Store>
class FlushRecorder {
 public:
  FlushRecorder(Store& store, std::size_t max_dirty)
      : max_dirty_(max_dirty), monitor_(store, max_dirty) {}

  /// Effect: records an attempt. `known`: its entries had failed alone before.
  void attempted(FlushPass& pass, const Attempt& attempt, bool known) noexcept {
    if (attempt.entries == 0) return;
    pass.wrote = true;
    const bool committed = attempt.verdict.outcome == Outcome::committed;
    pass.failures_in_a_row = committed ? 0 : pass.failures_in_a_row + 1;
    switch (attempt.verdict.outcome) {
      case Outcome::committed:
        meter_.committed(attempt.saved, attempt.erased, attempt.retried);
        pass.result.written += attempt.saved;
        pass.result.erased += attempt.erased;
        return;
      case Outcome::stopped:
        // Why it took so long is worth more than that it did.
        if (pass.result.error.empty()) take_error(pass.result.error, attempt.verdict.error);
        return;
      default:
        meter_.failed(attempt.entries, attempt.retried);
        take_error(pass.result.error, attempt.verdict.error);
        if (says_something_of_the_store(attempt.verdict.outcome, known)) {
          take_error(pass.store_error, attempt.verdict.error);
        }
    }
  }

  /// Effect: records that the pass could not be made as a whole.
  void broke(FlushPass& pass, const std::string& error) noexcept {
    take_error(pass.result.error, error);
    take_error(pass.store_error, error);
  }

  /// Effect: records that an entry failed alone although the store takes others. A shard's lock may
  /// be held.
  template <class Node>
  void isolated(FlushPass& pass, const Node& node) noexcept {
    if (pass.newly_isolated.size() == most_names || !name(pass.newly_isolated, node)) {
      ++pass.isolated_unnamed;
    }
  }

  /// Effect: records that an entry was parked. A shard's lock may be held.
  template <class Node>
  void parked(FlushPass& pass, const Node& node) noexcept {
    name(pass.newly_parked, node);  // with no memory for it parked() still tells
    meter_.parked();
  }

  /// Effect: tells the log. `store_failed`: it is the store that fails, not single items.
  /// No lock of a shard may be held.
  template <class Shards>
  void pass_ended(const FlushPass& pass, bool committed, bool store_failed,
                  const Shards& shards) noexcept {
    try {
      for (const auto& [key, error] : pass.newly_isolated)
        monitor_.isolated(key, error);
      if (pass.isolated_unnamed != 0) monitor_.more_isolated(pass.isolated_unnamed);
      for (const auto& [key, error] : pass.newly_parked)
        monitor_.parked(key, error);
      if (store_failed) {
        monitor_.failed(pass.store_error);
      } else if (committed) {
        monitor_.recovered();
      }
      if (max_dirty_ != 0) monitor_.backlog(shards.unsaved());
    } catch (...) {  // NOLINT(bugprone-empty-catch): no memory for a log line
    }
    if (pass.wrote) meter_.pass_took(Clock::now() - pass.started);
  }

  /// By any thread.
  [[nodiscard]] FlushCounters counters() const noexcept { return meter_.counters(); }

 private:
  /// How many items that failed alone a pass names; a wave of them must not flood the log.
  static constexpr std::size_t most_names = 16;

  template <class Node>
  static bool name(std::vector<FlushPass::Named>& list, const Node& node) noexcept {
    try {
      list.emplace_back(detail::key_text(*node.first.key), node.second.failure->error);
      return true;
    } catch (...) {
      return false;
    }
  }

  static bool says_something_of_the_store(Outcome outcome, bool known) noexcept {
    if (outcome == Outcome::not_begun || outcome == Outcome::unavailable) return true;
    return !known && outcome != Outcome::rejected;
  }

  static void take_error(std::string& place, const std::string& error) noexcept {
    try {
      place = error;
    } catch (...) {  // NOLINT(bugprone-empty-catch): no memory for the text; the counts tell
    }
  }

  const std::size_t max_dirty_;
  StoreMonitor<Store> monitor_;
  FlushMeter meter_;
};

}  // namespace lazywriter::detail
