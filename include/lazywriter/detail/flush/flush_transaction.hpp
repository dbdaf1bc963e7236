// One transaction of a pass: stage, write, decide, complete or move the entries, record.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "lazywriter/cache_config.hpp"
#include "lazywriter/detail/base/clock.hpp"
#include "lazywriter/detail/flush/flush_batch.hpp"
#include "lazywriter/detail/flush/flush_recorder.hpp"
#include "lazywriter/detail/flush/pass_entries.hpp"
#include "lazywriter/detail/flush/retry_policy.hpp"
#include "lazywriter/detail/flush/transaction_halt.hpp"
#include "lazywriter/detail/shard/shard.hpp"
#include "lazywriter/detail/store/store_gate.hpp"
#include "lazywriter/detail/table/failure_state.hpp"

namespace lazywriter::detail {

/// Makes the transactions of a pass, each in the same five steps. Belongs to the holder of the
/// flush token, but for what any thread may call.
template <class Item, class Gate>
class FlushTransaction {
 public:
  using Part = Shard<Item>;
  using Table = typename Part::Table;
  using Node = typename Part::Node;
  using Pins = typename PassEntries<Item>::Pins;
  using Fate = RetryPolicy::Fate;
  using FailureState = Trouble<key_type_t<Item>>;

  FlushTransaction(PassEntries<Item>& entries, Gate& gate, const CacheConfig& config)
      : entries_(entries), batch_(gate), recorder_(gate, config.max_dirty), retry_(config) {}

  [[nodiscard]] RetryPolicy& retry() noexcept { return retry_; }
  [[nodiscard]] const RetryPolicy& retry() const noexcept { return retry_; }
  [[nodiscard]] FlushRecorder<Gate>& recorder() noexcept { return recorder_; }
  [[nodiscard]] const FlushRecorder<Gate>& recorder() const noexcept { return recorder_; }

  /// By any thread. After halt() no transaction begins, and one under way is not committed.
  [[nodiscard]] TransactionHalt& halting() noexcept { return halt_; }
  [[nodiscard]] bool halted() const noexcept { return halt_.halted(); }

  /// Whether no further transaction of the pass may begin.
  bool over(FlushPass& pass) const noexcept {
    pass.over |= halted() || (pass.deadline.has_value() && Clock::now() >= *pass.deadline);
    return pass.over;
  }

  /// Effect: makes room to stage `more` entries. Throws: std::bad_alloc.
  void make_room(std::size_t more) { batch_.make_room(more); }

  /// Effect: the entry is part of the next transaction, or unpinned if there is nothing to save or
  /// it cannot be copied. Under the shard's lock.
  void stage(FlushPass& pass, Pin<Item>& pin) noexcept {
    switch (batch_.stage(pin)) {
      case Staged::yes:
        return;
      case Staged::nothing:
        return entries_.unpin(pass, pin, Place::front);
      case Staged::unreadable:
        Table::mark_unreadable(*pin.node);
        recorder_.broke(pass, batch_.error());
        if (FailureState* const state = Table::failure_of(*pin.node)) {
          retry_.failed_alone(*state, Isolated::transient, std::move(batch_.error()));
          pass.next_due = std::min(pass.next_due, state->retry_at);
          name(pass, *pin.node);
        }
        entries_.unpin(pass, pin, Place::back);
    }
  }

  /// Effect: writes what is staged, of `pins` all, in one transaction. Throws: std::bad_alloc, and
  /// nothing was written.
  void write_staged(FlushPass& pass, Pins pins) {
    entries_.make_room_to_move(pins);
    if (const TransactionHalt::UnderWay under_way(halt_); under_way) {
      finish(pass, pins, batch_.write(stopper(pass)), false);
    } else {
      entries_.requeue(pass, pins, Place::front);
    }
    batch_.clear();
  }

  /// Effect: stages those of `pins`, suspects all, that have not ended and writes them in one
  /// transaction. Throws: std::bad_alloc, and nothing was written.
  void write(FlushPass& pass, Pins pins) {
    const std::size_t count = entries_.count(pins);
    const TransactionHalt::UnderWay under_way(halt_);
    if (count == 0 || !under_way) return;
    entries_.make_room_to_move(pins);
    Attempt attempt;
    try {
      stage_all(pass, pins);
      attempt = batch_.write(stopper(pass));
    } catch (const std::bad_alloc&) {
      // Half of them may find room.
      attempt.verdict = {Outcome::transient, detail::current_error_text()};
      attempt.entries = count;
    }
    finish(pass, pins, std::move(attempt), true);
    batch_.clear();
  }

  /// Effect: as write, of entries that are isolated. Returns: what became of them. Throws:
  /// std::bad_alloc, and nothing was written.
  Fate retry(FlushPass& pass, Pins pins) {
    const TransactionHalt::UnderWay under_way(halt_);
    if (!under_way) return Fate::requeue;
    stage_all(pass, pins);
    Attempt attempt = batch_.write(stopper(pass));
    if (attempt.entries == 0) return Fate::requeue;
    const bool breaks_the_store = pins.size() == 1 && pins.front().breaks_the_store;
    const auto decision =
        retry_.decide_retry(attempt.verdict.outcome, attempt.entries, breaks_the_store);
    pass.over |= decision.ends_pass;
    recorder_.attempted(pass, attempt, true);
    if (decision.fate == Fate::complete) {
      complete(pass, pins);
    } else if (attempt.verdict.outcome != Outcome::stopped) {
      give_back(pins, attempt.verdict.outcome);
      if (decision.fate == Fate::isolate) note_isolated(pass, pins, std::move(attempt.verdict));
    }
    batch_.clear();
    return decision.fate;
  }

  /// Effect: an isolated entry was rejected in a round that says something of it, unless the round
  /// was cut short and something may have been in its way. Under the shard's lock.
  void count_rejection(FlushPass& pass, Part& shard, Node& node, bool cut_short) noexcept {
    shard.mutex.assert_held();
    FailureState* const state = Table::failure_of(node);
    if (state == nullptr || (cut_short && !retry_.still_stuck(*state))) return;
    if (retry_.count_rejection(*state)) {
      shard.table.mark_parked(node);
      recorder_.parked(pass, node);
    } else {
      pass.next_due = std::min(pass.next_due, state->retry_at);
      // Not before: what was in its way, a parent say, mostly comes soon.
      if (retry_.rejected_often_enough(*state)) name(pass, node);
    }
  }

  /// Effect: the log hears, once, of an entry that failed alone and for which the store is not to
  /// blame. Under the shard's lock.
  void name(FlushPass& pass, Node& node) noexcept {
    if (Table::mark_named(node)) recorder_.isolated(pass, node);
  }

  /// Effect: forgets what is staged, and most of the copies that are kept.
  void end_pass(const FlushPass& pass) noexcept {
    batch_.clear();
    batch_.keep(pass.wrote ? copies_kept : 0);
  }

 private:
  /// Asked before every further call of the adapter.
  auto stopper(FlushPass& pass) const noexcept {
    return [this, &pass](Before call) noexcept {
      return call == Before::commit ? halted() : over(pass);
    };
  }

  /// Throws: std::bad_alloc.
  void stage_all(FlushPass& pass, Pins pins) {
    batch_.clear();
    batch_.make_room(pins.size());
    entries_.for_each(pins, [&](Part&, Pin<Item>& pin) { stage(pass, pin); });
  }

  /// Effect: the entries of an attempt, which are not isolated, go where its outcome sends them.
  void finish(FlushPass& pass, Pins pins, Attempt attempt, bool suspects) noexcept {
    if (attempt.entries == 0) return;
    const Outcome outcome = attempt.verdict.outcome;
    const auto decision = retry_.decide(outcome, attempt.entries, suspects);
    pass.over |= decision.ends_pass;
    recorder_.attempted(pass, attempt, false);
    if (decision.fate != Fate::complete && outcome != Outcome::stopped) give_back(pins, outcome);
    switch (decision.fate) {
      case Fate::complete:
        if (attempt.failed_before) retry_.unblocked();
        return complete(pass, pins);
      case Fate::split:
        return entries_.split(pins);
      case Fate::isolate:
        return note_isolated(pass, entries_.isolate(pins), std::move(attempt.verdict));
      case Fate::requeue:
        return entries_.requeue(pass, pins, Place::front);
      case Fate::requeue_last:
        return entries_.requeue(pass, pins, Place::back);
    }
  }

  /// Effect: the copies are committed: merges them, and unpins the entries.
  void complete(FlushPass& pass, Pins pins) noexcept {
    entries_.for_each(pins, [&](Part& shard, Pin<Item>& pin) {
      shard.mutex.assert_held();
      merge(pin);
      if (shard.table.land_saved(*pin.node)) {
        pin.node = nullptr;
      } else {
        entries_.unpin(pass, pin, Place::back);
      }
    });
  }

  /// Effect: the copy of the entry is committed. Under the shard's lock.
  void merge(Pin<Item>& pin) noexcept {
    auto& entry = pin.node->second;
    // What was put after a later erase is another row, to which the key data of this one is
    // foreign.
    if (pin.saves && !entry.erased && !entry.erase_first) {
      try {
        entry.item().copy_key_data_from(batch_.saved(pin));
      } catch (...) {  // NOLINT(bugprone-empty-catch)
        // The row is saved; only what the store generated could not be taken over, which the next
        // save brings again.
      }
    }
    Table::mark_saved(*pin.node, pin.erases && !pin.saves);
    pin.since = no_stamp;
  }

  /// Effect: the copies were not committed: the entries are as unsaved as before, and pinned.
  void give_back(Pins pins, Outcome outcome) noexcept {
    entries_.for_each(pins, [&](Part&, Pin<Item>& pin) {
      // A row that is there may be the new one already: it is saved over, and not erased again.
      const bool erases = pin.erases && !(pin.saves && outcome == Outcome::in_doubt);
      Table::give_back(*pin.node, std::exchange(pin.since, no_stamp), erases,
                       outcome != Outcome::not_begun);
    });
  }

  /// Effect: notes on the entry itself that it failed alone, and when to try it again.
  void note_isolated(FlushPass& pass, Pins pins, Verdict verdict) noexcept {
    const bool rejected = verdict.outcome == Outcome::rejected;
    entries_.for_each(pins, [&](Part&, Pin<Item>& pin) {
      pin.rejected = rejected;
      pin.tried = !rejected;  // rounds repeat for what may have been in its way
      FailureState* const state = Table::failure_of(*pin.node);
      if (state == nullptr) return;
      if (rejected) return retry_.rejected_alone(*state, std::move(verdict.error));
      const bool unavailable = verdict.outcome == Outcome::unavailable;
      retry_.failed_alone(*state, unavailable ? Isolated::unavailable : Isolated::transient,
                          std::move(verdict.error));
      pass.next_due = std::min(pass.next_due, state->retry_at);
    });
  }

  TransactionHalt halt_;
  PassEntries<Item>& entries_;
  FlushBatch<Item, Gate> batch_;
  FlushRecorder<Gate> recorder_;
  RetryPolicy retry_;
};

}  // namespace lazywriter::detail
