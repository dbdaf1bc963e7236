// One transaction's worth of entries: fresh copies out, one attempt, the outcome back in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lazywriter/detail/prefetch.hpp"
#include "lazywriter/detail/shard.hpp"
#include "lazywriter/detail/store_gate.hpp"

namespace lazywriter::detail {

/// An entry that the flusher has pinned. The node stays in the map until it is landed.
template <class Item>
struct Pin {
  Shard<Item>* shard = nullptr;
  /// nullptr once it is landed.
  typename Shard<Item>::Node* node = nullptr;
  /// Since when the copy that is under way was unsaved; no_stamp when no copy is taken.
  Stamp since = no_stamp;
  /// The place of that copy among the items, or of the key among those to erase.
  std::size_t place = 0;
  bool erases = false;
  /// An attempt had failed when it was pinned.
  bool failed_before = false;
};

/// Effect: makes room for `count` elements in all, so that adding them cannot fail.
template <class Vector>
void grow(Vector& vector, std::size_t count) {
  if (vector.capacity() < count) vector.reserve(std::max(count, vector.capacity() * 2));
}

/// How many copies are kept from one pass to the next, at most.
inline constexpr std::size_t copies_kept = 1'024;

/// Copies, writes and lands pinned entries. Owned by the Flusher and used under its token. The
/// copies are kept from batch to batch and assigned to, where that destroys nothing: an item whose
/// strings are there already takes no memory, and what malloc and free cost is more than the rest
/// of a copy.
template <class Item, class Gate>
class FlushBatch {
 public:
  using Part = Shard<Item>;
  using Table = typename Part::Table;
  using Node = typename Part::Node;
  using Key = key_type_t<Item>;

  FlushBatch(ShardSet<Item>& shards, Gate& gate) : shards_(shards), gate_(gate) {}

  struct Attempt {
    Verdict verdict;
    /// Entries that were in the transaction.
    std::size_t entries = 0;
    std::size_t saved = 0;
    std::size_t erased = 0;
    std::size_t retried = 0;
    /// Whether one of them had failed alone before.
    bool was_alone = false;
    /// Whether an attempt had failed for one of them when it was pinned.
    bool failed_before = false;
  };

  /// Effect: begins an empty batch. No lock of a shard may be held.
  void clear() noexcept {
    // To assign to one of these, under a lock, would destroy what it holds there.
    if constexpr (!assignment_destroys_nothing<Item>) items_.clear();
    taken_ = 0;
    keys_.clear();
    attempt_ = {};
  }

  /// Effect: destroys the copies that are kept, but for `most`. The batch must be empty.
  void keep(std::size_t most) noexcept {
    if (items_.size() > most) {
      items_.erase(items_.begin() + static_cast<std::ptrdiff_t>(most), items_.end());
    }
  }

  /// Effect: makes room for `more` items, so that taking them along needs no memory but that of the
  /// copies. Throws: std::bad_alloc.
  void make_room(std::size_t more) { detail::grow(items_, taken_ + more); }

  /// Effect: takes along a fresh copy of what a pinned entry holds now. An entry that holds nothing
  /// unsaved any more is landed; one that cannot be copied is given to `unreadable(pin, error)`,
  /// which must land it. Under the shard's lock.
  template <class Land, class Unreadable>
  void take(Pin<Item>& pin, Land&& land, Unreadable&& unreadable) noexcept {
    Node& node = *pin.node;
    if (node.second.unsaved_since == no_stamp || node.second.parked()) {
      land(pin, Place::front);
      return;
    }
    try {
      pin.erases = node.second.erased;
      pin.place = pin.erases ? keys_.size() : taken_;
      if (pin.erases) {
        keys_.push_back(Table::key_of(node));
      } else {
        copy(std::as_const(node.second).item());
      }
    } catch (...) {
      node.second.failed = true;
      unreadable(pin, detail::current_error_text());
      return;
    }
    pin.since = Table::take(node);
    attempt_.retried += node.second.failed ? 1U : 0U;
    attempt_.failed_before |= pin.failed_before;
    attempt_.was_alone |= node.second.trouble != nullptr && node.second.trouble->failures != 0;
  }

  /// Effect: writes what was taken along in one transaction; `pins` are those of the batch. On
  /// success the entries are landed with what the store generated; else they are as unsaved as
  /// before and still pinned. The batch is empty then. Never throws.
  /// `stop(Before)`: see StoreGate::write.
  template <class Land, class Stop>
  Attempt write(std::span<Pin<Item>> pins, Land&& land, Stop&& stop) noexcept {
    Attempt attempt = std::exchange(attempt_, {});
    attempt.saved = taken_;
    attempt.erased = keys_.size();
    attempt.entries = attempt.saved + attempt.erased;
    if (attempt.entries == 0) return attempt;

    attempt.verdict = gate_.write(keys_, std::span(items_).first(taken_), stop);
    if (attempt.verdict.outcome == Outcome::committed) {
      for_each_hold(pins, [&](Part& shard, Pin<Item>& pin) {
        shard.mutex.assert_held();
        merge(pin);
        if (shard.table.land_saved(*pin.node)) {
          pin.node = nullptr;
        } else {
          land(pin, Place::back);
        }
      });
    } else {
      for_each_hold(pins, [](Part&, Pin<Item>& pin) {
        Table::give_back(*pin.node, std::exchange(pin.since, no_stamp));
      });
    }
    clear();
    return attempt;
  }

  /// Effect: takes a fresh copy of what each pinned entry holds now and writes all of them. Never
  /// throws: out of memory is a transient failure. See take and write.
  template <class Land, class Unreadable, class Stop>
  Attempt take_and_write(std::span<Pin<Item>> pins, Land&& land, Unreadable&& unreadable,
                         Stop&& stop) noexcept {
    clear();
    try {
      make_room(pins.size());
    } catch (...) {
      Attempt attempt;
      attempt.verdict = {Outcome::transient, detail::current_error_text()};
      attempt.entries = count_live(pins);
      return attempt;
    }
    for_each_hold(pins, [&](Part&, Pin<Item>& pin) { take(pin, land, unreadable); });
    return write(pins, land, stop);
  }

  /// Effect: calls `visit(shard, pin)` for every pin that is not landed, under its shard's lock, in
  /// holds of at most entries_per_hold; slots that came free go back, and entries that left the map
  /// are destroyed outside of the lock.
  template <class Visit>
  void for_each_hold(std::span<Pin<Item>> pins, Visit&& visit) noexcept {
    std::size_t fetched = 0;
    for (std::size_t i = 0; i < pins.size();) {
      for (; fetched < std::min(pins.size(), i + 2 * entries_per_hold); ++fetched)
        detail::prefetch_for_landing(pins[fetched].node);
      if (pins[i].node == nullptr) {
        ++i;
        continue;
      }
      const std::size_t hold_end = std::min(pins.size(), i + entries_per_hold);
      {
        Part& shard = *pins[i].shard;
        const YieldingLock lock(shard.mutex);
        const std::size_t slots_before = shard.table.slots();
        for (const std::size_t begin = i; i < hold_end; ++i) {
          if (i == begin + entries_while_waited_for && shard.mutex.waited_for()) break;
          if (pins[i].node == nullptr) continue;
          if (pins[i].shard != &shard) break;
          visit(shard, pins[i]);
        }
        shard.return_slots(shards_.slots(), slots_before - shard.table.slots());
        shard.publish_clean();
      }
      graveyard_.clear();
    }
  }

  /// Effect: keeps an entry that left the map until the lock is released. Under a lock.
  void bury(typename Part::Removed&& removed) noexcept { graveyard_(std::move(removed)); }

  static std::size_t count_live(std::span<const Pin<Item>> pins) noexcept {
    return static_cast<std::size_t>(std::count_if(
        pins.begin(), pins.end(), [](const auto& pin) { return pin.node != nullptr; }));
  }

 private:
  void copy(const Item& item) {
    if (taken_ < items_.size()) {
      items_[taken_] = item;
    } else {
      items_.push_back(item);
    }
    ++taken_;
  }

  /// Effect: the copy of the entry is committed. Under the shard's lock.
  void merge(Pin<Item>& pin) noexcept {
    auto& entry = pin.node->second;
    if (!pin.erases && !entry.erased) {
      try {
        entry.item().copy_key_data_from(items_[pin.place]);
      } catch (...) {  // NOLINT(bugprone-empty-catch)
        // The row is saved; only what the store generated could not be taken over, which the next
        // save brings again.
      }
    }
    if (!entry.erased && !Table::key_lies_apart(*pin.node)) Table::rekey(*pin.node);
    entry.failed = false;
    if (entry.trouble != nullptr && !entry.parked()) entry.trouble.reset();
    pin.since = no_stamp;
  }

  ShardSet<Item>& shards_;
  Gate& gate_;
  /// Copies for the next transaction, and behind the first taken_ ones those of earlier ones.
  std::vector<Item> items_;
  std::size_t taken_ = 0;
  std::vector<Key> keys_;
  /// What is known of the attempt before it is made.
  Attempt attempt_;
  Graveyard<typename Part::Removed> graveyard_;
};

}  // namespace lazywriter::detail
