// What an object must offer to live in the cache, and how its key is hashed.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "lazywriter/detail/base/hash_bytes.hpp"
#include "lazywriter/detail/base/hash_seed.hpp"
#include "lazywriter/detail/base/key_parts.hpp"
#include "lazywriter/detail/base/quiet_assignment.hpp"

namespace lazywriter {

/// The hash of a key. It is std::hash, extended to tuples, pairs and optionals of hashable parts
/// and to durations and time points; for std::string it also takes a std::string_view without
/// making a string of it. Specialise it, or std::hash, for a key type of your own.
///
/// It is the same in every process. The tables of a cache use another one, which nobody can know in
/// advance: it mixes what this one returns with random numbers of the cache, and for strings, also
/// those within the types above, it is computed with them from the start. So keys that come from
/// strangers cannot be chosen to collide, unless a std::hash or key_hash of your own lets them.
template <class Key>
struct key_hash {
  /// Returns: the hash of the key; equal keys have equal hashes. Throws: what std::hash throws.
  /// Complexity: that of hashing every part once. Does not block.
  std::size_t operator()(const Key& key) const
      noexcept(noexcept(std::hash<Key>{}(key))) requires requires {
    std::hash<Key>{}(key);
  }
  { return std::hash<Key>{}(key); }
};

namespace detail {

template <class Key>
concept HashableKey = requires(const Key& key) {
  { key_hash<Key>{}(key) } -> std::convertible_to<std::size_t>;
};

/// A key whose hash depends on a seed from the start.
template <class Key>
concept SeededKey = requires(const Key& key, const HashSeed& seed) {
  key_hash<Key>::with_seed(key, seed);
};

/// Returns: what a part contributes to the hash of the whole.
template <class Part>
std::uint64_t hash_of_part(const Part& part, const HashSeed& seed) {
  if constexpr (SeededKey<Part>) {
    return key_hash<Part>::with_seed(part, seed);
  } else {
    return static_cast<std::uint64_t>(static_cast<std::size_t>(key_hash<Part>{}(part)));
  }
}

/// Returns: the hashes of all parts in one. Their order matters.
template <class... Parts>
std::size_t hash_parts(const HashSeed& seed, const Parts&... parts) {
  std::uint64_t hash = 0;
  ((hash = seed.mix(hash ^ detail::hash_of_part<Parts>(parts, seed))), ...);
  return static_cast<std::size_t>(hash);
}

/// The hash of the tables. `View`: the key, or what key_hash<Key> takes instead. Throws: what
/// hashing the key throws.
template <class Key, class View>
std::size_t table_hash(const View& key, const HashSeed& seed) {
  if constexpr (SeededKey<Key>) {
    return key_hash<Key>::with_seed(key, seed);
  } else {
    return static_cast<std::size_t>(seed.mix(detail::hash_of_part<Key>(key, seed)));
  }
}

}  // namespace detail

/// Takes any view of characters, and is quicker than std::hash.
template <class Character, class Allocator>
  requires std::integral<Character>
struct key_hash<std::basic_string<Character, std::char_traits<Character>, Allocator>> {
  /// How the characters are passed.
  using View = std::basic_string_view<Character>;
  /// Returns: the hash of these characters. Complexity: linear in their number. Never throws.
  std::size_t operator()(View key) const noexcept {
    return with_seed(key, detail::HashSeed::known());
  }
  /// For the tables of a cache.
  static std::size_t with_seed(View key, const detail::HashSeed& seed) noexcept {
    if constexpr (std::is_same_v<Character, char>) {
      return detail::hash_bytes(key, seed);
    } else {
      const auto* const bytes = reinterpret_cast<const char*>(key.data());  // NOLINT
      return detail::hash_bytes({bytes, key.size() * sizeof(Character)}, seed);
    }
  }
};

/// For composite keys. The order of the parts matters.
template <class... Parts>
  requires(detail::HashableKey<Parts>&&...)
struct key_hash<std::tuple<Parts...>> {
  /// Returns: the hashes of all parts in one. Throws, complexity: as those of the parts.
  std::size_t operator()(const std::tuple<Parts...>& key) const {
    return with_seed(key, detail::HashSeed::known());
  }
  /// For the tables of a cache.
  static std::size_t with_seed(const std::tuple<Parts...>& key, const detail::HashSeed& seed) {
    return std::apply(
        [&](const Parts&... parts) { return detail::hash_parts<Parts...>(seed, parts...); }, key);
  }
};

/// For composite keys of two parts. Their order matters.
template <class First, class Second>
  requires detail::HashableKey<First> && detail::HashableKey<Second>
struct key_hash<std::pair<First, Second>> {
  /// Returns: the hashes of both parts in one. Throws, complexity: as those of the parts.
  std::size_t operator()(const std::pair<First, Second>& key) const {
    return with_seed(key, detail::HashSeed::known());
  }
  /// For the tables of a cache.
  static std::size_t with_seed(const std::pair<First, Second>& key, const detail::HashSeed& seed) {
    return detail::hash_parts<First, Second>(seed, key.first, key.second);
  }
};

/// For keys, or parts of them, that may be missing.
template <class Part>
  requires detail::HashableKey<Part>
struct key_hash<std::optional<Part>> {
  /// Returns: the hash of what it holds, and whether it holds something. Throws, complexity: as
  /// that of the part.
  std::size_t operator()(const std::optional<Part>& key) const {
    return with_seed(key, detail::HashSeed::known());
  }
  /// For the tables of a cache.
  static std::size_t with_seed(const std::optional<Part>& key, const detail::HashSeed& seed) {
    return key.has_value() ? detail::hash_parts<bool, Part>(seed, true, *key)
                           : detail::hash_parts<bool>(seed, false);
  }
};

/// For durations.
template <class Count, class Period>
  requires detail::HashableKey<Count>
struct key_hash<std::chrono::duration<Count, Period>> {
  /// Returns: the hash of the number of periods. Throws: what hashing a number of that type throws.
  std::size_t operator()(const std::chrono::duration<Count, Period>& key) const {
    return key_hash<Count>{}(key.count());
  }
};

/// For points in time.
template <class Clock, class Duration>
  requires detail::HashableKey<Duration>
struct key_hash<std::chrono::time_point<Clock, Duration>> {
  /// Returns: the hash of the time since the clock's epoch. Throws: as that of the duration.
  std::size_t operator()(const std::chrono::time_point<Clock, Duration>& key) const {
    return key_hash<Duration>{}(key.time_since_epoch());
  }
};

/// The key type of an item: what `item.key()` returns, without const and reference.
template <class Item>
using key_type_t = std::remove_cvref_t<decltype(std::declval<const Item&>().key())>;

namespace detail {

// The parts of CacheItem, apart so that a static_assert can name the one that is missing.
template <class Item>
concept CopyableItem = std::copyable<Item>;

template <class Item>
concept NothrowMovableItem =
    std::is_nothrow_move_constructible_v<Item> && std::is_nothrow_move_assignable_v<Item>;

template <class Item>
concept KeyedItem = requires(const Item& item) {
  item.key();
};

template <class Key>
concept ComparableKey = std::equality_comparable<Key> && std::copyable<Key>;

template <class Key>
concept NothrowMovableKey = std::is_nothrow_move_constructible_v<Key>;

template <class Item>
concept TakesKeyData = requires(Item& item, const Item& stored) {
  item.copy_key_data_from(stored);
};

}  // namespace detail

/// An object that the cache can hold.
///
/// - It is copyable, and moving it does not throw.
/// - `item.key() const` returns its key, by value or by const reference to a part of the item. The
///   key is hashable by key_hash, equality comparable and copyable, and moving it does not throw.
///   It owns what it is: a std::string_view, a std::span or a pointer is none, nor a tuple, pair or
///   optional of one. It never changes while the item is cached, and nothing else in the item
///   points into it.
/// - Its copies are independent of each other: what happens to one is not seen in another.
/// - `item.copy_key_data_from(stored)` copies only what the store generated (an id, timestamps). It
///   leaves the key, and everything the program wrote, as they are.
///
/// All of these run under the lock of one shard, and so may the destructors of what an assignment
/// overwrites: they must be short and must not call the cache.
///
/// Example:
///
///     struct Account {
///       std::string login;
///       double balance{};
///       std::int64_t id{};  // generated by the store
///       const std::string& key() const { return login; }
///       void copy_key_data_from(const Account& stored) { id = stored.id; }
///     };
///     static_assert(lazywriter::CacheItem<Account>);
template <class Item>
concept CacheItem = detail::CopyableItem<Item> && detail::NothrowMovableItem<Item> &&
    detail::KeyedItem<Item> && detail::OwningKey<key_type_t<Item>> &&
    detail::HashableKey<key_type_t<Item>> && detail::ComparableKey<key_type_t<Item>> &&
    detail::NothrowMovableKey<key_type_t<Item>> && detail::TakesKeyData<Item>;

/// The name that enable_overwrite_in_place had before: where it is specialised, that counts for one
/// more release.
template <class Item>
inline constexpr bool assignment_destroys_nothing = detail::assigns_quietly<Item>();

/// Whether a move assignment to an item is known to destroy nothing but memory. A put then assigns
/// the new item to the old one; otherwise it first moves the old one out, to be destroyed after the
/// lock is released, which takes some nanoseconds more.
///
/// It is true for structs whose members are trivially copyable, strings or such structs again.
/// Specialise it where you know better: true for a class with private members of that kind, false
/// to have whatever is replaced destroyed without the lock.
///
/// Example:
///
///     template <>
///     inline constexpr bool lazywriter::enable_overwrite_in_place<Session> = true;
template <class Item>
inline constexpr bool enable_overwrite_in_place = assignment_destroys_nothing<Item>;

}  // namespace lazywriter
