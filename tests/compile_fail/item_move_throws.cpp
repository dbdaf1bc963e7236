// EXPECT: moving an item \(construction and assignment\) must be noexcept
#include <lazywriter/lazy_writer_cache.hpp>
#include <optional>
#include <string>
#include <string_view>

struct Item {
  Item() = default;
  Item(const Item&) = default;
  Item& operator=(const Item&) = default;
#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
  Item(Item&&) noexcept = default;
  Item& operator=(Item&&) noexcept = default;
#else
  Item(Item&& other) : name(other.name) {}
  Item& operator=(Item&& other) {
    name = other.name;
    return *this;
  }
#endif
  std::string name;
  const std::string& key() const {
    return name;
  }
  void copy_key_data_from(const Item&) {}
};

struct Store {
  struct transaction_type {};
  std::optional<Item> find(const std::string&) { return std::nullopt; }
  transaction_type begin_tx() { return {}; }
  void save(Item&, transaction_type&) {}
  void commit_tx(transaction_type&) {}
  void info(std::string_view) {}
  void warn(std::string_view) {}
};

int main() {
  lazywriter::LazyWriterCache<Item, Store> cache{Store{}};
}
