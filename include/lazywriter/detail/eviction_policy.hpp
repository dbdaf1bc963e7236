// Which entry to evict next: S3-FIFO, trimmed in bursts, with entries that must not be evicted.
//
// New entries wait in a small queue. One that is asked for again before it reaches the front moves
// to the main queue; the others are evicted, and a ghost (the hash alone) remembers them for a
// while: a key that comes back as a ghost enters the main queue at once. The main queue is a clock:
// an entry that was hit since it was last looked at is spared, at the price of one hit. So keys
// asked for once, a scan for example, pass through a tenth of the cache and leave the rest alone,
// and a hit moves nothing: it costs a store of a 2-bit counter.
//
// Pinned entries (unsaved ones) are stepped over. Each queue has a cursor: everything before it was
// found pinned in this pass. The next pass begins at the cursor and reaches those last, so a store
// that is down costs a pass one look at each pinned entry, however many calls the pass is cut into.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "lazywriter/detail/ghost_table.hpp"

namespace lazywriter::detail {

enum class EvictionQueue : std::uint8_t { none, small, main };

/// What the policy keeps in every entry. Only the policy writes to it.
template <class Node>
struct EvictionHook {
  Node* prev = nullptr;
  Node* next = nullptr;
  /// Hits since the policy last looked, 0 to 3.
  std::uint8_t frequency = 0;
  /// The queue that the entry is linked into.
  EvictionQueue queue = EvictionQueue::none;
};

/// A first-in-first-out queue through the hooks of its nodes, with the cursor of a pass.
template <class Node, class HookOf>
class EvictionFifo {
 public:
  EvictionFifo() = default;
  EvictionFifo(const EvictionFifo&) = delete;
  EvictionFifo& operator=(const EvictionFifo&) = delete;

  /// The oldest node that was not stepped over in this pass; nullptr when there is none.
  Node* candidate() const noexcept { return cursor_; }
  std::size_t size() const noexcept { return size_; }

  void push_back(Node& node) noexcept {
    auto& hook = HookOf{}(node);
    hook.prev = back_;
    hook.next = nullptr;
    (back_ != nullptr ? HookOf{}(*back_).next : front_) = &node;
    back_ = &node;
    if (cursor_ == nullptr) cursor_ = &node;
    ++size_;
  }

  void unlink(Node& node) noexcept {
    auto& hook = HookOf{}(node);
    if (cursor_ == &node) cursor_ = hook.next;
    (hook.prev != nullptr ? HookOf{}(*hook.prev).next : front_) = hook.next;
    (hook.next != nullptr ? HookOf{}(*hook.next).prev : back_) = hook.prev;
    hook.prev = nullptr;
    hook.next = nullptr;
    --size_;
  }

  /// Leaves the candidate where it is and goes on to the one behind it.
  void step_over() noexcept { cursor_ = HookOf{}(*cursor_).next; }

  /// Starts over: what was stepped over moves, in its order, behind everything else.
  void rewind() noexcept {
    if (cursor_ == nullptr) {
      cursor_ = front_;
    } else if (cursor_ != front_) {
      HookOf{}(*back_).next = front_;
      HookOf{}(*front_).prev = back_;
      back_ = HookOf{}(*cursor_).prev;
      HookOf{}(*back_).next = nullptr;
      HookOf{}(*cursor_).prev = nullptr;
      front_ = cursor_;
    }
  }

 private:
  Node* front_ = nullptr;
  Node* back_ = nullptr;
  /// Every node from front_ up to here was stepped over since the last rewind(); nullptr: all were.
  Node* cursor_ = nullptr;
  std::size_t size_ = 0;
};

/// The eviction order of one shard. HookOf (Node& -> EvictionHook<Node>&) and HashOf (const Node&
/// -> std::size_t) are stateless and must not throw. Knows nothing of threads: the shard's lock
/// covers every call. Only the constructor allocates; every call but evict_one takes constant time.
template <class Node, class HookOf, class HashOf>
class EvictionPolicy {
 public:
  static constexpr std::uint8_t max_frequency = 3;

  /// `capacity`: the entries that are meant to stay; 0 = unlimited, then no ghosts are kept.
  /// Throws: std::bad_alloc.
  explicit EvictionPolicy(std::size_t capacity)
      : small_target_(capacity == 0 ? 0 : std::max<std::size_t>(1, capacity / 10)),
        ghosts_(capacity - capacity / 10) {}

  EvictionPolicy(const EvictionPolicy&) = delete;
  EvictionPolicy& operator=(const EvictionPolicy&) = delete;

  /// Takes up a node that is in no queue.
  void inserted(Node& node) noexcept {
    HookOf{}(node).frequency = 0;
    if (ghosts_.take(spread_hash(HashOf{}(node)))) {
      push_back(main_, EvictionQueue::main, node);
    } else {
      push_back(small_, EvictionQueue::small, node);
    }
  }

  /// Notes a hit.
  static void touched(Node& node) noexcept {
    auto& hook = HookOf{}(node);
    if (hook.frequency < max_frequency) ++hook.frequency;
  }

  /// Lets go of a node that leaves for another reason than eviction. No effect if it is in no
  /// queue.
  void removed(Node& node) noexcept {
    auto& hook = HookOf{}(node);
    if (hook.queue == EvictionQueue::none) return;
    (hook.queue == EvictionQueue::small ? small_ : main_).unlink(node);
    hook.queue = EvictionQueue::none;
  }

  /// Begins a pass: every node may be looked at again, those found pinned in the pass before come
  /// last.
  void begin_pass() noexcept {
    small_.rewind();
    main_.rewind();
  }

  /// Picks a victim for which `evictable(const Node&)` holds, unlinks it and returns it. Looks at
  /// no more than `budget` nodes, which it counts down. nullptr with budget left: the pass is over,
  /// everything that stays is pinned (and the next call begins a new pass). A node is found pinned
  /// at most once in a pass.
  template <class Evictable>
  Node* evict_one(Evictable&& evictable, std::size_t& budget) noexcept {
    while (budget > 0) {
      const bool from_small = small_.candidate() != nullptr &&
                              (small_.size() > small_target_ || main_.candidate() == nullptr);
      Node* const node = from_small ? small_.candidate() : main_.candidate();
      if (node == nullptr) {
        begin_pass();
        return nullptr;
      }
      --budget;
      if (from_small ? leaves_small(*node, evictable) : leaves_main(*node, evictable)) return node;
    }
    return nullptr;
  }

  /// Nodes in both queues.
  std::size_t size() const noexcept { return small_.size() + main_.size(); }

  /// What the policy holds beside the hooks.
  std::size_t memory_bytes() const noexcept { return sizeof(*this) + ghosts_.memory_bytes(); }

 private:
  using Fifo = EvictionFifo<Node, HookOf>;

  static void push_back(Fifo& fifo, EvictionQueue queue, Node& node) noexcept {
    HookOf{}(node).queue = queue;
    fifo.push_back(node);
  }

  /// Decides about the candidate of the small queue; returns whether it is evicted.
  template <class Evictable>
  bool leaves_small(Node& node, Evictable& evictable) noexcept {
    auto& hook = HookOf{}(node);
    if (hook.frequency > 0) {
      small_.unlink(node);
      hook.frequency = 0;
      push_back(main_, EvictionQueue::main, node);
      return false;
    }
    if (!evictable(static_cast<const Node&>(node))) {
      small_.step_over();
      return false;
    }
    small_.unlink(node);
    hook.queue = EvictionQueue::none;
    ghosts_.remember(spread_hash(HashOf{}(node)));
    return true;
  }

  /// Decides about the candidate of the main queue; returns whether it is evicted.
  template <class Evictable>
  bool leaves_main(Node& node, Evictable& evictable) noexcept {
    if (!evictable(static_cast<const Node&>(node))) {
      main_.step_over();
      return false;
    }
    auto& hook = HookOf{}(node);
    main_.unlink(node);
    if (hook.frequency > 0 && spared_ < main_.size()) {
      --hook.frequency;
      ++spared_;
      main_.push_back(node);
      return false;
    }
    spared_ = 0;
    hook.queue = EvictionQueue::none;
    return true;
  }

  /// Entries that the small queue keeps while the main queue has something to give. Constant.
  std::size_t small_target_;
  Fifo small_;
  Fifo main_;
  /// Nodes spared since main_ last gave up one. A whole round of them ends the mercy: readers that
  /// hit faster than the clock turns must not keep the cache from shrinking.
  std::size_t spared_ = 0;
  GhostTable ghosts_;
};

}  // namespace lazywriter::detail
