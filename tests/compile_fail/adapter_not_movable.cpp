// EXPECT: the adapter must be movable, it is moved into the cache
#include <lazywriter/lazy_writer_cache.hpp>
#include <optional>
#include <string>
#include <string_view>

struct Item {
  std::string name;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Item&) {}
};

struct Store {
  using item_type = Item;
  Store() = default;
#ifndef LAZYWRITER_COMPILE_FAIL_CONTROL
  Store(Store&&) = delete;
#endif
  struct transaction_type {};
  std::optional<Item> find(const std::string&) {
    return std::nullopt;
  }
  transaction_type begin_tx() {
    return {};
  }
  void save(Item&, transaction_type&) {}
  void commit_tx(transaction_type&) {}
  void info(std::string_view) {}
  void warn(std::string_view) {}
};

int main() {
  lazywriter::LazyWriterCache<Item, Store> cache{Store{}};
}
