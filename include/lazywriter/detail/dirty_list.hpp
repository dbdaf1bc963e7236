// The order in which entries wait to be written: an intrusive queue, so that marking an entry dirty
// allocates nothing and cannot fail.
#pragma once

#include <cstddef>
#include <utility>

#include "lazywriter/detail/prefetch.hpp"

namespace lazywriter::detail {

/// A first-in-first-out list of nodes linked through `node.second.next_dirty`. The list does not
/// own them. A node is in at most one list; membership is part of the entry's state, not asked of
/// the list. Nothing here throws; everything is constant time but unlink.
template <class Node>
class DirtyList {
 public:
  DirtyList() = default;
  DirtyList(const DirtyList&) = delete;
  DirtyList& operator=(const DirtyList&) = delete;

  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  void push_back(Node& node) noexcept {
    node.second.next_dirty = nullptr;
    (tail_ == nullptr ? head_ : tail_->second.next_dirty) = &node;
    tail_ = &node;
    ++size_;
  }

  /// Returns: the first node, unlinked; nullptr when the list is empty.
  Node* pop_front() noexcept {
    Node* const node = head_;
    if (node == nullptr) return nullptr;
    head_ = std::exchange(node->second.next_dirty, nullptr);
    if (head_ == nullptr) tail_ = nullptr;
    prefetch(head_);  // a flush comes to it next
    --size_;
    return node;
  }

  /// Effect: moves all of `other` behind the nodes of this list, in order.
  void append(DirtyList& other) noexcept {
    if (other.head_ == nullptr) return;
    (tail_ == nullptr ? head_ : tail_->second.next_dirty) = other.head_;
    tail_ = std::exchange(other.tail_, nullptr);
    other.head_ = nullptr;
    size_ += std::exchange(other.size_, 0);
  }

  /// Effect: moves all of `other` in front of the nodes of this list, in order.
  void prepend(DirtyList& other) noexcept {
    other.append(*this);
    std::swap(head_, other.head_);
    std::swap(tail_, other.tail_);
    std::swap(size_, other.size_);
  }

  /// Effect: empties the list without touching the nodes.
  void forget() noexcept {
    head_ = tail_ = nullptr;
    size_ = 0;
  }

  /// Effect: takes `node` out wherever it stands. Returns: whether it was there. Linear; only for
  /// the rare entry that leaves the queue from the middle.
  bool unlink(Node& node) noexcept {
    Node* before = nullptr;
    for (Node* at = head_; at != nullptr; before = at, at = at->second.next_dirty) {
      if (at != &node) continue;
      (before == nullptr ? head_ : before->second.next_dirty) = at->second.next_dirty;
      if (tail_ == at) tail_ = before;
      at->second.next_dirty = nullptr;
      --size_;
      return true;
    }
    return false;
  }

 private:
  Node* head_ = nullptr;
  Node* tail_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace lazywriter::detail
