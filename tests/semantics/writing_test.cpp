// What writes do: put, try_put, update, compute, erase, preload; key data; read your writes (P1).
#include <gtest/gtest.h>

#include <functional>
#include <list>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/manual_cache.hpp"
#include "support/plain_store.hpp"

namespace lazywriter::testing {
namespace {

TEST(Writing, APutIsSeenAtOnceAndDirty) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"ann", 1});
  EXPECT_EQ(value_of(cache.get("ann")), 1);
  EXPECT_EQ(cache.dirty_count(), 1U);
  EXPECT_EQ(store.size(), 0U);
  EXPECT_GT(cache.oldest_dirty_age().count(), 0);
}

TEST(Writing, PuttingAConstItemCopiesIt) {
  Store store;
  Cache cache{store, manual()};
  const Account ann{long_key("ann"), 1};
  cache.put(ann);
  EXPECT_EQ(ann.login, long_key("ann"));
  EXPECT_TRUE(cache.try_put({long_key("ann"), 2}));
  EXPECT_EQ(seen(cache, long_key("ann")), 2);
}

TEST(Writing, ManyWritesOfOneKeyCostOneRow) {
  Store store;
  Cache cache{store, manual()};
  for (int i = 1; i <= 10; ++i)
    cache.put({"ann", i});
  EXPECT_EQ(cache.dirty_count(), 1U);
  EXPECT_EQ(cache.flush().written, 1U);
  EXPECT_EQ(store.row("ann")->value, 10);
  EXPECT_EQ(cache.stats().puts, 10U);
  EXPECT_EQ(cache.stats().flushed_items, 1U);
}

TEST(Writing, UpdateChangesInPlaceAndLoadsOnAMiss) {
  Store store;
  store.insert({"ann", 7});
  Cache cache{store, manual()};
  EXPECT_TRUE(cache.update("ann", [](Account& account) { ++account.value; }));
  EXPECT_EQ(seen(cache, "ann"), 8);
  EXPECT_TRUE(cache.is_dirty());
  EXPECT_FALSE(cache.update("bob", [](Account&) { FAIL(); }));
  cache.erase("ann");
  EXPECT_FALSE(cache.update("ann", [](Account&) { FAIL(); }));
}

/// Two answers, by what it is given; and members of its own.
struct Overloaded {
  bool operator()(Account& account) const { return ++account.value != 0; }
  void operator()(const Account&) const {}
  void operator()(std::optional<Account>& account) const { ++account->value; }
};
struct Level {
  std::string name;
  int value = 0;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Level&) {}
  void raise() { ++value; }
  bool raise_to_ten() noexcept { return std::exchange(value, 10) != 10; }
  const bool& is_low() const { return low; }
  bool low = true;
};

TEST(Writing, FunctionsOfEveryKindAreTaken) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"ann", 0});
  cache.update("ann", [](auto& account) { ++account.value; });
  cache.update("ann", Overloaded{});
  cache.update("ann",
               std::function<bool(Account&)>([](Account& account) { return ++account.value; }));
  cache.compute("ann", std::function<void(std::optional<Account>&)>(Overloaded{}));
  cache.compute("ann", Overloaded{});
  cache.compute("ann", [](auto& account) { return ++account->value != 0; });
  EXPECT_EQ(seen(cache, "ann"), 6);
  int calls = 0;
  cache.for_each([&](const auto&) { ++calls; });
  cache.for_each(Overloaded{});
  cache.for_each(std::function<bool(const Account&)>([&](const Account&) { return ++calls < 0; }));
  EXPECT_EQ(calls, 2);

  LazyWriterCache<Level, MemoryReaderWriter<Level>> levels{MemoryReaderWriter<Level>{}, manual()};
  levels.put({"a"});
  levels.flush();
  levels.update("a", &Level::raise);
  EXPECT_TRUE(levels.is_dirty());
  levels.update("a", &Level::raise_to_ten);
  EXPECT_EQ(levels.flush().written, 1U);
  levels.update("a", &Level::raise_to_ten);
  EXPECT_FALSE(levels.is_dirty());
  levels.for_each(&Level::is_low);
  EXPECT_TRUE(levels.visit("a", &Level::is_low));
}

TEST(Writing, AnUpdateThatChangedNothingLeavesTheEntryAsItWas) {
  Store store;
  store.insert({"ann", 7});
  Cache cache{store, manual()};
  EXPECT_TRUE(cache.update("ann", [](Account&) { return false; }));
  EXPECT_FALSE(cache.is_dirty());
  EXPECT_TRUE(cache.update("ann", [](Account&) { return true; }));
  EXPECT_TRUE(cache.is_dirty());
  EXPECT_TRUE(cache.update("ann", [](Account&) { return false; }));
  EXPECT_TRUE(cache.is_dirty());
}

TEST(Writing, AnUpdateThatThrowsKeepsWhatItDidAndIsDirty) {
  Store store;
  store.insert({"ann", 7});
  Cache cache{store, manual()};
  EXPECT_THROW(cache.update("ann",
                            [](Account& account) {
                              account.value = 8;
                              throw std::runtime_error("mine");
                            }),
               std::runtime_error);
  EXPECT_EQ(seen(cache, "ann"), 8);
  EXPECT_TRUE(cache.is_dirty());
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(store.row("ann")->value, 8);
}

TEST(Writing, AnUpdateThatChangesTheKeyParksTheItemUnderTheOldOne) {
  for (const bool throws : {false, true}) {
    Store store;
    store.insert({"ann", 7});
    Cache cache{store, manual()};
    EXPECT_ANY_THROW(cache.update("ann", [&](Account& account) {
      account.login = long_key("bob");
      if (throws) throw std::runtime_error("mine");
    }));
    ASSERT_EQ(cache.parked().size(), 1U);
    EXPECT_EQ(cache.parked()[0].key, "ann");
    EXPECT_TRUE(cache.contains("ann"));
    EXPECT_FALSE(cache.contains(long_key("bob")));
    EXPECT_EQ(cache.dirty_count(), 0U);
    EXPECT_EQ(cache.flush().parked, 1U);
    EXPECT_EQ(store.size(), 1U);
    // A new write heals it.
    cache.put({"ann", 9});
    EXPECT_TRUE(cache.flush().ok());
    EXPECT_EQ(store.row("ann")->value, 9);
    EXPECT_TRUE(cache.parked().empty());
  }
}

TEST(Writing, AChangedKeyIsNamedToTheCaller) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"ann", 1});
  EXPECT_THROW(cache.update("ann", [](Account& account) { account.login = "bob"; }), KeyChanged);
  EXPECT_TRUE(cache.discard_parked("ann"));
  EXPECT_FALSE(cache.contains("ann"));
  EXPECT_EQ(cache.size(), 0U);
  EXPECT_EQ(cache.stats().parkings, 1U);
}

TEST(Writing, ADisplacedItemIsNeverSavedUnderItsOtherKey) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"ann", 1});
  EXPECT_THROW(cache.update("ann", [](Account& account) { account.login = "bob"; }), KeyChanged);
  cache.retry_parked();
  (void)cache.flush();
  EXPECT_FALSE(store.row("bob"));
  EXPECT_EQ(cache.parked().size(), 1U);
}

TEST(Writing, ADisplacedItemCanBeErased) {
  Store store;
  store.insert({"ann", 7});
  Cache cache{store, manual()};
  EXPECT_THROW(cache.update("ann", [](Account& account) { account.login = "bob"; }), KeyChanged);
  cache.erase("ann");
  EXPECT_FALSE(cache.get("ann"));
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_FALSE(store.row("ann"));
}

TEST(Writing, ComputeCreatesChangesAndErases) {
  Store store;
  store.insert({"ann", 7});
  Cache cache{store, manual()};
  EXPECT_TRUE(cache.compute("bob", [](std::optional<Account>& item) {
    EXPECT_FALSE(item);
    item = Account{"bob", 1};
  }));
  EXPECT_TRUE(cache.compute("ann", [](std::optional<Account>& item) { ++item->value; }));
  EXPECT_EQ(seen(cache, "bob"), 1);
  EXPECT_EQ(seen(cache, "ann"), 8);
  EXPECT_FALSE(cache.compute("ann", [](std::optional<Account>& item) { item.reset(); }));
  EXPECT_FALSE(cache.get("ann"));
  EXPECT_EQ(cache.stats().puts, 2U);
  EXPECT_EQ(cache.stats().erases, 1U);
  EXPECT_EQ(cache.flush().erased, 1U);
  EXPECT_FALSE(store.row("ann"));
}

TEST(Writing, ComputeThatKeepsAnAbsentItemAbsentChangesNothing) {
  Store store;
  Cache cache{store, manual()};
  EXPECT_FALSE(cache.compute("ann", [](std::optional<Account>&) {}));
  EXPECT_FALSE(cache.is_dirty());
  EXPECT_EQ(cache.stats().erases, 0U);
  EXPECT_EQ(cache.stats().puts, 0U);
}

TEST(Writing, ComputeIsAllOrNothing) {
  Store store;
  store.insert({"ann", 7});
  Cache cache{store, manual()};
  EXPECT_THROW(cache.compute("ann",
                             [](std::optional<Account>& item) {
                               item->value = 8;
                               throw std::runtime_error("mine");
                             }),
               std::runtime_error);
  EXPECT_THROW(cache.compute("ann", [](std::optional<Account>& item) { item->login = "bob"; }),
               KeyChanged);
  EXPECT_THROW(cache.compute("carl",
                             [](std::optional<Account>& item) {
                               item = Account{"bob", 1};
                             }),
               KeyChanged);
  EXPECT_EQ(seen(cache, "ann"), 7);
  EXPECT_FALSE(cache.contains("bob"));
  EXPECT_FALSE(cache.contains("carl"));
  EXPECT_FALSE(cache.is_dirty());
}

TEST(Writing, AComputeThatPromisesNoChangeIsTakenAtItsWord) {
  Store store;
  store.insert({"ann", 7});
  Cache cache{store, manual()};
  EXPECT_TRUE(cache.compute("ann", [](std::optional<Account>&) { return false; }));
  EXPECT_FALSE(cache.compute("bob", [](std::optional<Account>&) { return false; }));
  EXPECT_FALSE(cache.is_dirty());
}

TEST(Writing, AnEmptyingComputeNeedsAnEraser) {
  Store store;
  store.insert({"ann", 7});
  LazyWriterCache cache{PlainStore<Account>{store}, manual()};
  EXPECT_THROW(cache.compute("ann", [](std::optional<Account>& item) { item.reset(); }),
               std::logic_error);
  EXPECT_EQ(seen(cache, "ann"), 7);
  EXPECT_FALSE(cache.is_dirty());
  EXPECT_FALSE(cache.compute("bob", [](std::optional<Account>& item) { item.reset(); }));
}

TEST(Writing, AnEraseOfWhatIsNotResidentReachesTheStore) {
  Store store;
  store.insert({"ann", 7});
  Cache cache{store, manual()};
  cache.erase("ann");
  EXPECT_EQ(cache.dirty_count(), 1U);
  const FlushResult result = cache.flush();
  EXPECT_EQ(result.erased, 1U);
  EXPECT_EQ(result.written, 0U);
  EXPECT_TRUE(result.ok());
  EXPECT_FALSE(store.row("ann"));
  EXPECT_EQ(cache.stats().flushed_erases, 1U);
}

TEST(Writing, EraseThenPutBeforeAFlushIsANewRow) {
  Store store;
  generate_ids(store);
  Cache cache{store, manual()};
  cache.put({"ann", 1});
  cache.flush();
  EXPECT_EQ(cache.peek("ann")->id, 1);
  cache.erase("ann");
  cache.put({"ann", 2});
  EXPECT_EQ(cache.peek("ann")->id, 0);
  const FlushResult result = cache.flush();
  EXPECT_EQ(result.written, 1U);
  EXPECT_EQ(result.erased, 1U);
  EXPECT_EQ(store.calls(StoreCall::begin_tx), 2U) << "both in one transaction";
  EXPECT_EQ(cache.peek("ann")->id, 2);
  EXPECT_EQ(store.row("ann")->id, 2);
  cache.put({"ann", 3});
  EXPECT_EQ(cache.flush().erased, 0U) << "the erase is committed";
  EXPECT_EQ(store.row("ann")->id, 2);
}

TEST(Writing, APutKeepsTheKeyDataOfTheResidentItem) {
  Store store;
  generate_ids(store);
  Cache cache{store, manual()};
  cache.put({"ann", 1});
  cache.flush();
  cache.put({"ann", 2, 99});
  EXPECT_EQ(cache.peek("ann")->id, 1);
  EXPECT_EQ(cache.peek("ann")->value, 2);
}

TEST(Writing, WhatTheStoreGeneratedComesBackIntoTheItem) {
  Store store;
  generate_ids(store);
  LazyWriterCache cache{ErasingStore<Account>{store}, manual()};
  cache.put({"ann", 1});
  cache.put({"bob", 1});
  cache.flush();
  EXPECT_EQ(cache.peek("ann")->id, 1);
  EXPECT_EQ(cache.peek("bob")->id, 2);
  EXPECT_FALSE(cache.is_dirty());
}

TEST(Writing, PreloadTakesInCleanItemsAndNeverOverAResidentOne) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"ann", 1});
  cache.erase("bob");
  std::list<Account> rows{{"ann", 10}, {"bob", 20}, {"carl", 30}, {"carl", 31}};
  EXPECT_EQ(cache.preload(rows), 1U);
  EXPECT_EQ(seen(cache, "ann"), 1);
  EXPECT_EQ(seen(cache, "bob"), std::nullopt);
  EXPECT_EQ(seen(cache, "carl"), 30);
  EXPECT_EQ(cache.dirty_count(), 2U);
  EXPECT_EQ(cache.stats().preloads, 1U);
  EXPECT_EQ(cache.preload(std::vector<Account>{{"dora", 40}}), 1U);
}

TEST(Writing, InvalidateForgetsOnlyCleanCopies) {
  Store store;
  store.insert({"ann", 7});
  Cache cache{store, manual()};
  EXPECT_TRUE(cache.invalidate("ann"));
  cache.get("ann");
  EXPECT_TRUE(cache.invalidate("ann"));
  EXPECT_FALSE(cache.contains("ann"));
  cache.put({"ann", 8});
  EXPECT_FALSE(cache.invalidate("ann"));
  EXPECT_EQ(seen(cache, "ann"), 8);
  cache.erase("ann");
  EXPECT_FALSE(cache.invalidate("ann"));
}

TEST(Writing, InvalidateAllFlushesFirstAndForgetsWhatIsClean) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"ann", 1});
  cache.put({"bob", 2});
  store.reject("bob");
  const FlushResult result = cache.invalidate_all();
  EXPECT_EQ(result.written, 1U);
  EXPECT_EQ(result.parked, 1U);
  EXPECT_FALSE(cache.contains("ann"));
  EXPECT_TRUE(cache.contains("bob"));
}

TEST(Writing, DiscardDirtyLeavesCleanValuesAndForgetsErases) {
  Store store;
  store.insert({"bob", 20});
  Cache cache{store, manual()};
  cache.put({"ann", 1});
  cache.erase("bob");
  cache.put({"carl", 3});
  store.reject("carl");
  EXPECT_EQ(cache.flush().parked, 1U);
  cache.put({"ann", 2});
  cache.erase("bob");
  EXPECT_EQ(cache.discard_dirty(), 2U);
  EXPECT_FALSE(cache.is_dirty());
  EXPECT_EQ(seen(cache, "ann"), 2);
  EXPECT_EQ(store.row("ann")->value, 1);
  EXPECT_EQ(cache.parked().size(), 1U);
  EXPECT_EQ(cache.flush().written, 0U);
}

TEST(Writing, AfterDiscardDirtyTheNextReadOfAnErasedKeyAsksTheStore) {
  Store store;
  store.insert({"bob", 20});
  Cache cache{store, manual()};
  cache.erase("bob");
  EXPECT_EQ(cache.discard_dirty(), 1U);
  EXPECT_EQ(value_of(cache.get("bob")), 20);
}

/// Knows how many of its copies live.
struct Alive {
  static inline int count = 0;
  Alive() { ++count; }
  Alive(const Alive&) { ++count; }
  Alive(Alive&&) noexcept { ++count; }
  Alive& operator=(const Alive&) = default;
  Alive& operator=(Alive&&) noexcept = default;
  ~Alive() { --count; }
};
struct AliveByReference {
  std::string name;
  Alive alive{};
  const std::string& key() const { return name; }
  void copy_key_data_from(const AliveByReference&) {}
};
struct AliveByValue {
  std::string name;
  Alive alive{};
  std::string key() const { return name; }
  void copy_key_data_from(const AliveByValue&) {}
};
/// All of one kind share a key that lies outside of them.
struct AliveByConstant {
  const std::string* name = &shared_name();
  Alive alive{};
  static const std::string& shared_name() {
    static const std::string name = long_key("ann");
    return name;
  }
  const std::string& key() const { return *name; }
  void copy_key_data_from(const AliveByConstant&) {}
};

template <class Item>
void expect_erased_items_to_be_released(const Item& item) {
  const std::string key = item.key();
  const int before = Alive::count;
  LazyWriterCache<Item, MemoryReaderWriter<Item>> cache{MemoryReaderWriter<Item>{}, manual()};
  cache.put(item);
  EXPECT_GT(Alive::count, before);
  cache.erase(key);
  EXPECT_EQ(Alive::count, before) << "erased";
  EXPECT_FALSE(cache.get(key).has_value());
  EXPECT_EQ(cache.dirty_count(), 1U);
  cache.put(item);
  EXPECT_TRUE(cache.peek(key).has_value());
  cache.compute(key, [](std::optional<Item>& value) { value.reset(); });
  EXPECT_EQ(Alive::count, before) << "emptied";
  EXPECT_FALSE(cache.get(key).has_value());
  EXPECT_EQ(cache.flush().erased, 1U);
  EXPECT_EQ(cache.dirty_count(), 0U);
  EXPECT_EQ(item.key(), key);
}

TEST(Writing, AnEraseKeepsTheKeyAlone) {
  expect_erased_items_to_be_released(AliveByReference{long_key("ann")});
  expect_erased_items_to_be_released(AliveByReference{"ann"});
  expect_erased_items_to_be_released(AliveByValue{long_key("ann")});
  expect_erased_items_to_be_released(AliveByConstant{});
  EXPECT_EQ(AliveByConstant::shared_name(), long_key("ann"));
}

}  // namespace
}  // namespace lazywriter::testing
