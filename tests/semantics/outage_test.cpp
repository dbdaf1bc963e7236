// What a store that was away, and items that it does not take, cost: in transactions (P5).
// CTEST_TIMEOUT: 300
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "support/eventually.hpp"
#include "support/manual_cache.hpp"
#include "support/plain_store.hpp"

namespace lazywriter::testing {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

void put_numbers(Cache& cache, int count) {
  for (int i = 0; i < count; ++i)
    cache.put({std::to_string(i), i});
}

/// Effect: passes until nothing is dirty. Returns: how many transactions that took.
std::size_t transactions_until_clean(Cache& cache, Store& store) {
  const std::size_t before = store.calls(StoreCall::begin_tx);
  for (int i = 0; i < 50 && cache.is_dirty(); ++i)
    cache.flush();
  EXPECT_FALSE(cache.is_dirty());
  return store.calls(StoreCall::begin_tx) - before;
}

TEST(Outage, WhateverItsKindAndLengthAHealthyStoreIsAtFullBatchesWithinAFewTransactions) {
  constexpr int items = 1'000;
  for (const auto call : {StoreCall::begin_tx, StoreCall::save, StoreCall::commit_tx}) {
    for (const auto fault :
         {StoreFault::transient, StoreFault::unavailable, StoreFault::in_doubt}) {
      for (const int passes : {1, 10, 30}) {
        Store store;
        Cache cache{store, manual({.capacity = 0, .max_batch = 100, .shards = 8})};
        put_numbers(cache, items);
        store.fail_always(call, fault);
        for (int i = 0; i < passes; ++i)
          cache.flush();
        store.recover();
        EXPECT_LE(transactions_until_clean(cache, store), items / 100 + 30U)
            << static_cast<int>(call) << ' ' << static_cast<int>(fault) << ' ' << passes;
        EXPECT_EQ(store.size(), static_cast<std::size_t>(items));
      }
    }
  }
}

TEST(Outage, OneThatBeginsAndEndsBetweenTwoBatchesCostsNoMore) {
  Store store;
  Cache cache{store, manual({.capacity = 0, .max_batch = 100, .shards = 8})};
  put_numbers(cache, 5'000);
  store.on_call([begun = 0](StoreCall call, FaultTime time) mutable {
    if (call != StoreCall::begin_tx || time != FaultTime::before_effect) return;
    if (++begun > 10 && begun <= 40) throw StoreDown("gone");
  });
  EXPECT_LE(transactions_until_clean(cache, store), 50U + 30U + 30U);
  EXPECT_EQ(store.size(), 5'000U);
}

TEST(Outage, WritesThatCameInOneByOneWhileTheStoreWasAwayGoOutTogether) {
  Store store;
  Cache cache{store, manual({.capacity = 0})};
  store.fail_always(StoreCall::save);
  for (int i = 0; i < 200; ++i) {
    cache.put({std::to_string(i), i});
    cache.flush();
  }
  store.recover();
  EXPECT_LE(transactions_until_clean(cache, store), 31U);
}

// ---- many bad items

struct BadItems {
  std::size_t count;
  StoreFault fault;
  std::size_t max_batch;
  /// Passes before the good one is written.
  int passes;
};

class ManyBadItems : public ::testing::TestWithParam<BadItems> {};

TEST_P(ManyBadItems, DoNotHoldUpAGoodOne) {
  const BadItems& bad = GetParam();
  Store store;
  Cache cache{store, manual({.capacity = 0, .max_batch = bad.max_batch, .park_after = 1'000})};
  for (std::size_t i = 0; i < bad.count; ++i) {
    store.reject(std::to_string(i), "no", StoreCall::save, bad.fault);
    cache.put({std::to_string(i), 1});
  }
  for (int i = 0; i < bad.passes; ++i)
    cache.flush();
  cache.put({"good", 1});
  const std::size_t before = store.calls(StoreCall::begin_tx);
  cache.flush();
  if (!store.row("good")) cache.flush();
  EXPECT_TRUE(store.row("good"));
  EXPECT_EQ(cache.dirty_count(), bad.count);
  const std::size_t log2 = std::bit_width(bad.max_batch);
  EXPECT_LE(store.calls(StoreCall::begin_tx) - before,
            bad.count / bad.max_batch + 2 * bad.count * log2 + 2 * bad.max_batch + 2);
}

INSTANTIATE_TEST_SUITE_P(Storms, ManyBadItems,
                         ::testing::Values(BadItems{40, StoreFault::transient, 1'000, 0},
                                           BadItems{40, StoreFault::transient, 1, 0},
                                           BadItems{40, StoreFault::transient, 1, 10},
                                           BadItems{40, StoreFault::transient, 7, 3},
                                           BadItems{40, StoreFault::rejected, 1'000, 0},
                                           BadItems{40, StoreFault::rejected, 1, 0},
                                           BadItems{40, StoreFault::rejected, 1, 10},
                                           BadItems{10'000, StoreFault::transient, 1'000, 0},
                                           BadItems{10'000, StoreFault::transient, 1'000, 1},
                                           BadItems{10'000, StoreFault::transient, 1'000, 5},
                                           BadItems{10'000, StoreFault::rejected, 1'000, 0},
                                           BadItems{10'000, StoreFault::rejected, 1'000, 2}));

TEST(ManyBadItems, AmongGoodOnesLeaveAllOfThoseStored) {
  for (const auto fault : {StoreFault::transient, StoreFault::rejected}) {
    Store store;
    Cache cache{store, manual({.capacity = 0, .park_after = 1'000})};
    put_numbers(cache, 10'000);
    for (int i = 0; i < 10'000; i += 100)
      store.reject(std::to_string(i), "no", StoreCall::save, fault);
    cache.flush();
    EXPECT_EQ(store.size(), 9'900U);
    EXPECT_EQ(cache.dirty_count(), 100U);
  }
}

TEST(ManyBadItems, ThatAreRejectedAreHalvedOnceAndThenCostAtMostABatchAPass) {
  constexpr std::size_t bad = 500;
  Store store;
  Cache cache{store, manual({.capacity = 0, .max_batch = 100, .park_after = 3})};
  for (std::size_t i = 0; i < bad; ++i) {
    store.reject(std::to_string(i));
    cache.put({std::to_string(i), 1});
  }
  cache.flush();
  EXPECT_LE(store.calls(StoreCall::begin_tx), bad / 100 + 2 * bad * 7 + 100);
  int passes = 0;
  for (; cache.parked().size() != bad && passes < 40; ++passes) {
    const std::size_t before = store.calls(StoreCall::begin_tx);
    cache.flush();
    EXPECT_LE(store.calls(StoreCall::begin_tx) - before, 100U);
  }
  EXPECT_EQ(cache.parked().size(), bad);
}

TEST(ManyBadItems, NeverMakeTheLoopBackOff) {
  Store store;
  CacheConfig config = manual({.capacity = 0});
  config.flush_interval = 1ms;
  config.retry_backoff_min = 1ms;  // a bad one may be alone in a pass; it must not grow from there
  config.retry_backoff_max = 1h;
  Cache cache{store, config};
  for (int i = 0; i < 40; ++i)
    store.reject("bad" + std::to_string(i), "no", StoreCall::save, StoreFault::transient);
  cache.put({"first", 1});
  ASSERT_TRUE(eventually([&] { return store.row("first").has_value(); }));
  for (int i = 0; i < 40; ++i) {
    cache.put({"bad" + std::to_string(i), 1});
    cache.put({"good" + std::to_string(i), 1});
    ASSERT_TRUE(eventually([&] { return store.row("good" + std::to_string(i)).has_value(); }));
  }
  EXPECT_EQ(cache.dirty_count(), 40U);
}

TEST(ManyBadItems, MakeWayForWhatIsWrittenMeanwhile) {
  constexpr int bad = 200;
  Store store;
  Cache cache{store, manual({.capacity = 0, .max_batch = 64, .park_after = 1'000})};
  for (int i = 0; i < bad; ++i) {
    store.reject(std::to_string(i));
    cache.put({std::to_string(i), 1});
  }
  cache.flush();
  std::size_t retries = 0;
  store.on_call([&](StoreCall call, FaultTime time) {
    if (call != StoreCall::begin_tx || time != FaultTime::before_effect) return;
    if (++retries == 1) cache.put({"good", 1});
  });
  cache.flush();
  EXPECT_LE(retries, 16U);
  cache.flush();
  EXPECT_TRUE(store.row("good"));
}

/// Of 1,000 items every 25th is bad, and so many more are written with every transaction: there is
/// always something newer to make way for.
class BadAmongGood : public ::testing::TestWithParam<std::tuple<StoreFault, int>> {};

TEST_P(BadAmongGood, AreFoundByHalvesHoweverOftenThePassMakesWay) {
  const int written_meanwhile = std::get<1>(GetParam());
  Store store;
  Cache cache{store, manual({.capacity = 0, .park_after = 1'000})};
  put_numbers(cache, 1'000);
  for (int i = 0; i < 1'000; i += 25)
    store.reject(std::to_string(i), "no", StoreCall::save, std::get<0>(GetParam()));
  int written = 0;
  store.on_call([&](StoreCall call, FaultTime time) {
    if (call != StoreCall::begin_tx || time != FaultTime::before_effect) return;
    for (int i = 0; i < written_meanwhile; ++i)
      cache.put({"new" + std::to_string(++written), 1});
  });
  for (int i = 0; i < 20; ++i)
    cache.flush();
  int stored = 0;
  for (int i = 0; i < 1'000; ++i)
    stored += store.row(std::to_string(i)) ? 1 : 0;
  EXPECT_EQ(stored, 960);
}

INSTANTIATE_TEST_SUITE_P(AtAnyRate, BadAmongGood,
                         ::testing::Combine(::testing::Values(StoreFault::rejected,
                                                              StoreFault::transient),
                                            ::testing::Values(1, 200)));

TEST(ManyBadItems, HideAGoodOneThatCameWithThemForAFewPassesOnly) {
  constexpr int bad = 10'500;
  Store store;
  Cache cache{store, manual({.capacity = 0})};
  for (int i = 0; i < bad; ++i) {
    store.reject(std::to_string(i), "no", StoreCall::save, StoreFault::transient);
    cache.put({std::to_string(i), 1});
  }
  cache.put({"good", 1});
  for (int i = 0; i < 4; ++i)
    cache.flush();
  EXPECT_TRUE(store.row("good"));
}

TEST(ManyBadItems, AreRetriedABoundedNumberOfTimesWhileTheStoreTakesNothing) {
  Store store;
  Cache cache{store, manual({.capacity = 0})};
  store.fail_always(StoreCall::save);
  for (int i = 0; i < 600; ++i) {
    cache.put({std::to_string(i), 1});
    if (i % 10 == 0) cache.flush();
  }
  const std::size_t before = store.calls(StoreCall::begin_tx);
  cache.flush();
  EXPECT_LE(store.calls(StoreCall::begin_tx) - before, 80U + 64U);
}

TEST(ManyBadItems, AreAllRetriedHoweverLargeABatchMayBe) {
  Store store;
  Cache cache{store, manual({.capacity = 0, .max_batch = static_cast<std::size_t>(-1)})};
  for (int i = 0; i < 40; ++i) {
    store.reject("a", "no", StoreCall::save, StoreFault::transient);
    cache.put({"a", i});
    cache.put({"b", i});
    EXPECT_EQ(cache.flush().pending, 1U);
    store.accept("a");
    EXPECT_TRUE(cache.flush().ok()) << i;
  }
}

// ---- what is said of them

/// An item is rejected often enough to be parked, but not for long enough.
CacheConfig never_parking() {
  CacheConfig config = manual({.capacity = 0, .park_after = 2});
  config.retry_backoff_max = 1h;
  return config;
}

TEST(BadItem, IsNamedOnceInTheLogAndListedByFailing) {
  for (const auto fault : {StoreFault::transient, StoreFault::rejected}) {
    Store store;
    Cache cache{store, never_parking()};
    put_numbers(cache, 100);
    store.reject("37", "cannot serialise", StoreCall::save, fault);
    for (int i = 0; i < 5; ++i)
      cache.flush();
    EXPECT_THAT(store.warnings(), ElementsAre(HasSubstr("\"37\" failed alone")));
    EXPECT_THAT(store.warnings(), Contains(HasSubstr("cannot serialise")));
    const auto failing = cache.failing();
    ASSERT_THAT(failing, SizeIs(1));
    EXPECT_EQ(failing[0].key, "37");
    EXPECT_EQ(failing[0].item->value, 37);
    EXPECT_EQ(failing[0].error, "cannot serialise");
    store.accept("37");
    EXPECT_TRUE(cache.flush(20s).ok());
    EXPECT_TRUE(cache.failing().empty());
  }
}

TEST(BadItem, IsNamedOnceHoweverOftenItIsWrittenUntilItIsStored) {
  Store store;
  Cache cache{store, manual()};
  for (std::size_t times = 1; times <= 2; ++times) {
    store.reject("bad", "no", StoreCall::save, StoreFault::transient);
    for (int i = 0; i < 10; ++i) {
      cache.put({"bad", i});
      cache.put({"good", i});
      cache.flush();
    }
    EXPECT_THAT(store.warnings(), SizeIs(times));
    store.accept("bad");
    EXPECT_TRUE(cache.flush(20s).ok());
  }
}

TEST(BadItem, ThatIsParkedIsListedByFailing) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  store.reject("a");
  cache.flush();
  EXPECT_EQ(cache.parked().size(), 1U);
  EXPECT_EQ(cache.failing().size(), 1U);
}

TEST(BadItem, AWaveOfThemDoesNotFloodTheLog) {
  Store store;
  Cache cache{store, never_parking()};
  put_numbers(cache, 1'000);
  for (int i = 0; i < 1'000; i += 2)
    store.reject(std::to_string(i));
  cache.flush();
  EXPECT_THAT(store.warnings(), SizeIs(0)) << "what is in its way may go soon";
  cache.flush();
  EXPECT_THAT(store.warnings(), SizeIs(17));
  EXPECT_THAT(store.warnings().back(), HasSubstr("484 more"));
}

TEST(BadItem, TheOnlyOneThatIsDirtyIsNotNamedBeforeTheStoreTakesAnother) {
  Store store;
  Cache cache{store, manual()};
  store.reject("a", "no", StoreCall::save, StoreFault::transient);
  cache.put({"a", 1});
  cache.flush();
  EXPECT_THAT(store.warnings(), ElementsAre(HasSubstr("the store does not take writes")));
  cache.put({"b", 1});
  cache.flush();
  EXPECT_THAT(store.warnings(), SizeIs(2));
  EXPECT_THAT(store.warnings()[1], HasSubstr("\"a\" failed alone"));
  EXPECT_THAT(store.infos(), ElementsAre(HasSubstr("takes writes again")));
}

TEST(BadItem, ThatBreaksTheStoreIsFound) {
  Store store;
  Cache cache{store, manual({.capacity = 0})};
  put_numbers(cache, 2'000);
  store.reject("37", "1.4 GB", StoreCall::save, StoreFault::unavailable);
  for (int i = 0; i < 3; ++i)
    cache.flush();
  EXPECT_EQ(store.size(), 1'999U);
  EXPECT_EQ(cache.dirty_count(), 1U);
  EXPECT_TRUE(cache.parked().empty());
  EXPECT_THAT(store.warnings(), Contains(HasSubstr("\"37\" failed alone")));
  EXPECT_LE(store.calls(StoreCall::begin_tx), 1U + 1U + 2U + 2 * 11U + 10U);
}

TEST(BadItem, ThatBreaksTheStoreIsNotTakenForAnOutageOnceItIsKnown) {
  Store store;
  CacheConfig config = manual({.capacity = 0});
  config.flush_interval = 1ms;
  config.retry_backoff_min = 1ms;
  config.retry_backoff_max = 2ms;
  Cache cache{store, config};
  store.reject("bad", "1.4 GB", StoreCall::save, StoreFault::unavailable);
  cache.put({"bad", 1});
  cache.put({"good", 1});
  ASSERT_TRUE(eventually([&] { return cache.dirty_count() == 1; }));
  ASSERT_TRUE(eventually([&] { return store.infos().size() == 1; }));
  const std::size_t begun = store.calls(StoreCall::begin_tx);
  store.wait_for_calls(StoreCall::begin_tx, begun + 5);  // it is retried, all alone
  EXPECT_THAT(store.warnings(), UnorderedElementsAre(HasSubstr("does not take writes"),
                                                     HasSubstr("\"bad\" failed alone")));
}

TEST(Outage, ThatBeginsWithinAPassIsBlamedOnNoItem) {
  for (const auto fault : {StoreFault::transient, StoreFault::unavailable}) {
    Store store;
    Cache cache{store, manual({.capacity = 0, .max_batch = 100})};
    put_numbers(cache, 3'000);
    store.fail_next(StoreCall::save, 1, StoreFault::unavailable);
    cache.flush();
    store.on_call([&, saves = 0](StoreCall call, FaultTime time) mutable {
      if (call == StoreCall::save && time == FaultTime::before_effect && ++saves == 5) {
        store.fail_always(StoreCall::save, fault);
      }
    });
    EXPECT_GT(cache.flush().written, 0U);
    cache.flush();
    store.on_call(nullptr);
    store.recover();
    EXPECT_TRUE(cache.flush(20s).ok());
    EXPECT_THAT(store.warnings(), Each(HasSubstr("the store does not take writes")));
  }
}

TEST(Outage, OfWhatFailedAloneIsToldWithItsReason) {
  for (const auto call : {StoreCall::begin_tx, StoreCall::save}) {
    Store store;
    Cache cache{store, manual()};
    store.reject("bad", "no", StoreCall::save, StoreFault::transient);
    cache.put({"bad", 1});
    cache.put({"good", 1});
    cache.flush();
    store.fail_always(call, StoreFault::unavailable);
    cache.flush();
    EXPECT_THAT(store.warnings().back(), HasSubstr("tried again: the store is away"));
  }
}

TEST(Outage, AnUnavailableStoreIsAskedWithOneEntryAnotherOneEachTime) {
  Store store;
  std::vector<std::vector<std::string>> transactions;
  store.on_call([&](StoreCall call, FaultTime when) {
    if (call == StoreCall::begin_tx && when == FaultTime::before_effect)
      transactions.emplace_back();
  });
  store.on_save([&](Account& account) { transactions.back().push_back(account.login); });
  Cache cache{store, manual()};
  put_numbers(cache, 5);
  store.fail_always(StoreCall::commit_tx, StoreFault::unavailable);
  for (int i = 0; i < 6; ++i)
    cache.flush();
  ASSERT_THAT(transactions, SizeIs(6));
  EXPECT_THAT(transactions[0], SizeIs(5));
  std::set<std::string> probed;
  for (std::size_t i = 1; i < 6; ++i) {
    EXPECT_THAT(transactions[i], SizeIs(1));
    probed.insert(transactions[i][0]);
  }
  EXPECT_THAT(probed, SizeIs(5));
  store.recover();
  transactions.clear();
  EXPECT_TRUE(cache.flush().ok());
  ASSERT_THAT(transactions, SizeIs(2));
  EXPECT_THAT(transactions[1], SizeIs(4));
}

// ---- deadlines

TEST(Deadline, AnAdapterWithoutBatchesMakesProgressUnderAnyThatAllowsForOneSave) {
  Store store;
  std::size_t saves = 0;
  auto deadline = std::chrono::steady_clock::now();
  store.on_call([&](StoreCall call, FaultTime when) {
    if (when != FaultTime::before_effect) return;
    if (call == StoreCall::begin_tx) saves = 0;
    if (call != StoreCall::save || ++saves < 5) return;
    while (std::chrono::steady_clock::now() < deadline)
      std::this_thread::yield();
  });
  LazyWriterCache cache{PlainStore<Account>{store}, manual()};
  for (int i = 0; i < 64; ++i)
    cache.put({std::to_string(i), i});
  for (int i = 0; i < 30 && cache.is_dirty(); ++i) {
    deadline = std::chrono::steady_clock::now() + 20ms;
    cache.flush(20ms);
  }
  EXPECT_EQ(store.size(), 64U);
}

TEST(Deadline, DoesNotHideWhyItTookSoLong) {
  Store store;
  auto deadline = std::chrono::steady_clock::now() + 1h;
  int begun = 0;
  store.on_call([&](StoreCall call, FaultTime when) {
    if (call != StoreCall::begin_tx || when != FaultTime::before_effect) return;
    if (++begun == 1) throw StoreDown("out of disk");
    while (std::chrono::steady_clock::now() < deadline)
      std::this_thread::yield();
  });
  Cache cache{store, manual()};
  cache.put({"a", 1});
  deadline = std::chrono::steady_clock::now() + 50ms;
  EXPECT_EQ(cache.flush(50ms).error, "out of disk");
}

// ---- names

TEST(Log, EveryLineBeginsWithTheNameOfTheCache) {
  Store store;
  Cache cache{store, manual({.name = "accounts"})};
  store.fail_next(StoreCall::begin_tx);
  cache.put({"a", 1});
  cache.flush();
  cache.flush();
  EXPECT_THAT(store.warnings(), ElementsAre("accounts: the store does not take writes, they are "
                                            "kept and tried again: the store is down"));
  EXPECT_THAT(store.infos(), ElementsAre("accounts: the store takes writes again"));
}

}  // namespace
}  // namespace lazywriter::testing
