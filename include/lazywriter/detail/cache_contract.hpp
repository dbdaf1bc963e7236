// One readable sentence for each thing an item or an adapter can lack.
#pragma once

#include <concepts>
#include <type_traits>

#include "lazywriter/cache_item.hpp"
#include "lazywriter/cache_reader_writer.hpp"

namespace lazywriter::detail {

/// Base of the cache: instantiating it checks what a constraint would check, with a sentence for
/// each part.
template <class Item, class RW>
struct CacheContract {
  static_assert(CopyableItem<Item>, "lazywriter: the item type must be copyable");
  static_assert(NothrowMovableItem<Item>,
                "lazywriter: moving an item (construction and assignment) must be noexcept");
  static_assert(KeyedItem<Item>, "lazywriter: the item type needs a member key() const");
  static_assert(
      HashableKey<key_type_t<Item>>,
      "lazywriter: the key type needs a hash: specialise std::hash or lazywriter::key_hash");
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
