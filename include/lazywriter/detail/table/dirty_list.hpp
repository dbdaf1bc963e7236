// The order in which entries wait to be written: an intrusive queue, so that marking an entry dirty
// allocates nothing and cannot fail.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "lazywriter/detail/base/prefetch.hpp"

namespace lazywriter::detail {

/// A first-in-first-out list of nodes linked through `node.second.next_dirty`. The list does not
/// own them. A node is in at most one list; membership is part of the entry's state, not asked of
/// the list. Nothing here throws; everything is constant time but unlink.
///
/// A node links to the one `stride` places behind it. So whoever takes nodes off the front learns
/// where the next ones lie while there is still time to fetch them from memory; with links from
/// each node to the next it would wait for one after the other.
template <class Node>
class DirtyList {
  static constexpr std::size_t stride = 4;

 public:
  DirtyList() = default;
  DirtyList(const DirtyList&) = delete;
  DirtyList& operator=(const DirtyList&) = delete;

  [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
  [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }

  void push_back(Node& node) noexcept {
    join(end_, node);
    last_[end_ % stride] = &node;
    ++end_;
  }

  /// Returns: the first node, unlinked; nullptr when the list is empty.
  Node* pop_front() noexcept {
    if (empty()) return nullptr;
    Node*& front = first_[begin_ % stride];
    Node* const node = front;
    if (size() > stride) {
      front = node->second.next_dirty;
      detail::prefetch_for_flush(front);  // a flush comes to it soon
    }
    ++begin_;
    return node;
  }

  /// Effect: moves all of `other` behind the nodes of this list, in order.
  void append(DirtyList& other) noexcept {
    const std::size_t added = other.size();
    // The nodes behind the first ones of `other` follow these by their links.
    for (std::size_t i = 0; i < std::min(added, stride); ++i)
      join(end_ + i, *other.first_[(other.begin_ + i) % stride]);
    for (std::size_t i = added - std::min(added, stride); i < added; ++i)
      last_[(end_ + i) % stride] = other.last_[(other.begin_ + i) % stride];
    end_ += added;
    other.forget();
  }

  /// Effect: moves all of `other` in front of the nodes of this list, in order.
  void prepend(DirtyList& other) noexcept {
    other.append(*this);
    std::swap(first_, other.first_);
    std::swap(last_, other.last_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
  }

  /// Effect: empties the list without touching the nodes.
  void forget() noexcept { begin_ = end_; }

  /// A walk over a list from which nothing leaves meanwhile; nodes may be added at its end.
  class Walk {
   public:
    /// Returns: the next node, or nullptr at the end of the list.
    Node* next(const DirtyList& list) noexcept {
      if (!begun_) place_ = begin_place_ = list.begin_;
      begun_ = true;
      if (place_ == list.end_) return nullptr;
      Node*& seen = seen_[place_ % stride];
      seen =
          place_ - begin_place_ < stride ? list.first_[place_ % stride] : seen->second.next_dirty;
      ++place_;
      return seen;
    }

   private:
    bool begun_ = false;
    std::size_t begin_place_ = 0;
    std::size_t place_ = 0;
    /// The last `stride` nodes that were visited.
    std::array<Node*, DirtyList::stride> seen_{};
  };

  /// Effect: has the first nodes fetched from memory.
  void fetch_front() const noexcept {
    for (std::size_t i = begin_; i < std::min(end_, begin_ + stride); ++i)
      detail::prefetch_for_flush(first_[i % stride]);
  }

  /// Effect: takes `node` out wherever it stands. Returns: whether it was there. Linear; only for
  /// the rare entry that leaves the queue from the middle.
  bool unlink(Node& node) noexcept {
    const std::size_t before = size();
    DirtyList others;
    while (Node* const each = pop_front()) {
      if (each != &node) others.push_back(*each);
    }
    append(others);
    return size() != before;
  }

 private:
  /// Effect: the node at `place` is found by the one `stride` places before it, or by the list.
  void join(std::size_t place, Node& node) noexcept {
    const std::size_t slot = place % stride;
    (place - begin_ < stride ? first_[slot] : last_[slot]->second.next_dirty) = &node;
  }

  // The node at place p, begin_ <= p < end_, is number p - begin_ of the list. Nothing points
  // beyond end_: the links of the last `stride` nodes are never followed.
  /// The last `stride` nodes, each at its place % stride.
  std::array<Node*, stride> last_{};
  std::size_t end_ = 0;
  std::size_t begin_ = 0;
  /// The first `stride` nodes, likewise.
  std::array<Node*, stride> first_{};
};

}  // namespace lazywriter::detail
