// Names in the namespace of the user's types mean nothing to the library.
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "lazywriter/lazy_writer_cache.hpp"
#include "lazywriter/memory_reader_writer.hpp"
#include "lazywriter/no_op_reader_writer.hpp"

namespace greedy {

/// An allocator of this namespace brings its names into calls with strings.
template <class T>
struct Allocator : std::allocator<T> {
  Allocator() = default;
  template <class U>
  Allocator(const Allocator<U>&) noexcept {}  // NOLINT
  template <class U>
  struct rebind {
    using other = Allocator<U>;
  };
};

struct Key {
  std::basic_string<char, std::char_traits<char>, Allocator<char>> text;
  bool operator==(const Key&) const = default;
  Key* operator&() = delete;              // NOLINT
  const Key* operator&() const = delete;  // NOLINT
};

struct ByReference {
  Key name;
  int value = 0;
  const Key& key() const { return name; }
  void copy_key_data_from(const ByReference&) {}
  ByReference* operator&() = delete;              // NOLINT
  const ByReference* operator&() const = delete;  // NOLINT
};

struct ByValue {
  Key name;
  int value = 0;
  std::pair<Key, int> key() const { return {name, 0}; }
  void copy_key_data_from(const ByValue&) {}
};

struct Named {
  std::string name;
  int value = 0;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Named&) {}
};

template <class Item>
struct Store {
  using item_type = Item;
  using key_type = lazywriter::key_type_t<Item>;
  struct transaction_type {};
  std::optional<Item> find(const key_type&) { return std::nullopt; }
  transaction_type begin_tx() { return {}; }
  void save(Item&, transaction_type&) {
    if (fails) throw std::runtime_error("no");
    ++saved;
  }
  void erase(const key_type&, transaction_type&) {}
  void commit_tx(transaction_type&) {}
  lazywriter::WriteFailure classify(const std::exception&) {
    return lazywriter::WriteFailure::rejected;
  }
  void interrupt() noexcept {}
  void info(std::string_view) {}
  void warn(std::string_view) {}

  bool fails = false;
  std::size_t saved = 0;
};

template <class Item>
struct BatchStore : Store<Item> {
  using transaction_type = typename Store<Item>::transaction_type;
  void save_batch(std::span<Item> items, transaction_type& transaction) {
    for (Item& item : items)
      this->save(item, transaction);
  }
  void erase_batch(std::span<const typename Store<Item>::key_type>, transaction_type&) {}
};

#include "support/greedy_names.hpp"

}  // namespace greedy

template <>
struct std::hash<greedy::Key> {
  std::size_t operator()(const greedy::Key& key) const {
    return std::hash<std::string_view>{}(std::string_view(key.text.data(), key.text.size()));
  }
};

namespace lazywriter::testing {
namespace {

using namespace std::chrono_literals;

/// Effect: every member of the cache, once at least.
template <class Item, class ReaderWriter, class Break>
void use_everything(ReaderWriter store, Item a, Item b, Break set_failing) {
  const CacheConfig config{.capacity = 1,
                           .flush_interval = 0ms,
                           .prune_interval = 0ms,
                           .park_after = 1,
                           .retry_backoff_min = 0ms,
                           .retry_backoff_max = 0ms};
  LazyWriterCache<Item, ReaderWriter> cache{std::move(store), config};
  const auto key = a.key();
  const auto add = [](Item& item) { ++item.value; };
  cache.put(a);
  EXPECT_TRUE(cache.try_put(Item(b)));
  EXPECT_TRUE(cache.get(key).has_value());
  EXPECT_TRUE(cache.get_into(key, a));
  EXPECT_TRUE(cache.visit(key, [](const Item&) {}));
  EXPECT_TRUE(cache.peek(key).has_value());
  EXPECT_TRUE(cache.contains(key));
  cache.for_each([](const Item&) {});
  EXPECT_TRUE(cache.update(key, add));
  EXPECT_TRUE(cache.compute(key, [&](std::optional<Item>& item) { add(*item); }));
  EXPECT_TRUE(cache.flush().ok());
  cache.erase(key);
  EXPECT_TRUE(cache.flush(1s).ok());
  EXPECT_EQ(cache.preload(std::vector<Item>{a}), 1U);
  EXPECT_TRUE(cache.invalidate(key));
  EXPECT_EQ(cache.preload(std::vector<Item>{a}, cache.reading()), 1U);
  EXPECT_TRUE(cache.compute(key, [&](std::optional<Item>& item) { item = a; }));
  set_failing(cache.reader_writer(), true);
  cache.update(key, add);
  EXPECT_FALSE(cache.flush().ok());
  cache.flush();
  EXPECT_EQ(cache.parked().size(), 1U);
  EXPECT_EQ(cache.retry_parked(), 1U);
  cache.flush();
  EXPECT_TRUE(cache.discard_parked(key));
  set_failing(cache.reader_writer(), false);
  cache.put(a);
  EXPECT_EQ(cache.discard_dirty(), 1U);
  EXPECT_TRUE(cache.invalidate_all().ok());
  EXPECT_TRUE(cache.invalidate(key));
  cache.prune();
  EXPECT_EQ(cache.size() + cache.dirty_count(), 0U);
  EXPECT_FALSE(cache.is_dirty());
  EXPECT_EQ(cache.oldest_dirty_age(), 0ns);
  EXPECT_GT(cache.stats().puts, 0U);
  cache.put(b);
  EXPECT_TRUE(cache.close(1s).unsaved.empty());
}

template <class Item>
void use_every_store(const Item& a, const Item& b) {
  const auto set_failing = [](auto& store, bool fails) { store.fails = fails; };
  use_everything(greedy::Store<Item>{}, a, b, set_failing);
  use_everything(greedy::BatchStore<Item>{}, a, b, set_failing);
  MemoryReaderWriter<Item> memory;
  use_everything(memory, a, b, [key = a.key()](auto& store, bool fails) {
    if (fails) {
      store.reject(key);
    } else {
      store.accept(key);
    }
  });
  memory.insert(a);
  EXPECT_TRUE(memory.row(a.key()).has_value());
}

TEST(ForeignNames, NothingInTheNamespaceOfTheItemsIsCalled) {
  use_every_store(greedy::ByReference{{"a"}}, greedy::ByReference{{"b"}});
  use_every_store(greedy::ByValue{{"a"}}, greedy::ByValue{{"b"}});
  use_every_store(greedy::Named{"a"}, greedy::Named{"b"});
}

}  // namespace
}  // namespace lazywriter::testing
