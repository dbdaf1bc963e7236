// The entries of one shard: map, dirty queue, eviction order and the counts over them. It knows no
// locks, threads or I/O; the shard around it adds the lock.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "lazywriter/detail/base/clock.hpp"
#include "lazywriter/detail/base/large_pages.hpp"
#include "lazywriter/detail/base/prefetch.hpp"
#include "lazywriter/detail/eviction/eviction_policy.hpp"
#include "lazywriter/detail/table/apart_set.hpp"
#include "lazywriter/detail/table/departures.hpp"
#include "lazywriter/detail/table/dirty_queue.hpp"
#include "lazywriter/detail/table/entry.hpp"
#include "lazywriter/detail/table/entry_state.hpp"
#include "lazywriter/detail/table/failure_state.hpp"
#include "lazywriter/detail/table/key.hpp"
#include "lazywriter/detail/table/leftover.hpp"
#include "lazywriter/detail/table/lookaside_index.hpp"

namespace lazywriter::detail {

/// The only place, with EntryState, that changes an entry's state. Functions are named after the
/// transitions of the essay. Unless said otherwise they take constant time and do not throw.
template <class Item>
class EntryTable : public EntryState<Item> {
  using State = EntryState<Item>;

 public:
  using Key = key_type_t<Item>;
  using Ref = KeyRef<Key>;
  using Node = EntryNode<Item>;
  using Map = std::unordered_map<Ref, Entry<Item>, KeyRefHash, KeyRefEqual>;
  /// An entry that left the map; destroy it outside of the lock.
  using Removed = typename Map::node_type;
  using Queue = DirtyQueue<Node>;
  using Apart = ApartSet<Node>;

  /// `capacity`: this table's share; 0 = unlimited.
  explicit EntryTable(std::size_t capacity) : policy_(capacity) {}
  /// `expected`: entries to make room for now. `pages`: index_bytes(expected) of them are taken;
  /// they must live longer. `departures`: told of every key that leaves. Throws: std::bad_alloc.
  EntryTable(std::size_t capacity, std::size_t expected, LargePages& pages, Departures& departures)
      : policy_(capacity), departures_(&departures) {
    map_.reserve(expected);
    index_.reserve(expected, pages);
  }
  [[nodiscard]] static std::size_t index_bytes(std::size_t expected) noexcept {
    return LookasideIndex<Node>::bytes_for(expected);
  }

  // ---- looking

  /// Throws: what comparing keys throws.
  template <class View>
  Node* find(const KeyProbe<View>& probe) {
    return look_up<Touched<Node>::by_write>(*this, probe);
  }
  /// The same for a thread that only reads the item: less of the entry is fetched from memory.
  template <class View>
  Node* find_to_read(const KeyProbe<View>& probe) {
    return look_up<Touched<Node>::by_read>(*this, probe);
  }
  template <class View>
  const Node* find_to_read(const KeyProbe<View>& probe) const {
    return look_up<Touched<Node>::by_read>(*this, probe);
  }

  [[nodiscard]] const Map& entries() const noexcept { return map_; }
  [[nodiscard]] Map& entries() noexcept { return map_; }
  /// Items that readers can see.
  [[nodiscard]] std::size_t visible() const noexcept { return map_.size() - tombstones_; }
  /// Entries that count against max_dirty.
  [[nodiscard]] std::size_t slots() const noexcept { return slots_; }
  [[nodiscard]] std::size_t parked() const noexcept { return parked_; }
  [[nodiscard]] std::size_t in_flight() const noexcept { return in_flight_; }
  /// Entries that may be evicted. A tombstone is always pinned, so these are all visible.
  [[nodiscard]] std::size_t clean() const noexcept { return map_.size() - pinned_; }
  /// When the oldest dirty entry was written, or earlier; no_stamp when none is dirty.
  [[nodiscard]] Stamp oldest_unsaved() const noexcept {
    return slots_ == parked_ ? no_stamp : dirty_.oldest();
  }

  /// Entries that are not parked and hold something unsaved, where one of them can have been
  /// written by `cutoff`; else 0. So it counts all that were written by then, and perhaps later
  /// ones.
  [[nodiscard]] std::size_t unsaved_by(Stamp cutoff) const noexcept {
    const Stamp oldest = oldest_unsaved();
    return oldest == no_stamp || oldest > cutoff ? 0 : slots_ - parked_;
  }

  /// What holds a slot, but for what is apart.
  [[nodiscard]] const Queue& queue() const noexcept { return dirty_; }
  /// What is in flight or parked.
  [[nodiscard]] const Apart& apart() const noexcept { return apart_; }
  [[nodiscard]] Apart& apart() noexcept { return apart_; }
  [[nodiscard]] static bool is_apart(const Node& node) noexcept {
    return node.second.in_flight || node.second.parked();
  }
  /// Grows whenever an entry of queue() or apart() moves, but for those that are written.
  [[nodiscard]] std::uint64_t moves() const noexcept { return moves_; }

  static void touch(Node& node) noexcept { Policy::touched(node); }

  // ---- entering and leaving

  /// Effect: inserts a clean, visible entry for a key that is not there. Throws: std::bad_alloc,
  /// what copying the key throws; then nothing changed and `item` is untouched.
  [[gnu::noinline]] Node& insert_item(std::size_t hash, Item&& item) {
    Node& node = emplace(hash, item.key());
    node.second.set_item(std::move(item));
    node.first.key = node.second.key_address();
    policy_.inserted(node);
    return node;
  }

  /// Effect: inserts a tombstone for a key that is not there; it must be granted a slot and marked
  /// written in the same hold of the lock. Throws: as insert_item; then `key` is untouched.
  Node& insert_tombstone(std::size_t hash, Key&& key) {
    Node& node = emplace(hash, key);
    node.second.set_key(std::move(key));
    node.first.key = node.second.key_address();
    node.second.erased = true;
    ++tombstones_;
    return node;
  }

  /// Effect: gives the entry a new item and makes it visible. What it held before moves to `old`,
  /// to be destroyed outside of the lock, unless there is nothing to destroy.
  void replace_item(Node& node, Item& item, Leftover<Item>& old) noexcept {
    Entry<Item>& entry = node.second;
    if (State::has_displaced_key(node)) {
      old.take(std::move(entry.item()));
      entry.set_item(std::move(item));  // the key inside is another one: nothing of it may stay
    } else if (entry.has_item()) {
      entry.replace_item(item, old);
    } else {
      entry.set_item(std::move(item));
    }
    State::rekey(node);
    if (entry.erased) {
      entry.erased = false;
      // An erase that the store refuses is given up with this write; any other is still to come.
      // So is one that was discarded while it was in flight.
      entry.erase_first = entry.holds_slot && !entry.parked();
      --tombstones_;
      policy_.inserted(node);
    }
  }

  /// Effect: readers no longer see an item. It moves to `old`, to be destroyed outside of the lock,
  /// so that while the store is away an erase keeps no more than its key. `key`: the one that the
  /// entry stands under, or equal to it.
  void hide_item(Node& node, Key&& key, Leftover<Item>& old) noexcept {
    if (node.second.erased) return;
    old.take(std::move(node.second.item()));
    node.second.set_key(std::move(key));
    State::rekey(node);
    node.second.erased = true;
    ++tombstones_;
    policy_.removed(node);
  }

  /// Effect: takes an entry out of the map; it must not be pinned by the flusher or linked.
  Removed remove(Node& node) noexcept {
    policy_.removed(node);
    return extract(node);
  }

  // ---- unsaved: slots, and the dirty queue

  void grant_slot(Node& node) noexcept {
    if (!node.second.in_flight) ++pinned_;
    node.second.holds_slot = true;
    ++slots_;
  }

  void release_slot(Node& node) noexcept {
    node.second.holds_slot = false;
    --slots_;
    if (!node.second.in_flight) --pinned_;
  }

  /// clean, dirty, in flight, parked -> dirty: the entry, which holds a slot, was written just now.
  [[gnu::noinline]] void mark_written(Node& node, Stamp now) noexcept {
    Entry<Item>& entry = node.second;
    const bool was_parked = entry.parked();
    if (was_parked) --parked_;
    entry.failure.reset();
    entry.forget_failures();
    if (entry.unsaved_since != no_stamp && !was_parked) return;  // its older write still waits
    if (was_parked && !entry.in_flight) no_longer_parked(node);
    // What was parked has been unsaved since it was first written, whatever it holds now.
    if (entry.unsaved_since == no_stamp) entry.unsaved_since = now;
    dirty_.wait(node);
    if (was_parked && !entry.in_flight) ++released_;
  }

  /// dirty -> parked, out of turn: the function given to update changed the key inside the item.
  /// `failure` carries the key the entry keeps.
  void park_displaced(Node& node, std::unique_ptr<FailureState<Key>> failure, Stamp now) noexcept {
    const std::size_t released_before = released_;
    mark_written(node, now);
    released_ = released_before;  // it is parked still, or again
    Entry<Item>& entry = node.second;
    if (!entry.in_flight) {
      dirty_.remove(node);
      apart_.add(node);
      ++moves_;
    }
    entry.failure = std::move(failure);
    entry.failure->parked = true;
    // The key inside the item is another one now.
    if (EntryContent<Item>::key_in_item)
      node.first.key = std::addressof(*entry.failure->displaced_key);
    ++parked_;
  }

  // ---- the flusher's turn

  /// Effect: everything dirty now is due in this pass.
  void begin_turn() noexcept {
    released_ = 0;
    ++moves_;
    dirty_.begin_turn();
  }

  /// dirty -> in flight (pinned; no copy taken yet). Returns: the next entry of the turn, or
  /// nullptr.
  Node* pin_next() noexcept {
    Node* const node = dirty_.next();
    if (node != nullptr) pin(*node);
    return node;
  }

  /// Effect: the flusher is through with the entry in this pass. in flight -> parked if it is
  /// marked so; -> dirty if it holds something unsaved, in front of what was written since the pass
  /// began or behind all others; else -> clean, the slot is released, and a tombstone leaves the
  /// map. Returns: the entry, if it left.
  Removed complete(Node& node, Place place) noexcept {
    Entry<Item>& entry = node.second;
    unpin(node);
    if (entry.parked()) return {};
    apart_.remove(node);
    if (entry.unsaved_since == no_stamp) return settle(node);
    dirty_.requeue(node, place);
    return {};
  }

  /// in flight -> clean, the short way, for what lands most often: a visible entry without failure
  /// that nobody wrote to since its copy, which is committed, was taken. Returns: whether it is
  /// one; otherwise nothing is done.
  bool complete_saved(Node& node) noexcept {
    Entry<Item>& entry = node.second;
    if (entry.unsaved_since != no_stamp || entry.erased || !entry.holds_slot ||
        entry.failure != nullptr) {
      return false;
    }
    entry.in_flight = entry.discarded = entry.holds_slot = entry.named = false;
    entry.forget_failures();
    --in_flight_;
    --slots_;
    --pinned_;
    apart_.remove(node);
    ++moves_;
    return true;
  }

  /// Whether something was written since the turn began, or sent behind all others.
  [[nodiscard]] bool has_newer() const noexcept { return dirty_.has_newer(); }

  /// Effect: marks a pinned entry, which has a failure, as parked.
  void mark_parked(Node& node) noexcept {
    if (!std::exchange(node.second.failure->parked, true)) ++parked_;
  }

  /// Effect: ends the turn, once every entry of it was pinned and landed. Returns: how many entries
  /// that were parked when the turn began, or since, are dirty now without having been part of it.
  std::size_t end_turn() noexcept {
    ++moves_;
    dirty_.end_turn();
    assert(map_.size() > most_checked || check_invariants());
    return released_;
  }

  // ---- deliberate ways out

  /// Effect: an entry leaves the queue, to be discarded. Returns: it; nullptr when there is none.
  Node* take_waiting() noexcept {
    ++moves_;
    return dirty_.take();
  }
  /// Effect: a dirty entry that came from take_waiting, or is in flight and not parked, counts as
  /// saved: an item is clean, a tombstone leaves (in flight: when it lands). Returns: it, if it
  /// left.
  Removed discard(Node& node) noexcept {
    Entry<Item>& entry = node.second;
    entry.unsaved_since = no_stamp;
    entry.erase_first = false;
    if (!entry.in_flight) return settle(node);
    entry.discarded = true;
    entry.failure.reset();
    release_slot(node);
    return {};
  }
  /// Effect: what was released from being parked in this turn is about to be discarded.
  void forget_released() noexcept { released_ = 0; }

  /// parked -> dirty. An entry whose item has another key than it stands under, or one that cannot
  /// be told, stays parked: saving it would write a row nobody asked for. Returns: whether it is
  /// dirty now.
  bool unpark(Node& node) noexcept {
    Entry<Item>& entry = node.second;
    if (!entry.parked() || entry.in_flight || !State::regain_key(node)) return false;
    --parked_;
    entry.failure.reset();
    no_longer_parked(node);
    dirty_.wait(node);
    ++released_;
    return true;
  }

  /// parked -> gone: the next read asks the store. The entry must not be in flight. Returns: it.
  Removed forget_parked(Node& node) noexcept {
    --parked_;
    release_slot(node);
    no_longer_parked(node);
    if (node.second.erased) return leave_as_tombstone(node);
    return remove(node);
  }

  // ---- asking whether all of it fits together

  /// Returns: whether the counts are those of the entries and every entry stands just where its
  /// state says, which holds whenever the lock is free. Complexity: linear in the table.
  [[nodiscard]] bool check_invariants() const noexcept {
    std::size_t slots = 0, parked = 0, pinned = 0, in_flight = 0, tombstones = 0, linked = 0;
    for (const Node& node : map_) {
      const Entry<Item>& entry = node.second;
      const bool unsaved = entry.unsaved_since != no_stamp;
      slots += entry.holds_slot ? 1U : 0U;
      parked += entry.parked() ? 1U : 0U;
      pinned += entry.pinned() ? 1U : 0U;
      in_flight += entry.in_flight ? 1U : 0U;
      tombstones += entry.erased ? 1U : 0U;
      linked += unsaved && !entry.in_flight && !entry.parked() ? 1U : 0U;
      const bool fits = node.first.key != nullptr && (!unsaved || entry.holds_slot) &&
                        (!entry.holds_slot || unsaved || entry.in_flight) &&
                        (!entry.parked() || unsaved) && (!entry.erased || entry.pinned()) &&
                        (entry.erased || entry.has_item());
      if (!fits) return false;
    }
    return slots == slots_ && parked == parked_ && pinned == pinned_ && in_flight == in_flight_ &&
           tombstones == tombstones_ && linked == dirty_.size();
  }

  // ---- eviction

  void begin_prune() noexcept { policy_.begin_pass(); }

  /// Effect: evicts the next clean entry that must not stay for another reason (`stays(node)`),
  /// looking at `budget` entries at most. Returns: it, or nothing.
  template <class Stays>
  Removed evict(std::size_t& budget, Stays&& stays) noexcept {
    const auto evictable = [&](const Node& node) noexcept {
      return !node.second.pinned() && !stays(node);
    };
    Node* const victim = policy_.evict_one(evictable, budget);
    return victim == nullptr ? Removed{} : extract(*victim);
  }
  Removed evict(std::size_t& budget) noexcept {
    return evict(budget, [](const Node&) noexcept { return false; });
  }

 private:
  /// Debug builds check all of a table after each pass, unless it is larger than that.
  static constexpr std::size_t most_checked = 1'024;

  using Policy = EvictionPolicy<Node, EntryHookOf<Item>, EntryLinksOf<Item>, EntryHashOf<Item>>;

  template <std::size_t touched, class Self, class View>
  static auto look_up(Self& self, const KeyProbe<View>& probe) -> decltype(&*self.map_.begin()) {
    // The key is compared once, after the search: the loop stays free of calls.
    const auto may_be_it = [&](const Node& node) {
      detail::prefetch_with_key<touched>(&node);  // else it would wait for one line after the other
      return node.first.hash == probe.hash;
    };
    Node* const node = self.index_.find(probe.hash, may_be_it);
    if (node != nullptr && detail::same_key(State::key_of(*node), probe.key)) [[likely]]
      return node;
    return look_up_unindexed<Self, View>(self, probe.hash, probe.key, node == nullptr);
  }

  /// The part of look_up for what the index does not know, or not by that key. `unknown`: it knows
  /// no entry of that hash. Takes the parts of the probe: nobody must point to the one of the
  /// caller, or it could not live in registers.
  template <class Self, class View>
  [[gnu::noinline]] static auto look_up_unindexed(Self& self, std::size_t hash, View key,
                                                  bool unknown) -> decltype(&*self.map_.begin()) {
    if (unknown && self.index_.complete(hash)) return nullptr;
    const auto found = self.map_.find(KeyProbe<View>{hash, key});
    return found == self.map_.end() ? nullptr : &*found;
  }

  /// dirty -> clean, for an entry that is not in flight and not linked (or about to be forgotten).
  Removed settle(Node& node) noexcept {
    Entry<Item>& entry = node.second;
    entry.discarded = entry.named = false;
    entry.forget_failures();
    entry.failure.reset();
    if (entry.holds_slot) release_slot(node);
    return entry.erased ? leave_as_tombstone(node) : Removed{};
  }

  Node& emplace(std::size_t hash, const Key& key) {
    Node& node = *map_.emplace(std::piecewise_construct,
                               std::forward_as_tuple(Ref{hash, std::addressof(key)}),
                               std::forward_as_tuple(key))
                      .first;
    if (map_.size() > index_.capacity() && index_.reserve(2 * map_.size())) {
      for (Node& each : map_)
        index_.insert(each.first.hash, each);
    } else {
      index_.insert(hash, node);
    }
    return node;
  }

  Removed leave_as_tombstone(Node& node) noexcept {
    --tombstones_;
    return extract(node);
  }

  /// Every entry that leaves goes this way.
  Removed extract(Node& node) noexcept {
    if (departures_ != nullptr && departures_->watched()) [[unlikely]]
      departures_->remember(node.first.hash);
    index_.erase(node.first.hash, node);
    return map_.extract(map_.find(node.first));
  }

  /// Effect: an entry that was parked is so no more.
  void no_longer_parked(Node& node) noexcept {
    apart_.remove(node);
    ++moves_;
  }

  void pin(Node& node) noexcept {
    apart_.add(node);
    ++moves_;
    node.second.in_flight = true;
    ++in_flight_;
    if (!node.second.holds_slot) ++pinned_;
  }

  void unpin(Node& node) noexcept {
    ++moves_;
    node.second.in_flight = false;
    --in_flight_;
    if (!node.second.holds_slot) --pinned_;
  }

  // What every call needs comes first.
  /// A hint to the nodes of map_; never holds one that left it.
  LookasideIndex<Node> index_;
  std::size_t slots_ = 0;
  std::size_t parked_ = 0;
  DirtyQueue<Node> dirty_;
  /// Entries for which pinned() holds.
  std::size_t pinned_ = 0;
  std::size_t in_flight_ = 0;
  std::size_t tombstones_ = 0;
  /// Entries that went from parked to dirty since the turn began.
  std::size_t released_ = 0;
  std::uint64_t moves_ = 0;
  Apart apart_;
  Map map_;
  Policy policy_;
  /// nullptr: nobody reads past this table.
  Departures* departures_ = nullptr;
};

}  // namespace lazywriter::detail
