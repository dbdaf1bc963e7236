// What a write brings along to mark an entry: a slot of max_dirty, and help for the pruner.
#pragma once

#include "lazywriter/detail/base/clock.hpp"

namespace lazywriter::detail {

/// What an operation on an entry came to.
enum class Step {
  done,
  /// It changed nothing yet: it needs a slot of max_dirty and there was none.
  needs_slot,
};

/// A slot for an entry that may not hold one yet; goes back unless it is attached. All of it under
/// the lock of the entry's shard.
template <class Core>
class SlotReservation {
 public:
  using Part = typename Core::Part;
  using Table = typename Core::Table;
  using Node = typename Core::Node;

  SlotReservation(Core& core, Part& shard, const Node* node) noexcept
      : core_(core), shard_(shard), needed_(node == nullptr || !node->second.holds_slot) {
    shard.mutex.assert_held();
    drawn_ = needed_ && shard.draw_slot(core.shards().slots());
  }
  ~SlotReservation() {
    shard_.mutex.assert_held();
    if (drawn_) shard_.return_slots(core_.shards().slots(), 1);
  }
  SlotReservation(const SlotReservation&) = delete;
  SlotReservation& operator=(const SlotReservation&) = delete;

  explicit operator bool() const noexcept { return drawn_ || !needed_; }

  /// Effect: the entry was written: it holds the slot and is dirty.
  void attach(Node& node) noexcept {
    if (Table::mark_rewritten(node)) return;
    const Stamp now = grant(node);
    shard_.mutex.assert_held();
    shard_.table.mark_written(node, now);
  }
  /// Effect: the entry holds the slot; its state is up to the caller. Returns: the time of the
  /// write.
  Stamp grant(Node& node) noexcept {
    shard_.mutex.assert_held();
    const Stamp now = core_.shards().stamp_for_write(shard_);
    if (!needed_) return now;
    drawn_ = false;
    shard_.table.grant_slot(node);
    shard_.publish_clean();
    core_.slot_granted(shard_);
    return now;
  }

 private:
  Core& core_;
  Part& shard_;
  bool needed_;
  bool drawn_ = false;
};

/// Declared before the lock is taken: helps the pruner after an insertion, once the lock is
/// released.
template <class Core>
class Insertion {
 public:
  using Part = typename Core::Part;

  explicit Insertion(Core& core) noexcept : core_(core) {}
  ~Insertion() {
    if (crowded_ != nullptr) [[unlikely]]
      core_.make_room(*crowded_);
  }
  Insertion(const Insertion&) = delete;
  Insertion& operator=(const Insertion&) = delete;

  /// Effect: takes down that an entry was inserted. Under the shard's lock.
  void done(Part& shard) noexcept {
    shard.mutex.assert_held();
    shard.publish_clean();
    if (core_.shards().looks_full(shard)) crowded_ = &shard;
  }

 private:
  Core& core_;
  Part* crowded_ = nullptr;
};

}  // namespace lazywriter::detail
