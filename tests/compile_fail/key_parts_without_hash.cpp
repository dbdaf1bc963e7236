// EXPECT: a part of the key needs a hash: specialise std::hash or
// EXPECT: HashedPart<Color
// EXPECT: HashedPart<Shape
#include <lazywriter/lazy_writer_cache.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

struct Color {
  int red{};
  bool operator==(const Color&) const = default;
};
struct Shape {
  int corners{};
  bool operator==(const Shape&) const = default;
};
#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
template <>
struct std::hash<Color> {
  std::size_t operator()(const Color& color) const { return std::hash<int>{}(color.red); }
};
template <>
struct lazywriter::key_hash<Shape> {
  std::size_t operator()(const Shape& shape) const { return std::hash<int>{}(shape.corners); }
};
#endif

using Key = std::pair<Color, std::tuple<std::string, std::optional<Shape>>>;

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
