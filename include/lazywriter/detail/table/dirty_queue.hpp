// What waits to be written: in which order, what of it a flush under way has come to, since when.
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include "lazywriter/detail/base/clock.hpp"
#include "lazywriter/detail/table/dirty_list.hpp"

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
  void requeue(Node& node, Place place) noexcept {
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

  /// Entries that are linked.
  [[nodiscard]] std::size_t size() const noexcept {
    return waiting_.size() + turn_.size() + kept_.size();
  }

  /// Effect: an entry leaves for good. Returns: it; nullptr when none is linked.
  Node* take() noexcept {
    Node* node = turn_.pop_front();
    if (node == nullptr) node = kept_.pop_front();
    if (node == nullptr) node = waiting_.pop_front();
    if (waiting_.empty() && kept_.empty()) oldest_waiting_ = no_stamp;
    return node;
  }

  /// How far a walk over the linked entries has come; only wait may be called meanwhile.
  class Walk {
    friend class DirtyQueue;
    std::array<typename DirtyList<Node>::Walk, 3> lists_;
    std::size_t list_ = 0;
  };
  /// Effect: calls visit(node) for some further entries. Returns: whether there may be more.
  /// Throws: what visit throws.
  template <class Visit>
  bool step(Walk& walk, Visit&& visit) const {
    const std::array<const DirtyList<Node>*, 3> lists{&turn_, &kept_, &waiting_};
    for (std::size_t visited = 0; visited < most_visited && walk.list_ < lists.size();) {
      Node* const node = walk.lists_[walk.list_].next(*lists[walk.list_]);
      if (node == nullptr) {
        ++walk.list_;
      } else {
        ++visited;
        visit(*node);
      }
    }
    return walk.list_ < lists.size();
  }

 private:
  static constexpr std::size_t most_visited = 32;

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
