// EXPECT: a key cannot be, or contain, a std::string_view
#include <lazywriter/lazy_writer_cache.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
using Key = std::string;
#else
using Key = std::string_view;
#endif

struct Item {
  Key name{};
  Key key() const { return name; }
  void copy_key_data_from(const Item&) {}
};

struct Store {
  struct transaction_type {};
  std::optional<Item> find(const Key&) { return std::nullopt; }
  transaction_type begin_tx() { return {}; }
  void save(Item&, transaction_type&) {}
  void commit_tx(transaction_type&) {}
  void info(std::string_view) {}
  void warn(std::string_view) {}
};

int main() {
  lazywriter::LazyWriterCache<Item, Store> cache{Store{}};
}
