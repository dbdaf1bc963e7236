// What is taken down of a pass: its result, the counters, the log.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "lazywriter/detail/flush_meter.hpp"
#include "lazywriter/detail/flush_token.hpp"
#include "lazywriter/detail/key_text.hpp"
#include "lazywriter/detail/store_gate.hpp"
#include "lazywriter/detail/store_monitor.hpp"
#include "lazywriter/flush_result.hpp"

namespace lazywriter::detail {

/// What one pass was asked for, and what became of it.
struct FlushPass {
  bool only_due;
  FlushToken::Deadline deadline;
  /// What was written by then counts as pending when it stays unsaved.
  Stamp cutoff;
  FlushResult& result;
  /// What is due by then is tried; how long the pass took counts from there.
  Clock::time_point started = Clock::now();
  /// No further transaction: the store is away, or time is up.
  bool over = false;
  unsigned transient_in_a_row = 0;
  bool wrote = false;
  bool committed = false;
  bool failed = false;
  /// An entry that failed alone was not tried again, or failed again.
  bool loner_waits = false;
  /// When the first entry with its own pace is due.
  Clock::time_point next_due = Clock::time_point::max();
  std::vector<std::pair<std::string, std::string>> newly_parked{};
};

/// Says what each attempt means for its pass, counts it, and tells the log at the end. Used by the
/// holder of the flush token, but for counters(). Nothing throws.
template <class Gate>
class FlushLedger {
 public:
  FlushLedger(Gate& gate, std::size_t max_dirty)
      : max_dirty_(max_dirty), monitor_(gate, max_dirty) {}

  /// Effect: takes down an attempt that FlushBatch made.
  template <class Attempt>
  void attempted(FlushPass& pass, const Attempt& attempt) noexcept {
    if (attempt.entries == 0) return;
    pass.wrote = true;
    if (attempt.verdict.outcome == Outcome::committed) {
      meter_.committed(attempt.saved, attempt.erased, attempt.retried);
      pass.result.written += attempt.saved;
      pass.result.erased += attempt.erased;
      pass.committed = true;
      pass.transient_in_a_row = 0;
    } else if (attempt.verdict.outcome == Outcome::stopped) {
      take_error(pass, attempt.verdict.error);
      pass.over = true;
    } else {
      meter_.failed(attempt.entries, attempt.retried);
      failed(pass, attempt.verdict, attempt.was_alone && attempt.entries == 1);
    }
  }

  /// `known`: the entry has its own pace; its failure must not slow down the others.
  void failed(FlushPass& pass, const Verdict& verdict, bool known = false) noexcept {
    take_error(pass, verdict.error);
    if (verdict.outcome == Outcome::rejected) return;
    pass.failed |= !known || verdict.outcome == Outcome::unavailable;
    ++pass.transient_in_a_row;
    // One bad batch does not hold up the others; two in a row look like a store that is down.
    pass.over |= verdict.outcome == Outcome::unavailable || pass.transient_in_a_row >= 2;
    try {
      monitor_.failed(verdict.error);
    } catch (...) {  // NOLINT(bugprone-empty-catch): no memory for a log line
    }
  }

  /// Effect: an entry, which has a trouble, was parked. A shard's lock may be held.
  template <class Node>
  void parked(FlushPass& pass, const Node& node) noexcept {
    try {
      pass.newly_parked.emplace_back(detail::key_text(*node.first.key), node.second.trouble->error);
    } catch (...) {  // NOLINT(bugprone-empty-catch): parked() still tells
    }
    meter_.parked();
  }

  /// Effect: tells the log. No lock of a shard may be held.
  template <class Shards>
  void pass_ended(const FlushPass& pass, const Shards& shards) noexcept {
    try {
      for (const auto& [key, error] : pass.newly_parked)
        monitor_.parked(key, error);
      if (pass.committed && !pass.failed && !pass.loner_waits) monitor_.recovered();
      if (max_dirty_ != 0) monitor_.backlog(shards.unsaved());
    } catch (...) {  // NOLINT(bugprone-empty-catch): no memory for a log line
    }
    if (pass.wrote) meter_.pass_took(Clock::now() - pass.started);
  }

  static void take_error(FlushPass& pass, const std::string& error) noexcept {
    try {
      pass.result.error = error;
    } catch (...) {  // NOLINT(bugprone-empty-catch): no memory for the text; the counts tell
    }
  }

  /// By any thread.
  [[nodiscard]] FlushCounters counters() const noexcept { return meter_.counters(); }

 private:
  const std::size_t max_dirty_;
  StoreMonitor<Gate> monitor_;
  FlushMeter meter_;
};

}  // namespace lazywriter::detail
