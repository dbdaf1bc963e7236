// EXPECT: moving a key must be noexcept
#include <lazywriter/lazy_writer_cache.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

struct Key {
  std::string text;
  explicit Key(std::string given = {}) : text(std::move(given)) {}
  Key(const Key&) = default;
  Key& operator=(const Key&) = default;
#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
  Key(Key&&) noexcept = default;
#else
  Key(Key&& other) : text(other.text) {}
#endif
  Key& operator=(Key&&) noexcept = default;
  bool operator==(const Key&) const = default;
};

template <>
struct std::hash<Key> {
  std::size_t operator()(const Key& key) const { return std::hash<std::string>{}(key.text); }
};

// Moving it throws nothing: the key is made when it is asked for.
struct Item {
  std::string name;
  Key key() const { return Key(name); }
  void copy_key_data_from(const Item&) {}
};

struct Store {
  using item_type = Item;
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
