// EXPECT: the adapter needs find\(const Key&\) returning std::optional<Item>
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
  struct transaction_type {};
#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
  std::optional<Item> find(const std::string&) {
    return std::nullopt;
  }
#endif
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
