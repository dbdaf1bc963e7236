// EXPECT: the key type must be copyable and comparable with ==
#include <lazywriter/lazy_writer_cache.hpp>
#include <optional>
#include <string>
#include <string_view>

struct Key {
  int number{};
#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
  bool operator==(const Key&) const = default;
#endif
};

template <>
struct std::hash<Key> {
  std::size_t operator()(const Key& key) const noexcept { return std::hash<int>{}(key.number); }
};

struct Item {
  Key number;
  Key key() const { return number; }
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
