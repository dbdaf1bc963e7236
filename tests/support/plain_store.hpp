// Adapters that can do less than MemoryReaderWriter: what the cache does without a refinement.
#pragma once

#include <optional>
#include <string_view>

#include "lazywriter/memory_reader_writer.hpp"

namespace lazywriter::testing {

/// What the concept requires and nothing more.
template <class Item>
class PlainStore {
 public:
  using item_type = Item;
  using key_type = key_type_t<Item>;
  using transaction_type = typename MemoryReaderWriter<Item>::transaction_type;

  explicit PlainStore(MemoryReaderWriter<Item> store) : store_(store) {}

  std::optional<Item> find(const key_type& key) { return store_.find(key); }
  transaction_type begin_tx() { return store_.begin_tx(); }
  void save(Item& item, transaction_type& transaction) { store_.save(item, transaction); }
  void commit_tx(transaction_type& transaction) { store_.commit_tx(transaction); }
  void info(std::string_view text) { store_.info(text); }
  void warn(std::string_view text) { store_.warn(text); }

 protected:
  MemoryReaderWriter<Item> store_;
};

/// One that can also erase, a row at a time.
template <class Item>
class ErasingStore : public PlainStore<Item> {
 public:
  using PlainStore<Item>::PlainStore;
  void erase(const key_type_t<Item>& key,
             typename PlainStore<Item>::transaction_type& transaction) {
    this->store_.erase(key, transaction);
  }
};

}  // namespace lazywriter::testing
