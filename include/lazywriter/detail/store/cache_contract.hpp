// One readable sentence for each thing an item or an adapter can lack.
#pragma once

#include <concepts>
#include <type_traits>

#include "lazywriter/cache_item.hpp"
#include "lazywriter/cache_reader_writer.hpp"

namespace lazywriter::detail {

template <class Parts>
inline constexpr bool all_hashable = true;
template <class... Parts>
inline constexpr bool all_hashable<TypeList<Parts...>> = (HashableKey<Parts> && ... && true);

/// One sentence for each part of a key that has no hash. The compiler says beside it which type
/// that is: `Part`.
template <class Part, class Its = typename PartsOf<Part>::Types>
struct HashedPart;
template <class Part, class... Its>
struct HashedPart<Part, TypeList<Its...>> {
  static_assert(HashableKey<Part> || PointsElsewhere<Part> || !all_hashable<TypeList<Its...>>,
                "lazywriter: a part of the key needs a hash: specialise std::hash or "
                "lazywriter::key_hash for its type");
  static constexpr bool checked = (HashedPart<Its>::checked && ... && true);
};
template <class Key, class Parts = typename PartsOf<Key>::Types>
struct HashedKey;
template <class Key, class... Parts>
struct HashedKey<Key, TypeList<Parts...>> {
  static_assert(HashableKey<Key> || PointsElsewhere<Key> || !all_hashable<TypeList<Parts...>>,
                "lazywriter: the key type needs a hash: specialise std::hash or "
                "lazywriter::key_hash");
  static constexpr bool checked = (HashedPart<Parts>::checked && ... && true);
};
template <class Key, class... Parts>
  requires HashableKey<Key>  // as a whole, whatever its parts have
struct HashedKey<Key, TypeList<Parts...>> {
  static constexpr bool checked = true;
};

/// One sentence for each part of a key, or the key itself, that would dangle.
template <class Key, class Parts = typename PartsOf<Key>::Types>
struct OwnedParts;
template <class Key, class... Parts>
struct OwnedParts<Key, TypeList<Parts...>> {
  static_assert(
      !is_string_view<Key>,
      "lazywriter: a key cannot be, or contain, a std::string_view, since it outlives the "
      "characters: make it a std::string");
  static_assert(!is_other_view<Key>,
                "lazywriter: a key cannot be, or contain, a std::span or another view, since it "
                "outlives the elements: make it a type that owns them");
  static_assert(!std::is_pointer_v<Key>,
                "lazywriter: a key cannot be, or contain, a pointer, since it outlives what that "
                "points to: make it a std::string, or another type that owns what it is");
  static_assert(!std::is_reference_v<Key>,
                "lazywriter: a key cannot contain a reference, since it outlives what that refers "
                "to: make it a type that owns what it is");
  static constexpr bool checked = (OwnedParts<Parts>::checked && ... && true);
};

/// Base of the cache: instantiating it checks what a constraint would check, with a sentence for
/// each part.
template <class Item, class RW>
struct CacheContract {
  static_assert(CopyableItem<Item>, "lazywriter: the item type must be copyable");
  static_assert(NothrowMovableItem<Item>,
                "lazywriter: moving an item (construction and assignment) must be noexcept");
  static_assert(KeyedItem<Item>, "lazywriter: the item type needs a member key() const");
  static_assert(OwnedParts<key_type_t<Item>>::checked);
  static_assert(HashedKey<key_type_t<Item>>::checked);
  static_assert(ComparableKey<key_type_t<Item>>,
                "lazywriter: the key type must be copyable and comparable with ==");
  static_assert(NothrowMovableKey<key_type_t<Item>>, "lazywriter: moving a key must be noexcept");
  static_assert(TakesKeyData<Item>,
                "lazywriter: the item type needs a member copy_key_data_from(const Item& stored)");
  static_assert(HasTransactionType<RW>,
                "lazywriter: the adapter needs a movable type transaction_type");
  static_assert(HasFind<RW, Item>,
                "lazywriter: the adapter needs find(const Key&) returning std::optional<Item>");
  static_assert(HasBeginTx<RW>,
                "lazywriter: the adapter needs begin_tx() returning transaction_type");
  static_assert(HasSave<RW, Item>, "lazywriter: the adapter needs save(Item&, transaction_type&)");
  static_assert(HasCommitTx<RW>, "lazywriter: the adapter needs commit_tx(transaction_type&)");
  static_assert(HasLog<RW>,
                "lazywriter: the adapter needs info(std::string_view) and warn(std::string_view)");
  static_assert(std::movable<RW>,
                "lazywriter: the adapter must be movable, it is moved into the cache");
};

}  // namespace lazywriter::detail
