// EXPECT: the adapter needs info\(std::string_view\) and warn\(std::string_view\)
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
  std::optional<Item> find(const std::string&) { return std::nullopt; }
  transaction_type begin_tx() { return {}; }
  void save(Item&, transaction_type&) {}
  void commit_tx(transaction_type&) {}
#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
  void info(std::string_view) {}
#endif
  void warn(std::string_view) {}
};

int main() {
  lazywriter::LazyWriterCache<Item, Store> cache{Store{}};
}
