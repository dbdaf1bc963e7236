// The adapter for unit tests of code that uses a cache: no store at all.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "lazywriter/cache_item.hpp"

namespace lazywriter {

/// Stores nothing and finds nothing, and takes every write at once. With it a cache is a plain
/// concurrent map: what is evicted is gone, so give it `capacity = 0` or more than the test puts
/// in. All members: never throw, never block, constant time, any thread.
template <CacheItem Item>
class NoOpReaderWriter {
 public:
  /// The item.
  using item_type = Item;
  /// The type of its key.
  using key_type = key_type_t<Item>;
  /// Holds nothing.
  struct transaction_type {};

  /// Returns: always nullopt.
  std::optional<Item> find(const key_type&) const noexcept { return std::nullopt; }
  /// Returns: a transaction that does nothing.
  transaction_type begin_tx() const noexcept { return {}; }
  /// Effect: none; the item counts as saved.
  void save(Item&, transaction_type&) const noexcept {}
  /// Effect: none; the items count as saved.
  void save_batch(std::span<Item>, transaction_type&) const noexcept {}
  /// Effect: none; the key counts as erased.
  void erase(const key_type&, transaction_type&) const noexcept {}
  /// Effect: none; the keys count as erased.
  void erase_batch(std::span<const key_type>, transaction_type&) const noexcept {}
  /// Effect: none; the transaction counts as committed.
  void commit_tx(transaction_type&) const noexcept {}
  /// Effect: none; the text is dropped.
  void info(std::string_view) const noexcept {}
  /// Effect: none; the text is dropped.
  void warn(std::string_view) const noexcept {}
};

}  // namespace lazywriter
