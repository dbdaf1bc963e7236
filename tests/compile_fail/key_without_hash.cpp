// EXPECT: the key type needs a hash: specialise std::hash or lazywriter::key_hash
#include <lazywriter/lazy_writer_cache.hpp>
#include <optional>
#include <string>
#include <string_view>

struct Key {
  std::string name;
  bool operator==(const Key&) const = default;
};

#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
template <>
struct std::hash<Key> {
  std::size_t operator()(const Key& key) const noexcept {
    return std::hash<std::string>{}(key.name);
  }
};
#endif

struct Item {
  Key name;
  const Key& key() const { return name; }
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
