// Which entry to evict next: S3-FIFO, trimmed in bursts, with entries that must not be evicted.
//
// New entries wait in a small queue. One that is asked for again before it reaches the front moves
// to the main queue; the others are evicted, and a ghost (the hash alone) remembers them for a
// while: a key that comes back as a ghost enters the main queue. The main queue is a clock:
// an entry that was hit since it was last looked at is spared, at the price of one hit. So keys
// asked for once, a scan for example, pass through a tenth of the cache and leave the rest alone,
// and a hit moves nothing: it costs a store of a 2-bit counter.
//
// Once the main queue is full, an entry enters it only if it was asked for more often lately
// than the entry that would leave for it. That goes past the paper: on a loop over more keys than
// fit, the main queue then keeps what it has and answers that part, where it would exchange one key
// for its equal. A small sketch keeps the counts; it learns only from keys that came back, at
// eviction and insertion.
//
// Pinned entries (unsaved ones) are stepped over. Each queue has a cursor: everything before it was
// found pinned in this pass. The next pass begins at the cursor and reaches those last, so a store
// that is down costs a pass one look at each pinned entry, however many calls the pass is cut into.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "lazywriter/detail/eviction/frequency_sketch.hpp"
#include "lazywriter/detail/eviction/ghost_table.hpp"

namespace lazywriter::detail {

enum class EvictionQueue : std::uint8_t { none, small, main };

/// What the policy keeps in every entry, and every hit touches. Only the policy writes to it.
struct EvictionHook {
  /// Hits since the policy last looked, 0 to 3.
  std::uint8_t frequency = 0;
  /// The queue that the entry is linked into.
  EvictionQueue queue = EvictionQueue::none;
};

/// What it keeps there beside that, and no hit touches.
template <class Node>
struct EvictionLinks {
  Node* prev = nullptr;
  Node* next = nullptr;
};

/// A first-in-first-out queue through the links of its nodes, with the cursor of a pass.
template <class Node, class LinksOf>
class EvictionFifo {
 public:
  EvictionFifo() = default;
  EvictionFifo(const EvictionFifo&) = delete;
  EvictionFifo& operator=(const EvictionFifo&) = delete;

  /// The oldest node that was not stepped over in this pass; nullptr when there is none.
  Node* candidate() const noexcept { return cursor_; }
  std::size_t size() const noexcept { return size_; }

  void push_back(Node& node) noexcept {
    auto& links = LinksOf{}(node);
    links.prev = back_;
    links.next = nullptr;
    (back_ != nullptr ? LinksOf{}(*back_).next : front_) = &node;
    back_ = &node;
    if (cursor_ == nullptr) cursor_ = &node;
    ++size_;
  }

  void unlink(Node& node) noexcept {
    auto& links = LinksOf{}(node);
    if (cursor_ == &node) cursor_ = links.next;
    (links.prev != nullptr ? LinksOf{}(*links.prev).next : front_) = links.next;
    (links.next != nullptr ? LinksOf{}(*links.next).prev : back_) = links.prev;
    links.prev = nullptr;
    links.next = nullptr;
    --size_;
  }

  /// Leaves the candidate where it is and goes on to the one behind it.
  void step_over() noexcept { cursor_ = LinksOf{}(*cursor_).next; }

  /// Starts over: what was stepped over moves, in its order, behind everything else.
  void rewind() noexcept {
    if (cursor_ == nullptr) {
      cursor_ = front_;
    } else if (cursor_ != front_) {
      LinksOf{}(*back_).next = front_;
      LinksOf{}(*front_).prev = back_;
      back_ = LinksOf{}(*cursor_).prev;
      LinksOf{}(*back_).next = nullptr;
      LinksOf{}(*cursor_).prev = nullptr;
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

/// The eviction order of one shard. HookOf (Node& -> EvictionHook&), LinksOf (Node& ->
/// EvictionLinks<Node>&) and HashOf (const Node& -> std::size_t) are stateless and must not throw.
/// Knows nothing of threads: the shard's lock covers every call. Only the constructor allocates;
/// every call but evict_one takes constant time.
template <class Node, class HookOf, class LinksOf, class HashOf>
class EvictionPolicy {
 public:
  static constexpr std::uint8_t max_frequency = 3;

  /// `capacity`: the entries that are meant to stay; 0 = unlimited, then no ghosts are kept.
  /// Throws: std::bad_alloc.
  explicit EvictionPolicy(std::size_t capacity)
      : small_target_(capacity == 0 ? 0 : std::max<std::size_t>(1, capacity / 10)),
        capacity_(capacity == 0 ? std::numeric_limits<std::size_t>::max() : capacity),
        trimmed_(capacity_),
        settled_(capacity_),
        ghosts_(capacity - capacity / 10),
        sketch_(capacity) {}

  EvictionPolicy(const EvictionPolicy&) = delete;
  EvictionPolicy& operator=(const EvictionPolicy&) = delete;

  /// Takes up a node that is in no queue.
  void inserted(Node& node) noexcept {
    auto& hook = HookOf{}(node);
    hook.frequency = 0;
    const std::uint64_t spread = spread_of(node);
    if (!ghosts_.take(spread)) {
      push_back(small_, EvictionQueue::small, node);
      return;
    }
    sketch_.add(spread, requests_of_a_ghost);
    const Node* const candidate = main_is_full() ? main_.candidate() : nullptr;
    if (candidate == nullptr ||
        sketch_.estimate(spread) > sketch_.estimate(spread_of(*candidate))) {
      push_back(main_, EvictionQueue::main, node);
    } else {
      hook.frequency = 1;  // it may try again at the front of the small queue
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
    settled_ = trimmed_;
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
      Node* const victim =
          from_small ? look_at_small(*node, evictable) : look_at_main(*node, evictable);
      if (victim == nullptr) continue;
      trimmed_ = size();
      return victim;
    }
    return nullptr;
  }

  /// Nodes in both queues.
  std::size_t size() const noexcept { return small_.size() + main_.size(); }

  /// What the policy holds beside hooks and links.
  std::size_t memory_bytes() const noexcept {
    return sizeof(*this) + ghosts_.memory_bytes() + sketch_.memory_bytes();
  }

 private:
  using Fifo = EvictionFifo<Node, LinksOf>;

  static void push_back(Fifo& fifo, EvictionQueue queue, Node& node) noexcept {
    HookOf{}(node).queue = queue;
    fifo.push_back(node);
  }

  static std::uint64_t spread_of(const Node& node) noexcept {
    return detail::spread_hash(HashOf{}(node));
  }

  /// Whether the main queue has all that the small one does not need: then it takes an entry only
  /// in exchange for another.
  bool main_is_full() const noexcept {
    return main_.size() + small_target_ >= std::min(capacity_, settled_);
  }

  static Node* evict(Fifo& fifo, Node& node) noexcept {
    fifo.unlink(node);
    HookOf{}(node).queue = EvictionQueue::none;
    return &node;
  }

  void move_to_main(Node& node) noexcept {
    small_.unlink(node);
    HookOf{}(node).frequency = 0;
    push_back(main_, EvictionQueue::main, node);
  }

  /// Looks at the candidate of the small queue. Returns: the victim, if that settles one.
  template <class Evictable>
  Node* look_at_small(Node& node, Evictable& evictable) noexcept {
    const bool wanted = HookOf{}(node).frequency > 0;
    Node* const candidate = main_is_full() ? main_.candidate() : nullptr;
    if (wanted && candidate == nullptr) {
      sketch_.add(spread_of(node), HookOf{}(node).frequency);
      move_to_main(node);
      return nullptr;
    }
    if (!evictable(static_cast<const Node&>(node))) {
      small_.step_over();
      return nullptr;
    }
    if (wanted && !is_due(*candidate, evictable)) return nullptr;
    const std::uint64_t spread = spread_of(node);
    sketch_.add(spread, HookOf{}(node).frequency);
    if (wanted && sketch_.estimate(spread) > sketch_.estimate(spread_of(*candidate))) {
      move_to_main(node);
      return evict(main_, *candidate);
    }
    ghosts_.remember(spread);
    return evict(small_, node);
  }

  /// Looks at the candidate of the main queue. Returns: it, if it is the victim.
  template <class Evictable>
  Node* look_at_main(Node& node, Evictable& evictable) noexcept {
    return is_due(node, evictable) ? evict(main_, node) : nullptr;
  }

  /// Whether the candidate of the main queue may be evicted. If not, the cursor has left it: it is
  /// pinned, or it was spared and went to the back.
  template <class Evictable>
  bool is_due(Node& node, Evictable& evictable) noexcept {
    if (!evictable(static_cast<const Node&>(node))) {
      main_.step_over();
      return false;
    }
    auto& hook = HookOf{}(node);
    if (hook.frequency == 0 || spared_ >= main_.size()) {
      spared_ = 0;
      return true;
    }
    ++spared_;
    --hook.frequency;
    sketch_.add(spread_of(node), 1);
    main_.unlink(node);
    main_.push_back(node);
    return false;
  }

  /// What the return of an evicted key counts for. Found by measuring: with less, keys that come
  /// back after a pause lose too often to those that stayed.
  static constexpr unsigned requests_of_a_ghost = 4;

  /// Entries that the small queue keeps while the main queue has something to give. Constant.
  std::size_t small_target_;
  /// The largest number for unlimited. Constant.
  std::size_t capacity_;
  /// Entries that the last eviction left.
  std::size_t trimmed_;
  /// Entries that the pass before this one left. Shards that share a capacity are not equally full,
  /// so the capacity alone does not say what this one can keep.
  std::size_t settled_;
  Fifo small_;
  Fifo main_;
  /// Nodes spared since one was last due. A whole round of them ends the mercy: readers that
  /// hit faster than the clock turns must not keep the cache from shrinking.
  std::size_t spared_ = 0;
  /// The keys that the small queue evicted.
  GhostTable ghosts_;
  FrequencySketch sketch_;
};

}  // namespace lazywriter::detail
