// One entry of the cache: its layout.
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
#include "lazywriter/detail/base/clock.hpp"
#include "lazywriter/detail/base/prefetch.hpp"
#include "lazywriter/detail/eviction/eviction_policy.hpp"
#include "lazywriter/detail/table/failure_state.hpp"
#include "lazywriter/detail/table/key.hpp"
#include "lazywriter/detail/table/leftover.hpp"

namespace lazywriter::detail {

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
///     parked     holds_slot, failure->parked, unsaved_since != 0, not linked
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
  std::unique_ptr<FailureState<key_type_t<Item>>> failure;
  union {
    /// The link of the DirtyList it is in.
    EntryNode<Item>* next_dirty = nullptr;
    /// Its place in the ApartSet, while it is in flight or parked: then it is in no list.
    std::size_t apart_place;
  };
  EvictionLinks<EntryNode<Item>> eviction_links;

  [[nodiscard]] bool parked() const noexcept { return failure != nullptr && failure->parked; }
  /// Whether the store did not take it although it was written alone.
  [[nodiscard]] bool failed_alone() const noexcept {
    return failure != nullptr && (failure->parked || failure->isolated != Isolated::no);
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
      by_write - sizeof(Entry<Item>::failure) - sizeof(Entry<Item>::unsaved_since);
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
