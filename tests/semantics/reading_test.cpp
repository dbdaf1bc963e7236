// What reads answer: get, get_into, visit, peek, contains, for_each; loads and single flight (P9).
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/eventually.hpp"
#include "support/manual_cache.hpp"
#include "support/plain_store.hpp"

namespace lazywriter::testing {
namespace {

TEST(Reading, AMissAsksTheStoreOnceAndCachesACleanItem) {
  Store store;
  store.insert({"ann", 7});
  Cache cache{store, manual()};
  EXPECT_EQ(value_of(cache.get("ann")), 7);
  EXPECT_EQ(value_of(cache.get("ann")), 7);
  EXPECT_EQ(store.calls(StoreCall::find), 1U);
  EXPECT_FALSE(cache.is_dirty());
  EXPECT_EQ(cache.flush().written, 0U);
}

TEST(Reading, AnAbsentKeyIsNotCached) {
  Store store;
  Cache cache{store, manual()};
  EXPECT_FALSE(cache.get("ann"));
  store.insert({"ann", 7});
  EXPECT_EQ(value_of(cache.get("ann")), 7);
  EXPECT_EQ(cache.size(), 1U);
}

TEST(Reading, WithoutLookupOnMissTheCacheAloneAnswers) {
  Store store;
  store.insert({"ann", 7});
  Cache cache{store, manual({.lookup_on_miss = false})};
  EXPECT_FALSE(cache.get("ann"));
  EXPECT_FALSE(cache.visit("ann", [](const Account&) { FAIL(); }));
  EXPECT_FALSE(cache.update("ann", [](Account&) { FAIL(); }));
  EXPECT_TRUE(cache.compute("ann", [](std::optional<Account>& item) {
    EXPECT_FALSE(item);
    item = Account{"ann", 1};
  }));
  EXPECT_EQ(store.calls(StoreCall::find), 0U);
}

TEST(Reading, StringKeysAreTakenAsViewsAndLiterals) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"ann", 1});
  const std::string as_string = "ann";
  const std::string_view as_view = "ann and more";
  EXPECT_TRUE(cache.contains("ann"));
  EXPECT_TRUE(cache.contains(as_string));
  EXPECT_TRUE(cache.contains(as_view.substr(0, 3)));
  EXPECT_TRUE(cache.get(as_view.substr(0, 3)));
}

TEST(Reading, GetIntoLeavesTheTargetAloneWhenThereIsNoItem) {
  Store store;
  Cache cache{store, manual()};
  Account out{"target", 5};
  EXPECT_FALSE(cache.get_into("ann", out));
  EXPECT_EQ(out.login, "target");
  cache.put({"ann", 1});
  EXPECT_TRUE(cache.get_into("ann", out));
  EXPECT_EQ(out.value, 1);
}

TEST(Reading, VisitLoadsAndPassesOnWhatItsFunctionThrows) {
  Store store;
  store.insert({"ann", 7});
  Cache cache{store, manual()};
  int value = 0;
  EXPECT_TRUE(cache.visit("ann", [&](const Account& account) { value = account.value; }));
  EXPECT_EQ(value, 7);
  EXPECT_FALSE(cache.visit("bob", [](const Account&) { FAIL(); }));
  EXPECT_THROW(cache.visit("ann", [](const Account&) { throw std::runtime_error("mine"); }),
               std::runtime_error);
  EXPECT_EQ(seen(cache, "ann"), 7);
}

TEST(Reading, PeekContainsAndForEachAskNoStoreAndCountNothing) {
  Store store;
  store.insert({"ann", 7});
  Cache cache{store, manual()};
  EXPECT_FALSE(cache.peek("ann"));
  EXPECT_FALSE(cache.contains("ann"));
  cache.put({"bob", 1});
  EXPECT_TRUE(cache.peek("bob"));
  EXPECT_TRUE(cache.contains("bob"));
  cache.for_each([](const Account&) {});
  EXPECT_EQ(store.calls(StoreCall::find), 0U);
  EXPECT_EQ(cache.stats().hits, 0U);
  EXPECT_EQ(cache.stats().misses, 0U);
}

TEST(Reading, ForEachSeesAllVisibleItemsAndCanStop) {
  Store store;
  Cache cache{store, manual({.shards = 4})};
  for (int i = 0; i < 20; ++i)
    cache.put({std::to_string(i), i});
  cache.erase("7");
  std::vector<int> values;
  cache.for_each([&](const Account& account) { values.push_back(account.value); });
  EXPECT_EQ(values.size(), 19U);
  EXPECT_EQ(std::count(values.begin(), values.end(), 7), 0);
  int calls = 0;
  cache.for_each([&](const Account&) { return ++calls < 5; });
  EXPECT_EQ(calls, 5);
  EXPECT_THROW(cache.for_each([](const Account&) { throw 1; }), int);
}

/// The order in which a cache comes to its items, which follows from their hashes.
template <class Item, class MakeItem>
std::vector<int> order_of_items(MakeItem make) {
  LazyWriterCache<Item, MemoryReaderWriter<Item>> cache{MemoryReaderWriter<Item>{},
                                                        manual({.shards = 16})};
  for (int i = 0; i < 100; ++i)
    cache.put(make(i));
  std::vector<int> order;
  cache.for_each([&](const Item& item) { order.push_back(item.value); });
  return order;
}

template <class Item, class MakeItem>
void expect_hashes_of_its_own(MakeItem make) {
  const auto order = [&] { return order_of_items<Item>(make); };
  EXPECT_NE(order(), order()) << "two caches hash alike";
  const auto with_seed = [&](std::uint64_t number) {
    const detail::FixedHashSeed seed(number);
    return order();
  };
  EXPECT_EQ(with_seed(1), with_seed(1));
  EXPECT_NE(with_seed(1), with_seed(2));
}

TEST(Reading, EveryCacheHasHashesOfItsOwn) {
  expect_hashes_of_its_own<Account>([](int i) { return Account{std::to_string(i), i}; });
  expect_hashes_of_its_own<Counter>([](int i) { return Counter{i, i}; });
  expect_hashes_of_its_own<Cell>([](int i) { return Cell{i, "a", i}; });
}

TEST(Reading, AnErasedKeyIsAbsentWithoutAskingTheStore) {
  Store store;
  store.insert({"ann", 7});
  Cache cache{store, manual()};
  cache.erase("ann");
  EXPECT_FALSE(cache.get("ann"));
  EXPECT_FALSE(cache.contains("ann"));
  EXPECT_EQ(cache.size(), 0U);
  EXPECT_EQ(store.calls(StoreCall::find), 0U);
}

TEST(Reading, AFailedLoadReachesTheCallerAndCachesNothing) {
  Store store;
  store.insert({"ann", 7});
  store.fail_next(StoreCall::find);
  store.fail_next(StoreCall::find, 1, StoreFault::unknown);
  Cache cache{store, manual()};
  EXPECT_THROW(cache.get("ann"), StoreDown);
  EXPECT_THROW(cache.get("ann"), int);
  EXPECT_EQ(cache.size(), 0U);
  EXPECT_EQ(value_of(cache.get("ann")), 7);
  EXPECT_EQ(cache.stats().load_failures, 2U);
  EXPECT_EQ(cache.stats().loads, 1U);
}

/// Finds every key under another one.
struct MixingStore : PlainStore<Account> {
  using PlainStore::PlainStore;
  std::optional<Account> find(const std::string& key) { return Account{key + "?", 1}; }
};

TEST(Reading, AnItemUnderAnotherKeyBreaksTheContract) {
  LazyWriterCache<Account, MixingStore> cache{MixingStore{Store{}}, manual()};
  EXPECT_THROW(cache.get("ann"), StoreContractError);
  EXPECT_THROW(cache.update("ann", [](Account&) {}), StoreContractError);
  EXPECT_EQ(cache.size(), 0U);
  EXPECT_EQ(cache.stats().load_failures, 2U);
}

TEST(Reading, ConcurrentMissesOfOneKeyMakeOneFind) {
  Store store;
  store.insert({"ann", 7});
  Cache cache{store, manual()};
  const auto gate = block_at(store, StoreCall::find);
  auto loader = in_background([&] { return cache.get("ann"); });
  gate->wait_for_arrival();
  std::vector<std::future<std::optional<Account>>> readers;
  for (int i = 0; i < 3; ++i)
    readers.push_back(in_background([&] { return cache.get("ann"); }));
  EXPECT_TRUE(eventually([&] { return cache.stats().misses == 4; }));
  gate->open();
  EXPECT_EQ(value_of(loader.get()), 7);
  for (auto& reader : readers)
    EXPECT_EQ(value_of(reader.get()), 7);
  EXPECT_EQ(store.calls(StoreCall::find), 1U);
  EXPECT_EQ(cache.stats().loads, 1U);
}

/// A key that tells that it was compared.
struct WatchedKey {
  std::string text;
  static inline std::atomic<int> comparisons{0};
  bool operator==(const WatchedKey& other) const {
    ++comparisons;
    return text == other.text;
  }
};
struct Watched {
  WatchedKey name;
  int value = 0;
  const WatchedKey& key() const { return name; }
  void copy_key_data_from(const Watched&) {}
};

}  // namespace
}  // namespace lazywriter::testing

template <>
struct std::hash<lazywriter::testing::WatchedKey> {
  std::size_t operator()(const lazywriter::testing::WatchedKey& key) const {
    return std::hash<std::string>{}(key.text);
  }
};

namespace lazywriter::testing {
namespace {

TEST(Reading, ALoadThatThrowsReachesItsWaitersAsThatException) {
  MemoryReaderWriter<Watched> store;
  store.insert({{"ann"}, 7});
  store.fail_next(StoreCall::find);
  LazyWriterCache cache{store, manual()};
  const auto gate = block_at(store, StoreCall::find);
  auto loader = in_background([&] { return cache.get({"ann"}); });
  gate->wait_for_arrival();
  const int before = WatchedKey::comparisons;
  auto waiter = in_background([&] { return cache.get({"ann"}); });
  // Nothing but the load under way has a key.
  EXPECT_TRUE(eventually([&] { return WatchedKey::comparisons != before; }));
  gate->open();
  EXPECT_THROW(loader.get(), StoreDown);
  EXPECT_THROW(waiter.get(), StoreDown);
  EXPECT_EQ(store.calls(StoreCall::find), 1U);
  EXPECT_EQ(cache.get({"ann"}).value().value, 7);
}

TEST(Reading, AHitDoesNotWaitForALoadOfAnotherKey) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"bob", 1});
  const auto gate = block_at(store, StoreCall::find);
  auto loader = in_background([&] { return cache.get("ann"); });
  gate->wait_for_arrival();
  EXPECT_EQ(value_of(cache.get("bob")), 1);
  cache.put({"carl", 2});
  gate->open();
  EXPECT_FALSE(loader.get());
}

TEST(Reading, HitsAndMissesFollowTheirCountingRule) {
  Store store;
  store.insert({"ann", 7});
  Cache cache{store, manual()};
  cache.get("ann");                                      // miss, load
  cache.get("ann");                                      // hit
  cache.visit("ann", [](const Account&) {});             // hit
  cache.update("ann", [](Account&) { return false; });   // hit
  cache.compute("bob", [](std::optional<Account>&) {});  // miss, load
  Account out;
  cache.get_into("carl", out);  // miss, load
  cache.erase("ann");
  cache.get("ann");  // hit: absence is known
  const CacheStats stats = cache.stats();
  EXPECT_EQ(stats.hits, 4U);
  EXPECT_EQ(stats.misses, 3U);
  EXPECT_EQ(stats.loads, 3U);
  EXPECT_EQ(stats.puts, 0U);
  EXPECT_EQ(stats.erases, 1U);
}

TEST(Reading, IntegerAndTupleKeysWorkAlike) {
  MemoryReaderWriter<Counter> counters;
  counters.insert({5, 50});
  LazyWriterCache counter_cache{counters, manual()};
  EXPECT_EQ(counter_cache.get(5)->value, 50);
  counter_cache.put({6, 60});
  counter_cache.erase(5);
  EXPECT_TRUE(counter_cache.flush().ok());
  EXPECT_FALSE(counters.row(5));
  EXPECT_EQ(counters.row(6)->value, 60);

  MemoryReaderWriter<Cell> cells;
  LazyWriterCache cell_cache{cells, manual()};
  cell_cache.put({1, "a", 10});
  EXPECT_EQ(cell_cache.get({1, "a"})->value, 10);
  EXPECT_TRUE(cell_cache.flush().ok());
  EXPECT_TRUE(cells.row({1, "a"}));
}

}  // namespace
}  // namespace lazywriter::testing
