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
  /// An attempt had failed when it was pinned.
  bool failed_before = false;
};

/// Effect: makes room for `count` elements in all, so that adding them cannot fail.
template <class Vector>
void grow(Vector& vector, std::size_t count) {
  if (vector.capacity() < count) vector.reserve(std::max(count, vector.capacity() * 2));
}

/// Copies, writes and lands pinned entries. Owned by the Flusher and used under its token; the
/// buffers are kept from batch to batch.
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
  };

  /// Effect: begins an empty batch.
  void clear() noexcept {
    items_.clear();
    saved_.clear();
    keys_.clear();
    erased_.clear();
    attempt_ = {};
  }

  /// Effect: makes room for `more` entries, so that taking them along needs no memory but that of
  /// the copies. Throws: std::bad_alloc.
  void make_room(std::size_t more) {
    grow(items_, items_.size() + more);
    grow(saved_, saved_.size() + more);
    grow(erased_, erased_.size() + more);
  }

  /// Effect: takes along a fresh copy of what a pinned entry holds now; `index` is the pin's place
  /// in the batch, for which there is room. An entry that holds nothing unsaved any more is landed;
  /// one that cannot be copied is given to `unreadable(pin, error)`, which must land it. Under the
  /// shard's lock.
  template <class Land, class Unreadable>
  void take(Pin<Item>& pin, std::size_t index, Land&& land, Unreadable&& unreadable) noexcept {
    Node& node = *pin.node;
    if (node.second.unsaved_since == no_stamp || node.second.parked()) {
      land(pin, Place::front);
      return;
    }
    try {
      if (node.second.erased) {
        keys_.push_back(Table::key_of(node));
        erased_.push_back(index);
      } else {
        items_.push_back(std::as_const(node.second).item());
        saved_.push_back(index);
      }
    } catch (...) {
      node.second.failed = true;
      unreadable(pin, current_error_text());
      return;
    }
    pin.since = Table::take(node);
    attempt_.retried += node.second.failed ? 1U : 0U;
    attempt_.was_alone |= node.second.trouble != nullptr && node.second.trouble->failures != 0;
  }

  /// Effect: writes what was taken along in one transaction; `pins` are those of the batch. On
  /// success the entries are landed with what the store generated; else they are as unsaved as
  /// before and still pinned. The batch is empty then. Never throws.
  /// `stop(Before)`: see StoreGate::write.
  template <class Land, class Stop>
  Attempt write(std::span<Pin<Item>> pins, Land&& land, Stop&& stop) noexcept {
    Attempt attempt = std::exchange(attempt_, {});
    attempt.saved = items_.size();
    attempt.erased = keys_.size();
    attempt.entries = attempt.saved + attempt.erased;
    if (attempt.entries == 0) return attempt;

    attempt.verdict = gate_.write(keys_, items_, stop);
    if (attempt.verdict.outcome == Outcome::committed) {
      merge(
          pins, erased_, [](Node&, std::size_t) {}, land);
      merge(
          pins, saved_,
          [this](Node& node, std::size_t i) {
            if (!node.second.erased) node.second.item().copy_key_data_from(items_[i]);
          },
          land);
    } else {
      for_each_hold(pins, [](Part&, Pin<Item>& pin, std::size_t) {
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
      attempt.verdict = {Outcome::transient, current_error_text()};
      attempt.entries = count_live(pins);
      return attempt;
    }
    for_each_hold(pins,
                  [&](Part&, Pin<Item>& pin, std::size_t i) { take(pin, i, land, unreadable); });
    return write(pins, land, stop);
  }

  /// Effect: calls `visit(shard, pin, index)` for every pin that is not landed, under its shard's
  /// lock, in short holds; slots that came free go back, and entries that left the map are
  /// destroyed outside of the lock.
  template <class Visit>
  void for_each_hold(std::span<Pin<Item>> pins, Visit&& visit) noexcept {
    hold_runs(
        pins.size(), [&](std::size_t i) -> Pin<Item>& { return pins[i]; }, visit);
  }

  /// Effect: keeps an entry that left the map until the lock is released. Under a lock.
  void bury(typename Part::Removed&& removed) noexcept { graveyard_(std::move(removed)); }

  static std::size_t count_live(std::span<const Pin<Item>> pins) noexcept {
    return static_cast<std::size_t>(std::count_if(
        pins.begin(), pins.end(), [](const auto& pin) { return pin.node != nullptr; }));
  }

 private:
  template <class Store, class Land>
  void merge(std::span<Pin<Item>> pins, const std::vector<std::size_t>& written, Store store,
             Land& land) noexcept {
    hold_runs(
        written.size(), [&](std::size_t i) -> Pin<Item>& { return pins[written[i]]; },
        [&](Part&, Pin<Item>& pin, std::size_t i) {
          try {
            store(*pin.node, i);
          } catch (...) {  // NOLINT(bugprone-empty-catch)
            // The row is saved; only what the store generated could not be taken over, which the
            // next save brings again.
          }
          if (!pin.node->second.erased && !Table::has_displaced_key(*pin.node)) {
            Table::rekey(*pin.node);
          }
          pin.node->second.failed = false;
          if (pin.node->second.trouble != nullptr && !pin.node->second.parked()) {
            pin.node->second.trouble.reset();
          }
          pin.since = no_stamp;
          land(pin, Place::back);
        });
  }

  /// Effect: visits pins 0..count-1, each under the lock of its shard, at most entries_per_hold a
  /// hold.
  template <class PinAt, class Visit>
  void hold_runs(std::size_t count, PinAt pin_at, Visit visit) noexcept {
    for (std::size_t i = 0; i < count;) {
      Pin<Item>& first = pin_at(i);
      if (first.node == nullptr) {
        ++i;
        continue;
      }
      const std::size_t hold_end = std::min(count, i + entries_per_hold);
      for (std::size_t ahead = i; ahead < hold_end; ++ahead)
        prefetch(pin_at(ahead).node);
      {
        Part& shard = *first.shard;
        const YieldingLock lock(shard.mutex);
        const std::size_t slots_before = shard.table.slots();
        for (; i < hold_end; ++i) {
          Pin<Item>& pin = pin_at(i);
          if (pin.node == nullptr) continue;
          if (pin.shard != &shard) break;
          visit(shard, pin, i);
        }
        shard.return_slots(shards_.slots(), slots_before - shard.table.slots());
        shard.publish_clean();
      }
      graveyard_.clear();
    }
  }

  ShardSet<Item>& shards_;
  Gate& gate_;
  // Copies for the next transaction, and the places of the pins they were taken from.
  std::vector<Item> items_;
  std::vector<std::size_t> saved_;
  std::vector<Key> keys_;
  std::vector<std::size_t> erased_;
  /// What is known of the attempt before it is made.
  Attempt attempt_;
  Graveyard<typename Part::Removed> graveyard_;
};

}  // namespace lazywriter::detail
