// One pass over what is dirty: everything once in batches, halving what fails, parking what is
// refused.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lazywriter/cache_config.hpp"
#include "lazywriter/detail/flush_batch.hpp"
#include "lazywriter/detail/flush_ledger.hpp"
#include "lazywriter/detail/flush_token.hpp"
#include "lazywriter/detail/retry_policy.hpp"
#include "lazywriter/detail/shard.hpp"
#include "lazywriter/detail/store_gate.hpp"

namespace lazywriter::detail {

/// Makes the passes, and remembers between them what the store made of the entries. One at a time:
/// the holder of the flush token calls run and uses retry.
template <class Item, class Gate>
class FlushPassRunner {
 public:
  FlushPassRunner(ShardSet<Item>& shards, Gate& gate, const CacheConfig& config)
      : shards_(shards),
        config_(config),
        batch_(shards, gate),
        ledger_(gate, config.max_dirty),
        retry_(config) {}

  /// Effect: one pass. Never throws.
  void run(FlushPass& pass) noexcept {
    for (const auto& shard : shards_) {
      const MutexLock lock(shard->mutex);
      shard->table.begin_turn();
    }
    try {
      write_turn(pass);
      retry_rejected(pass);
    } catch (...) {
      // Out of memory for our own lists. What is pinned is landed below, still dirty.
      ledger_.failed(pass, {Outcome::transient, detail::current_error_text()});
    }
    land_all(pass, pins_);
    for (Suspect& suspect : suspects_)
      land_all(pass, Pins(&suspect.pin, 1));
    pins_.clear();
    suspects_.clear();
    batch_.clear();
    batch_.keep(pass.wrote ? copies_kept : 0);
    end_turn(pass);
    retry_.pass_ended(pass.failed, pass.committed);
    ledger_.pass_ended(pass, shards_);
  }

  [[nodiscard]] const RetryPolicy& retry() const noexcept { return retry_; }

  // By any thread:

  /// Effect: no transaction begins from now on; a pass under way ends as soon as the call under way
  /// does.
  void halt() noexcept { halted_.store(true); }
  [[nodiscard]] bool halted() const noexcept { return halted_.load(); }
  [[nodiscard]] FlushCounters counters() const noexcept { return ledger_.counters(); }

 private:
  using Pass = FlushPass;
  using Part = Shard<Item>;
  using Table = typename Part::Table;
  using Node = typename Part::Node;
  using Batch = FlushBatch<Item, Gate>;
  using Pins = std::span<Pin<Item>>;

  /// An entry that was rejected alone in this pass, or in one before.
  struct Suspect {
    Pin<Item> pin;
    std::string error;
    /// By the attempt of the round under way.
    bool rejected = false;
    /// It failed alone for now, before this pass.
    bool alone = false;
  };

  // ---- the main part: everything once, in batches

  /// Takes a few entries of each shard in turn: while it is busy with one shard, what comes next in
  /// the others is fetched from memory. Each pass begins one shard further, so that passes that are
  /// cut short leave none of them out.
  void write_turn(Pass& pass) {
    unfinished_.clear();
    detail::grow(unfinished_, shards_.count());
    for (std::size_t i = 0; i < shards_.count(); ++i)
      unfinished_.push_back(&shards_[(first_shard_ + i) % shards_.count()]);
    ++first_shard_;
    while (!unfinished_.empty() && !over(pass)) {
      std::erase_if(unfinished_, [&](Part* shard) { return !take_some(pass, *shard); });
    }
    write_pins(pass);
  }

  /// Effect: pins the next entries of a shard's turn, and writes what is pinned once that is a
  /// batch. Returns: whether there may be more.
  bool take_some(Pass& pass, Part& shard) {
    if (pass.over) return false;
    const bool more = pin_some(pass, shard, make_room(pass));
    if (pins_.size() >= retry_.batch_limit()) write_pins(pass);
    return more;
  }

  /// Effect: makes room to pin some more entries. A batch for which there is no memory is written
  /// as large as it got. Returns: how many more. Throws: std::bad_alloc, if there is none even for
  /// those alone.
  std::size_t make_room(Pass& pass) {
    const auto make = [this] {
      const std::size_t room = std::min(entries_per_hold, retry_.batch_limit() - pins_.size());
      detail::grow(pins_, pins_.size() + room);
      detail::grow(suspects_, suspects_.size() + room);
      batch_.make_room(room);
      return room;
    };
    try {
      return make();
    } catch (const std::bad_alloc&) {
      if (pins_.empty()) throw;
    }
    write_pins(pass);
    return pass.over ? 0 : make();
  }

  /// Effect: pins the next `room` entries of a shard's turn and takes copies along; what is not due
  /// is landed, and what must be tried alone becomes a suspect. Returns: whether there may be more.
  bool pin_some(Pass& pass, Part& shard, std::size_t room) {
    const YieldingLock lock(shard.mutex);
    for (std::size_t i = 0; i < room; ++i) {
      if (i == entries_while_waited_for && shard.mutex.waited_for()) return true;
      Node* const node = shard.table.pin_next();
      if (node == nullptr) return false;
      Pin<Item> pin{.shard = &shard, .node = node, .failed_before = node->second.failed};
      const auto& trouble = node->second.trouble;
      if (trouble == nullptr) [[likely]] {
        take_along(pass, pin);
        continue;
      }
      const bool alone = retry_.is_loner(*trouble);
      if (pass.only_due && trouble->retry_at > pass.started) {
        pass.loner_waits |= alone;
        pass.next_due = std::min(pass.next_due, trouble->retry_at);
        land(pass, pin, Place::front);
      } else if (alone || trouble->rejections != 0) {
        suspects_.push_back({pin, {}, false, alone});
      } else {
        take_along(pass, pin);
      }
    }
    return true;
  }

  /// Effect: the pin is part of the next transaction. The copy is taken now, while the next entry
  /// of the turn is fetched from memory. Under the shard's lock.
  void take_along(Pass& pass, const Pin<Item>& pin) noexcept {
    pins_.push_back(pin);
    batch_.take(pins_.back(), lander(pass), pacer(pass));
  }

  /// Effect: writes what was taken along.
  void write_pins(Pass& pass) {
    if (over(pass)) {
      land_all(pass, pins_);
    } else {
      detail::grow(suspects_, suspects_.size() + 1);
      settle(pass, pins_, note(pass, batch_.write(pins_, lander(pass), stopper(pass))));
    }
    pins_.clear();
    batch_.clear();
  }

  /// Effect: writes the pins in one transaction; halves what is rejected; lands all but the
  /// suspects.
  void write_range(Pass& pass, Pins pins) {
    if (over(pass)) return land_all(pass, pins);
    if (Batch::count_live(pins) == 0) return;
    detail::grow(suspects_, suspects_.size() + 1);
    settle(pass, pins, attempt_write(pass, pins));
  }

  void settle(Pass& pass, Pins pins, typename Batch::Attempt attempt) {
    switch (attempt.verdict.outcome) {
      case Outcome::committed:
        return;
      case Outcome::rejected:
        if (attempt.entries == 1) {
          const auto at = std::find_if(pins.begin(), pins.end(),
                                       [](const auto& pin) { return pin.node != nullptr; });
          suspects_.push_back({*at, std::move(attempt.verdict.error)});
          at->node = nullptr;
        } else {
          write_range(pass, pins.first(pins.size() / 2));
          write_range(pass, pins.subspan(pins.size() / 2));
        }
        return;
      case Outcome::transient:
        if (attempt.entries == 1) return set_apart(pass, pins, std::move(attempt.verdict.error));
        retry_.batch_failed(attempt.entries);
        return land_all(pass, pins);
      case Outcome::unavailable:
      case Outcome::stopped:
        return land_all(pass, pins);
    }
  }

  // ---- what was rejected alone, after the rest has been committed

  /// Another item's row may have been in its way, or its parent not yet written: rounds repeat
  /// while one of them commits something. Only a rejection in a round without progress says
  /// something of the item; a round that is cut short goes on in the next pass.
  void retry_rejected(Pass& pass) {
    std::size_t writes_left = config_.max_batch;
    bool progress = true;
    bool cut_short = false;
    while (progress && writes_left != 0 && !suspects_.empty()) {
      progress = false;
      for (Suspect& suspect : suspects_) {
        suspect.rejected = false;
        if (over(pass) || writes_left == 0) {
          pass.loner_waits |= suspect.alone;
          cut_short = true;
          continue;
        }
        --writes_left;
        const Pins alone(&suspect.pin, 1);
        auto attempt = attempt_write(pass, alone);
        progress |= attempt.verdict.outcome == Outcome::committed && attempt.entries != 0;
        suspect.rejected = attempt.verdict.outcome == Outcome::rejected;
        suspect.error = std::move(attempt.verdict.error);
        if (attempt.verdict.outcome == Outcome::transient) {
          set_apart(pass, alone, std::move(suspect.error));
        }
      }
      if (progress) retry_.unblocked();
      std::erase_if(suspects_, [](const Suspect& suspect) { return suspect.pin.node == nullptr; });
    }
    // Those that this pass did not come to are landed in front of these, so that all have their
    // turn.
    for (Suspect& suspect : suspects_) {
      if (!suspect.rejected) continue;
      if (progress) {
        land_back(pass, suspect);
      } else {
        count_rejection(pass, suspect, cut_short);
      }
    }
  }

  void land_back(Pass& pass, Suspect& suspect) noexcept {
    batch_.for_each_hold(Pins(&suspect.pin, 1),
                         [&](Part&, Pin<Item>& pin) { land(pass, pin, Place::back); });
  }

  void count_rejection(Pass& pass, Suspect& suspect, bool cut_short) {
    pass.newly_parked.reserve(pass.newly_parked.size() + 1);
    batch_.for_each_hold(Pins(&suspect.pin, 1), [&](Part& shard, Pin<Item>& pin) {
      shard.mutex.assert_held();
      auto* const trouble = trouble_of(*pin.node);
      if (trouble != nullptr && (!cut_short || retry_.still_stuck(*trouble))) {
        if (retry_.rejected(*trouble, std::move(suspect.error))) {
          shard.table.mark_parked(*pin.node);
          ledger_.parked(pass, *pin.node);
        } else {
          pass.next_due = std::min(pass.next_due, trouble->retry_at);
        }
      }
      land(pass, pin, Place::back);
    });
  }

  // ---- outcomes

  // What the batch calls back.
  auto lander(Pass& pass) noexcept {
    return [this, &pass](Pin<Item>& pin, Place place) noexcept { land(pass, pin, place); };
  }
  auto pacer(Pass& pass) noexcept {
    return [this, &pass](Pin<Item>& pin, std::string&& error) noexcept {
      FlushLedger<Gate>::take_error(pass, error);
      set_own_pace(pass, pin, std::move(error));
    };
  }
  auto stopper(Pass& pass) const noexcept {
    return [this, &pass](Before call) noexcept {
      return call == Before::commit ? halted_.load() : over(pass);
    };
  }

  auto attempt_write(Pass& pass, Pins pins) noexcept {
    return note(pass, batch_.take_and_write(pins, lander(pass), pacer(pass), stopper(pass)));
  }

  /// Effect: takes down an attempt. Returns: it.
  auto note(Pass& pass, typename Batch::Attempt attempt) noexcept {
    ledger_.attempted(pass, attempt);
    if (attempt.entries != 0 && attempt.verdict.outcome == Outcome::committed) {
      if (attempt.was_alone) retry_.loner_recovered();
      if (attempt.failed_before) retry_.unblocked();
    }
    return attempt;
  }

  /// Effect: lands an entry that failed alone for now: behind all others, at its own pace, tried
  /// alone until one like it succeeds. `pins`: that entry, and perhaps landed ones.
  void set_apart(Pass& pass, Pins pins, std::string&& error) noexcept {
    batch_.for_each_hold(pins,
                         [&](Part&, Pin<Item>& pin) { set_own_pace(pass, pin, std::move(error)); });
    pass.loner_waits = true;
  }

  /// Under the shard's lock.
  void set_own_pace(Pass& pass, Pin<Item>& pin, std::string&& error) noexcept {
    auto* const trouble = trouble_of(*pin.node);
    if (trouble != nullptr) {
      retry_.failed_alone(*trouble, std::move(error));
      pass.next_due = std::min(pass.next_due, trouble->retry_at);
    }
    land(pass, pin, Place::back);
  }

  /// Returns: what is remembered of a pinned entry's failures, made if need be; nullptr if that
  /// fails or the entry was written since its copy was taken, which makes them another version's.
  static Trouble<key_type_t<Item>>* trouble_of(Node& node) noexcept {
    auto& entry = node.second;
    if (!entry.failed || entry.unsaved_since == no_stamp || entry.parked()) return nullptr;
    try {
      if (entry.trouble == nullptr) entry.trouble = std::make_unique<Trouble<key_type_t<Item>>>();
    } catch (...) {
      return nullptr;
    }
    return entry.trouble.get();
  }

  /// Under the shard's lock.
  void land(Pass& pass, Pin<Item>& pin, Place place) noexcept {
    pin.shard->mutex.assert_held();
    Node& node = *std::exchange(pin.node, nullptr);
    const auto& entry = node.second;
    if (entry.unsaved_since != no_stamp && entry.unsaved_since <= pass.cutoff && !entry.parked()) {
      ++pass.result.pending;
    }
    batch_.bury(pin.shard->table.land(node, place));
  }

  /// Effect: lands what no attempt is under way with; a copy that was taken was not tried.
  void land_all(Pass& pass, Pins pins) noexcept {
    batch_.for_each_hold(pins, [&](Part&, Pin<Item>& pin) {
      Table::put_back(*pin.node, std::exchange(pin.since, no_stamp));
      land(pass, pin, Place::front);
    });
  }

  // ---- the end of a pass

  /// Effect: what the pass did not come to is dirty as before.
  void end_turn(Pass& pass) noexcept {
    for (const auto& shard : shards_) {
      for (bool more = true; more;) {
        const YieldingLock lock(shard->mutex);
        for (std::size_t i = 0; i < entries_while_waited_for && more; ++i) {
          Node* const node = shard->table.pin_next();
          more = node != nullptr;
          if (!more) break;
          Pin<Item> pin{.shard = shard.get(), .node = node};
          land(pass, pin, Place::front);
        }
        if (more) continue;
        // In the hold that ends the turn, so that what goes from parked to dirty, or back, counts
        // as just one of them.
        pass.result.pending += shard->table.end_turn();
        pass.result.parked += shard->table.parked();
      }
    }
  }

  bool over(Pass& pass) const noexcept {
    pass.over |= halted_.load() || (pass.deadline.has_value() && Clock::now() >= *pass.deadline);
    return pass.over;
  }

  ShardSet<Item>& shards_;
  const CacheConfig& config_;
  /// Set once: close wants no further transaction.
  std::atomic<bool> halted_{false};

  // Everything from here on, but for the counters of the ledger, belongs to the holder of the flush
  // token.
  Batch batch_;
  FlushLedger<Gate> ledger_;
  RetryPolicy retry_;
  /// Shards whose turn has entries left that were not looked at yet. Meaningless between passes.
  std::vector<Part*> unfinished_;
  /// Where the next pass begins, modulo their number.
  std::size_t first_shard_ = 0;
  /// Pinned entries of the batch under way, and those that were rejected alone. Empty between
  /// passes.
  std::vector<Pin<Item>> pins_;
  std::vector<Suspect> suspects_;
};

}  // namespace lazywriter::detail
