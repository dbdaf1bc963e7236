// What waits to be written: in which order, what of it a flush under way has come to, since when.
#pragma once

#include <cstddef>
#include <utility>

#include "lazywriter/detail/dirty_list.hpp"
#include "lazywriter/detail/entry.hpp"

namespace lazywriter::detail {

/// Where an entry that stays dirty waits for its next attempt.
enum class Place { front, back };

/// The dirty entries of one table, oldest first, and how far a flush has come with them. Every
/// dirty entry that is not in flight is linked in exactly one of the three lists; no other entry is
/// linked. Constant time unless said otherwise; nothing throws.
template <class Node>
class DirtyQueue {
 public:
  /// When the oldest entry was written, or earlier, those in flight included; no_stamp when nothing
  /// was written since nothing waited any more.
  [[nodiscard]] Stamp oldest() const noexcept { return older(oldest_waiting_, oldest_in_turn_); }

  /// Effect: an entry that has just become dirty stands behind all others. One in flight is not
  /// linked before it lands.
  void wait(Node& node) noexcept {
    note_waiting(node);
    if (!node.second.in_flight) waiting_.push_back(node);
  }

  /// Effect: everything that waits is due in this turn.
  void begin_turn() noexcept {
    turn_.append(waiting_);
    turn_.fetch_front();
    oldest_in_turn_ = older(oldest_in_turn_, std::exchange(oldest_waiting_, no_stamp));
  }

  /// Returns: the next entry of the turn, not linked any more; nullptr when there is none.
  Node* next() noexcept { return turn_.pop_front(); }

  /// Effect: an entry that came from next() and is still dirty waits again: in front of what was
  /// written since the turn began, or behind all others.
  void wait_again(Node& node, Place place) noexcept {
    (place == Place::front ? kept_ : waiting_).push_back(node);
    note_waiting(node);
  }

  /// Whether something was written since the turn began, or sent behind all others.
  [[nodiscard]] bool has_newer() const noexcept { return !waiting_.empty(); }

  /// Effect: ends the turn, once every entry that came from next() is through. What was kept goes
  /// back in front, oldest first, then what the turn did not come to.
  void end_turn() noexcept {
    // What came back was counted as waiting when it did.
    if (!turn_.empty()) oldest_waiting_ = older(oldest_waiting_, oldest_in_turn_);
    waiting_.prepend(turn_);
    waiting_.prepend(kept_);
    oldest_in_turn_ = no_stamp;
    if (waiting_.empty()) oldest_waiting_ = no_stamp;
  }

  /// Effect: an entry leaves out of turn. Complexity: linear.
  void remove(Node& node) noexcept {
    if (!waiting_.unlink(node) && !turn_.unlink(node)) kept_.unlink(node);
  }

  /// Effect: nothing is dirty any more; touches no entry.
  void forget() noexcept {
    waiting_.forget();
    turn_.forget();
    kept_.forget();
    oldest_waiting_ = oldest_in_turn_ = no_stamp;
  }

 private:
  static Stamp older(Stamp a, Stamp b) noexcept {
    if (a == no_stamp) return b;
    return b == no_stamp || a < b ? a : b;
  }
  void note_waiting(const Node& node) noexcept {
    oldest_waiting_ = older(oldest_waiting_, node.second.unsaved_since);
  }

  // What a write needs comes first.
  /// No later than the oldest write in waiting_ or kept_; no_stamp when there is none.
  Stamp oldest_waiting_ = no_stamp;
  /// The same for turn_ and what is in flight.
  Stamp oldest_in_turn_ = no_stamp;
  /// Written since the last turn began, or sent behind all others.
  DirtyList<Node> waiting_;
  /// Due in this turn and not looked at yet.
  DirtyList<Node> turn_;
  /// Looked at in this turn, still dirty.
  DirtyList<Node> kept_;
};

}  // namespace lazywriter::detail
