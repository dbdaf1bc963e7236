// EXPECT: the adapter needs a movable type transaction_type
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
  struct Transaction {};
#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
  using transaction_type = Transaction;
#endif
  std::optional<Item> find(const std::string&) {
    return std::nullopt;
  }
  Transaction begin_tx() {
    return {};
  }
  void save(Item&, Transaction&) {}
  void commit_tx(Transaction&) {}
  void info(std::string_view) {}
  void warn(std::string_view) {}
};

int main() {
  lazywriter::LazyWriterCache<Item, Store> cache{Store{}};
}
