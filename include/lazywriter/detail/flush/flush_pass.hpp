// One pass over what is dirty.
//
// WHAT A PASS DOES. It pins every entry that was dirty when it began and sorts it by what is known
// of it:
//
//     fresh      No attempt to save just this value has failed. Written first, oldest first, in
//                batches.
//     carried    Part of a batch that failed in an earlier pass. Written after the fresh ones, in
//                batches.
//     suspect    Part of a batch that failed in this pass. Its range of entries is tried by halves.
//     isolated   Failed alone, in this pass or an earlier one. Retried last, one by one.
//
// Every transaction goes the same way (FlushTransaction): stage copies of the entries, write them,
// ask RetryPolicy::decide what came of it, complete or move the entries by its answer, record it.
//
//     fate            the entries
//     ------------    ------------------------------------------------------------------
//     complete        merge what the store generated; clean, unless written since
//     split           suspects, as two ranges of half their number
//     isolate         isolated, with what the store said
//     requeue         dirty as before, in front (or behind: requeue_last)
//
// So what is good is stored before anything is halved, however much is bad; and after every
// retries_in_a_row failures in a row the pass looks whether something newer waits, and makes way.
//
// At the end of the pass everything that is still pinned is dirty again (or parked), in the order
// in which the next pass should come to it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <new>
#include <utility>
#include <vector>

#include "lazywriter/cache_config.hpp"
#include "lazywriter/detail/base/clock.hpp"
#include "lazywriter/detail/flush/flush_recorder.hpp"
#include "lazywriter/detail/flush/flush_transaction.hpp"
#include "lazywriter/detail/flush/pass_entries.hpp"
#include "lazywriter/detail/flush/retry_policy.hpp"
#include "lazywriter/detail/shard/shard.hpp"
#include "lazywriter/detail/shard/shard_set.hpp"
#include "lazywriter/detail/table/failure_state.hpp"

namespace lazywriter::detail {

/// Makes the passes, and remembers between them what the store made of the entries. One at a time:
/// the holder of the flush token calls run and uses retry.
template <class Item, class Store>
class FlushPassRunner {
 public:
  FlushPassRunner(ShardSet<Item>& shards, Store& store, const CacheConfig& config)
      : shards_(shards),
        max_batch_(config.max_batch),
        entries_(shards),
        transaction_(entries_, store, config) {}

  /// Effect: one pass. Never throws.
  void run(FlushPass& pass) noexcept {
    begin(pass);
    try {
      write_fresh(pass);
      write_suspects(pass);
      retry_isolated(pass);
    } catch (...) {
      // Out of memory for our own lists. What is pinned is requeued below, still dirty.
      retry_policy().pass_broke();
      transaction_.recorder().broke(pass, detail::current_error_text());
    }
    end(pass);
  }

  [[nodiscard]] const RetryPolicy& retry() const noexcept { return transaction_.retry(); }

  // By any thread:

  [[nodiscard]] TransactionHalt& halting() noexcept { return transaction_.halting(); }
  [[nodiscard]] bool halted() const noexcept { return transaction_.halted(); }
  [[nodiscard]] FlushCounters counters() const noexcept {
    return transaction_.recorder().counters();
  }

 private:
  using Part = Shard<Item>;
  using Node = typename Part::Node;
  using Pins = typename PassEntries<Item>::Pins;
  using Range = typename PassEntries<Item>::Range;
  using Fate = RetryPolicy::Fate;

  RetryPolicy& retry_policy() noexcept { return transaction_.retry(); }
  bool over(FlushPass& pass) const noexcept { return transaction_.over(pass); }

  void begin(FlushPass& pass) noexcept {
    retry_policy().begin_pass();
    for (const auto& shard : shards_) {
      const MutexLock lock(shard->mutex);
      shard->table.begin_turn();
    }
    pass.over |= halted();
  }

  // ---- fresh: everything once, in batches

  /// Takes a few entries of each shard in turn: while it is busy with one shard, what comes next in
  /// the others is fetched from memory. Each pass begins one shard further, so that passes that are
  /// cut short leave none of them out.
  void write_fresh(FlushPass& pass) {
    unfinished_.clear();
    detail::grow(unfinished_, shards_.count());
    for (std::size_t i = 0; i < shards_.count(); ++i)
      unfinished_.push_back(&shards_[(first_shard_ + i) % shards_.count()]);
    ++first_shard_;
    while (!unfinished_.empty() && !over(pass)) {
      std::erase_if(unfinished_, [&](Part* shard) { return !collect_some(pass, *shard); });
    }
    write_fresh_batch(pass);
  }

  /// Effect: collects the next entries of a shard, and writes what is collected once that is a
  /// batch. Returns: whether there may be more.
  bool collect_some(FlushPass& pass, Part& shard) {
    if (pass.over) return false;
    const bool more = collect(pass, shard, make_room(pass));
    if (entries_.fresh.size() >= retry().batch_limit()) write_fresh_batch(pass);
    return more;
  }

  /// Effect: makes room to collect some more entries. A batch for which there is no memory is
  /// written as large as it got. Returns: how many more. Throws: std::bad_alloc, if there is none
  /// even for those alone.
  std::size_t make_room(FlushPass& pass) {
    const auto make = [this] {
      const std::size_t room =
          std::min(entries_per_hold, retry().batch_limit() - entries_.fresh.size());
      entries_.make_room(room);
      transaction_.make_room(room);
      return room;
    };
    try {
      return make();
    } catch (const std::bad_alloc&) {
      if (entries_.fresh.empty()) throw;
    }
    write_fresh_batch(pass);
    return pass.over ? 0 : make();
  }

  /// Effect: pins the next `room` entries of a shard and sorts them; copies of the fresh ones are
  /// staged now, while the next entry is fetched from memory. Returns: whether there may be more.
  bool collect(FlushPass& pass, Part& shard, std::size_t room) {
    const YieldingLock lock(shard.mutex);
    for (std::size_t i = 0; i < room; ++i) {
      if (i == entries_while_waited_for && shard.mutex.waited_for()) return true;
      Node* const node = shard.table.pin_next();
      if (node == nullptr) return false;
      const auto& entry = node->second;
      Pin<Item> pin{.shard = &shard, .node = node, .failed_before = entry.failed};
      if (entry.failure != nullptr && entry.failure->isolated != Isolated::no) [[unlikely]] {
        pin.breaks_the_store = entry.named && entry.failure->isolated == Isolated::unavailable;
        pin.due = !pass.only_due || entry.failure->retry_at <= pass.started;
        if (!pin.due) pass.next_due = std::min(pass.next_due, entry.failure->retry_at);
        entries_.isolated.push_back(pin);
      } else if (entry.suspect) [[unlikely]] {
        entries_.carried.push_back(pin);
      } else {
        transaction_.stage(pass, entries_.fresh.emplace_back(pin));
      }
    }
    return true;
  }

  /// Effect: writes the fresh entries that are collected, and what fails of them for now by halves
  /// as far as that tells whether one of them is the cause.
  void write_fresh_batch(FlushPass& pass) {
    if (over(pass)) {
      entries_.requeue(pass, entries_.fresh, Place::front);
    } else if (!entries_.fresh.empty()) {
      transaction_.write_staged(pass, entries_.fresh);
    }
    entries_.fresh.clear();
    while (retry().descends() && !entries_.ranges.empty() && !over(pass)) {
      const Range range = entries_.ranges.back();
      entries_.ranges.pop_back();
      write_range(pass, range);
    }
  }

  // ---- carried and suspect: in batches, and by halves

  /// Larger ranges first: what is good among the bad is stored early, and that the store takes it
  /// is known before what is left stands alone. While nothing is taken, the newest of what is
  /// carried is tried first, one by one: it has the least in common with what failed.
  void write_suspects(FlushPass& pass) {
    std::size_t first_carried = 0;
    std::size_t untried_end = entries_.carried.size();
    std::size_t first_range = 0;
    while (!over(pass)) {
      const std::size_t untried = untried_end - first_carried;
      if (untried != 0) {
        const std::size_t count = std::min(untried, retry().suspect_limit());
        const auto carried = Pins(entries_.carried).subspan(first_carried, untried);
        if (retry().doubts_the_store()) {
          transaction_.write(pass, carried.last(count));
          untried_end -= count;
        } else {
          transaction_.write(pass, carried.first(count));
          first_carried += count;
        }
      } else if (first_range != entries_.ranges.size()) {
        write_range(pass, entries_.ranges[first_range++]);
      } else {
        return retry_policy().suspects_ended();
      }
      make_way(pass);
    }
  }

  void write_range(FlushPass& pass, Range range) {
    transaction_.write(pass, Pins(entries_.suspects).subspan(range.begin, range.end - range.begin));
  }

  // ---- isolated: one by one, after the rest has been committed

  /// Another item's row may have been in the way of a rejected one, or its parent not yet written:
  /// rounds repeat while one of them commits something. Only a rejection in a round without
  /// progress says something of the item; a round that is cut short goes on in the next pass. What
  /// failed for now is tried once a pass.
  void retry_isolated(FlushPass& pass) {
    auto& isolated = entries_.isolated;
    std::size_t writes_left = max_batch_;
    pass.failures_in_a_row = 0;
    bool progress = true;
    bool cut_short = false;
    while (progress && writes_left != 0 && !isolated.empty()) {
      progress = false;
      for (Pin<Item>& pin : isolated)
        pin.rejected = false;
      for (std::size_t i = 0; i < isolated.size();) {
        if (over(pass) || writes_left == 0) {
          cut_short = true;
          break;
        }
        const std::size_t group = next_group(i, writes_left);
        if (group == 0) break;
        writes_left -= group;
        const Fate fate = transaction_.retry(pass, Pins(isolated).subspan(i, group));
        progress |= fate == Fate::complete;
        if (fate != Fate::split) i += group;
        make_way(pass);
      }
      if (progress) retry_policy().unblocked();
      std::erase_if(isolated, [](const Pin<Item>& pin) { return pin.node == nullptr; });
    }
    if (progress) return;  // the last round was not over
    entries_.for_each(isolated, [&](Part& shard, Pin<Item>& pin) {
      if (pin.rejected) transaction_.count_rejection(pass, shard, *pin.node, cut_short);
    });
  }

  /// Effect: moves `first` to the next entries to retry. Returns: how many of them to retry at
  /// once; 0 when there are none.
  std::size_t next_group(std::size_t& first, std::size_t most) const noexcept {
    const auto& isolated = entries_.isolated;
    // Once some of them are taken again, the others need not wait for their time.
    const bool store_recovers = retry().retry_group() > 1;
    const auto wanted = [&](const Pin<Item>& pin) {
      return pin.node != nullptr && !pin.tried && (pin.due || store_recovers);
    };
    while (first != isolated.size() && !wanted(isolated[first]))
      ++first;
    most = std::min(most, retry().retry_group());
    std::size_t end = first;
    while (end != isolated.size() && end - first < most && wanted(isolated[end]))
      ++end;
    return end - first;
  }

  /// Effect: after so many failures in a row, ends the pass if something newer waits.
  void make_way(FlushPass& pass) const noexcept {
    const unsigned failures = pass.failures_in_a_row;
    if (failures == 0 || failures % RetryPolicy::retries_in_a_row != 0) return;
    for (const auto& shard : shards_) {
      const MutexLock lock(shard->mutex);
      if (!shard->table.has_newer()) continue;
      pass.made_way = pass.over = true;
      return;
    }
  }

  // ---- the end of a pass

  void end(FlushPass& pass) noexcept {
    transaction_.end_pass(pass);
    entries_.requeue(pass, entries_.fresh, Place::front);
    entries_.requeue(pass, entries_.suspects, Place::front);
    entries_.requeue(pass, entries_.carried, Place::front);
    // Those that this pass did not come to stand in front of those it tried, so that all have their
    // turn.
    for (const bool tried : {false, true}) {
      entries_.for_each(entries_.isolated, [&](Part&, Pin<Item>& pin) {
        if ((pin.tried || pin.rejected) == tried) requeue_isolated(pass, pin, tried);
      });
    }
    entries_.clear();
    end_turn(pass);
    retry_policy().end_pass();
    // Once halted, nothing is tried again, and what ended the last transaction is no news.
    const bool store_failed = retry().store_failed() && !halted();
    transaction_.recorder().pass_ended(pass, retry().committed(), store_failed, shards_);
  }

  /// Under the shard's lock.
  void requeue_isolated(FlushPass& pass, Pin<Item>& pin, bool tried) noexcept {
    const auto& entry = pin.node->second;
    const bool same_version = entry.failure != nullptr && entry.unsaved_since != no_stamp;
    if (same_version && !entry.parked()) {
      const bool rejected = entry.failure->isolated == Isolated::rejected;
      // Otherwise the store may be to blame.
      if (tried && !rejected && retry().blames_items()) transaction_.name(pass, *pin.node);
      // What failed for now deserves a second try, whatever waits for the flush.
      const bool hopeless = rejected || (entry.named && entry.failure->failures > 1);
      if (hopeless && entry.unsaved_since <= pass.cutoff) ++pass.pending_alone;
    }
    entries_.requeue(pass, pin, same_version ? Place::front : Place::back);
  }

  /// Effect: what the pass did not come to is dirty as before; it is looked at only to tell a
  /// caller of flush() how much of it there is.
  void end_turn(FlushPass& pass) noexcept {
    for (const auto& shard : shards_) {
      for (bool more = true; more;) {
        const YieldingLock lock(shard->mutex);
        more = !pass.only_due;
        for (std::size_t i = 0; i < entries_while_waited_for && more; ++i) {
          Node* const node = shard->table.pin_next();
          more = node != nullptr;
          if (!more) break;
          Pin<Item> pin{.shard = shard.get(), .node = node};
          entries_.unpin(pass, pin, Place::front);
        }
        if (more) continue;
        // In the hold that ends the turn, so that what goes from parked to dirty, or back, counts
        // as just one of them.
        pass.result.pending += shard->table.end_turn();
        pass.result.parked += shard->table.parked();
      }
    }
  }

  ShardSet<Item>& shards_;
  const std::size_t max_batch_;

  // All of it, but for what any thread may call, belongs to the holder of the flush token.
  PassEntries<Item> entries_;
  FlushTransaction<Item, Store> transaction_;
  /// Shards that have entries left that were not looked at yet. Meaningless between passes.
  std::vector<Part*> unfinished_;
  /// Where the next pass begins, modulo their number.
  std::size_t first_shard_ = 0;
};

}  // namespace lazywriter::detail
