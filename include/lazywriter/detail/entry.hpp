// One entry of the cache: its layout, and the key it is found by.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "lazywriter/cache_item.hpp"
#include "lazywriter/detail/eviction_policy.hpp"
#include "lazywriter/detail/hash_bytes.hpp"
#include "lazywriter/detail/leftover.hpp"
#include "lazywriter/detail/prefetch.hpp"

namespace lazywriter::detail {

using Clock = std::chrono::steady_clock;

/// Returns: now + timeout, or ten years from now, or ago, for a timeout beyond that (the clock must
/// not overflow).
inline Clock::time_point deadline_after(std::chrono::milliseconds timeout) noexcept {
  constexpr std::chrono::milliseconds longest = std::chrono::hours{24 * 365 * 10};
  return Clock::now() + std::clamp(timeout, -longest, longest);
}

/// A point on the write clock (StampClock): strictly growing, in nanoseconds. 0 = none.
using Stamp = std::int64_t;
inline constexpr Stamp no_stamp = 0;

/// The key of the map: the hash, computed once, and where the key itself lies. The pointer follows
/// the key when it moves (an item replaced, a tombstone made); hash and value of the key never
/// change, so that the map's order is untouched.
template <class Key>
struct KeyRef {
  std::size_t hash;
  mutable const Key* key;
};

/// What is looked up: a key the caller holds, or something equal to one (a string_view), with its
/// hash.
template <class View>
struct KeyProbe {
  std::size_t hash;
  View key;
};

/// Whether a stored key is the one that is looked for. Throws: what comparing keys throws.
template <class Key>
bool same_key(const Key& stored, const Key& sought) {
  return stored == sought;
}
inline bool same_key(const std::string& stored, std::string_view sought) noexcept {
  return detail::same_bytes(stored, sought);
}

struct KeyRefHash {
  using is_transparent = void;
  std::size_t operator()(const auto& ref) const noexcept { return ref.hash; }
};

struct KeyRefEqual {
  using is_transparent = void;
  // Two entries never have equal keys (each is inserted after a look-up, in one hold of the lock),
  // so entries are told apart by where their keys lie; that never touches a key.
  template <class Key>
  bool operator()(const KeyRef<Key>& a, const KeyRef<Key>& b) const noexcept {
    return a.key == b.key;
  }
  template <class Key, class View>
  bool operator()(const KeyProbe<View>& probe, const KeyRef<Key>& ref) const {
    return probe.hash == ref.hash && detail::same_key(*ref.key, probe.key);
  }
  template <class Key, class View>
  bool operator()(const KeyRef<Key>& ref, const KeyProbe<View>& probe) const {
    return (*this)(probe, ref);
  }
};

/// How an entry failed alone, without any other in the transaction.
enum class Isolated : std::uint8_t { no, transient, unavailable, rejected };

/// What the flusher remembers of an entry that the store did not take. Few entries have one.
template <class Key>
struct Trouble {
  std::string error;
  /// Rejections that count, of the value the entry holds now.
  unsigned rejections = 0;
  /// Attempts that failed alone; they set the entry's own pace.
  unsigned failures = 0;
  /// Rejected for good: out of the dirty queue until a write, retry_parked or discard_parked.
  bool parked = false;
  /// It failed alone, so it is tried apart from the others and halved no more.
  Isolated isolated = Isolated::no;
  Clock::time_point first_rejected{};
  /// The flusher's count of unblocked entries at the last rejection in a round that was cut short.
  std::uint64_t stuck_since = 0;
  /// The flush loop leaves the entry alone until then.
  Clock::time_point retry_at{};
  /// The key the entry stands under, when a function given to update changed the key inside the
  /// item.
  std::optional<Key> displaced_key;
};

template <class Item>
struct Entry;

/// A node of the map, which never moves: lists link nodes, and an in-flight node is a stable place
/// to come back to.
template <class Item>
using EntryNode = std::pair<const KeyRef<key_type_t<Item>>, Entry<Item>>;

/// What an entry's content is made of just now.
enum class Holding : std::uint8_t { nothing, item, key };

/// What every call looks at.
struct EntryFlags : EvictionHook {
  /// Readers see no item, and there is none.
  bool erased = false;
  /// Pinned by the flusher, which holds a pointer to the node: it must not leave the map.
  bool in_flight = false;
  /// Counts against max_dirty.
  bool holds_slot = false;
  // What few calls look at shares a byte, so that the content still begins at the eighth.
  /// Discarded since the flusher took its copy: a failed attempt does not make it dirty again.
  bool discarded : 1 = false;
  /// An attempt to save just what it holds now has failed.
  bool failed : 1 = false;
  /// In one that the store began, so that it may be the cause.
  bool suspect : 1 = false;
  /// An erase was accepted before what it holds now and is not known to be committed: the row goes
  /// before the item is saved, in one transaction.
  bool erase_first : 1 = false;
  /// The log was told that it failed alone, and nothing of it was saved since. Whoever writes to
  /// such an entry all the time must not flood the log.
  bool named : 1 = false;
  /// Only EntryContent writes to it.
  Holding holding = Holding::nothing;

  /// Effect: no attempt to save what it holds now has failed.
  void forget_failures() noexcept { failed = suspect = false; }

  [[nodiscard]] bool visible() const noexcept { return !erased; }
  [[nodiscard]] bool pinned() const noexcept { return holds_slot || in_flight; }
};

/// The item and the key of an entry. When Item::key() returns a reference the key lies inside the
/// item and is stored once; a tombstone holds just the key.
template <class Item,
          bool KeyInItem = std::is_reference_v<decltype(std::declval<const Item&>().key())>>
class EntryContent : public EntryFlags {
 public:
  using Key = key_type_t<Item>;
  static constexpr bool key_in_item = true;

  explicit EntryContent(const Key&) noexcept {}
  ~EntryContent() { clear(); }
  EntryContent(const EntryContent&) = delete;
  EntryContent& operator=(const EntryContent&) = delete;

  [[nodiscard]] bool has_item() const noexcept { return this->holding == Holding::item; }
  [[nodiscard]] Item& item() noexcept { return item_; }
  [[nodiscard]] const Item& item() const noexcept { return item_; }
  void set_item(Item&& item) noexcept {
    clear();
    std::construct_at(std::addressof(item_), std::move(item));
    this->holding = Holding::item;
  }
  /// Effect: takes over an item of the same key; what it held before moves to `old` unless nothing
  /// of it has to be destroyed. A key string inside the item stays where it is: its characters lie
  /// next to the node, where the next look-up finds them warm, and equal strings may be swapped
  /// unnoticed.
  void replace_item(Item& item, Leftover<Item>& old) noexcept {
    if constexpr (std::is_same_v<Key, std::string>) {
      const Key* const mine = std::addressof(item_.key());
      const Key* const other = std::addressof(item.key());
      // Only a part of the item itself is known not to be a constant that others share.
      if (is_part(item_, mine) && is_part(item, other)) {
        const_cast<Key*>(mine)->swap(*const_cast<Key*>(other));  // NOLINT
      }
    }
    old.replace(item_, std::move(item));
  }
  /// Effect: holds just the key; an item that it held is destroyed.
  void set_key(Key&& key) noexcept {
    clear();
    std::construct_at(std::addressof(key_), std::move(key));
    this->holding = Holding::key;
  }
  /// Where the key lies now.
  [[nodiscard]] const Key* key_address() const {
    return has_item() ? std::addressof(item_.key()) : std::addressof(key_);
  }

 private:
  void clear() noexcept {
    if (this->holding == Holding::item) std::destroy_at(std::addressof(item_));
    if (this->holding == Holding::key) std::destroy_at(std::addressof(key_));
    this->holding = Holding::nothing;
  }

  static bool is_part(const Item& item, const Key* key) noexcept {
    const auto* const first = reinterpret_cast<const std::byte*>(std::addressof(item));  // NOLINT
    const auto* const at = reinterpret_cast<const std::byte*>(key);                      // NOLINT
    const std::less_equal<> not_after;
    return not_after(first, at) && not_after(at + sizeof(Key), first + sizeof(Item));
  }

  /// `holding` says which one lives.
  union {
    Item item_;
    Key key_;
  };
};

template <class Item>
class EntryContent<Item, false> : public EntryFlags {
 public:
  using Key = key_type_t<Item>;
  static constexpr bool key_in_item = false;

  explicit EntryContent(const Key& key) : key_(key) {}

  [[nodiscard]] bool has_item() const noexcept { return item_.has_value(); }
  [[nodiscard]] Item& item() noexcept { return *item_; }
  [[nodiscard]] const Item& item() const noexcept { return *item_; }
  void set_item(Item&& item) noexcept { item_.emplace(std::move(item)); }
  void replace_item(Item& item, Leftover<Item>& old) noexcept {
    old.replace(*item_, std::move(item));
  }
  void set_key(Key&&) noexcept { item_.reset(); }  // the key is already there, apart from the item
  [[nodiscard]] const Key* key_address() const noexcept { return std::addressof(key_); }

 private:
  Key key_;
  std::optional<Item> item_;
};

/// An entry. Its states are spelled out in the essay on top of lazy_writer_cache.hpp:
///
///     clean      !holds_slot, !in_flight, unsaved_since == 0
///     dirty      holds_slot, unsaved_since != 0, linked in the dirty queue unless in flight
///     in flight  in_flight; unsaved_since == 0 until it is written again
///     parked     holds_slot, trouble->parked, unsaved_since != 0, not linked
///     tombstone  erased, in any of the unsaved states; the clean one leaves the map
///
/// The members lie in the order in which they are needed: flags and content for a hit, then what a
/// write adds, then what a flush does, and last what neither touches. So each fetches no more lines
/// from memory than it must (see Touched).
template <class Item>
struct Entry : EntryContent<Item> {
  using EntryContent<Item>::EntryContent;

  /// When the oldest write that no attempt has taken along was made; no_stamp when there is none.
  /// This is the version check: a copy is taken together with setting it to no_stamp, and only an
  /// entry that still has no_stamp when that copy is committed becomes clean.
  Stamp unsaved_since = no_stamp;
  std::unique_ptr<Trouble<key_type_t<Item>>> trouble;
  union {
    /// The link of the DirtyList it is in.
    EntryNode<Item>* next_dirty = nullptr;
    /// Its place in the ApartSet, while it is in flight or parked: then it is in no list.
    std::size_t apart_place;
  };
  EvictionLinks<EntryNode<Item>> eviction_links;

  [[nodiscard]] bool parked() const noexcept { return trouble != nullptr && trouble->parked; }
  /// Whether the store did not take it although it was written alone.
  [[nodiscard]] bool failed_alone() const noexcept {
    return trouble != nullptr && (trouble->parked || trouble->isolated != Isolated::no);
  }
};

template <class Key, class Item>
struct Touched<std::pair<const KeyRef<Key>, Entry<Item>>> {
  /// An item is made before the node that it moves into, so the allocator usually put the
  /// characters of a key inside it there: 24 of them in the smallest block, then what it notes of
  /// the next block, and the link of the map.
  static constexpr std::size_t before =
      EntryContent<Item>::key_in_item && std::is_same_v<Key, std::string> ? 24 + 2 * sizeof(void*)
                                                                          : 0;
  static constexpr std::size_t by_flush =
      sizeof(EntryNode<Item>) - sizeof(Entry<Item>::eviction_links);
  static constexpr std::size_t by_write = by_flush - sizeof(Entry<Item>::next_dirty);
  static constexpr std::size_t by_read =
      by_write - sizeof(Entry<Item>::trouble) - sizeof(Entry<Item>::unsaved_since);
};

template <class Item>
struct EntryHookOf {
  EvictionHook& operator()(EntryNode<Item>& node) const noexcept { return node.second; }
};

template <class Item>
struct EntryLinksOf {
  EvictionLinks<EntryNode<Item>>& operator()(EntryNode<Item>& node) const noexcept {
    return node.second.eviction_links;
  }
};

template <class Item>
struct EntryHashOf {
  std::size_t operator()(const EntryNode<Item>& node) const noexcept { return node.first.hash; }
};

}  // namespace lazywriter::detail
