// What is bounded: unsaved entries by max_dirty, clean ones by capacity (P7).
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lazywriter/no_op_reader_writer.hpp"
#include "support/eventually.hpp"
#include "support/manual_cache.hpp"
#include "support/sanitizer.hpp"

namespace lazywriter::testing {
namespace {

std::string key(int i) {
  return std::to_string(i);
}

TEST(Bounds, MaxDirtyIsExactForAnyNumberOfShards) {
  for (const std::size_t shards : {1U, 2U, 16U}) {
    for (const std::size_t limit : {1U, 3U, 10U, 100U}) {
      Store store;
      Cache cache{store, manual({.max_dirty = limit, .shards = shards})};
      std::size_t accepted = 0;
      for (int i = 0; i < 300; ++i)
        accepted += cache.try_put({key(i), i}) ? 1U : 0U;
      EXPECT_EQ(accepted, limit);
      EXPECT_EQ(cache.dirty_count(), limit);
      EXPECT_EQ(cache.stats().refused_writes, 300 - limit);
      EXPECT_TRUE(cache.flush().ok());
      for (int i = 300; i < 600; ++i)
        accepted += cache.try_put({key(i), i}) ? 1U : 0U;
      EXPECT_EQ(accepted, 2 * limit);
    }
  }
}

TEST(Bounds, ASlotThatAnotherShardKeepsInReserveIsFound) {
  constexpr int limit = 1'024;  // so many that a shard draws eight at once
  Store store;
  Cache cache{store, manual({.max_dirty = limit, .shards = 16})};
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < limit; ++i)
      ASSERT_TRUE(cache.try_put({key(round * limit + i), i})) << i;
    EXPECT_FALSE(cache.try_put({"one too many", 1}));
    ASSERT_TRUE(cache.flush().ok());
  }
}

TEST(Bounds, WhereSlotsAreFewNoShardKeepsOne) {
  Store store;
  Cache cache{store, manual({.max_dirty = 2, .shards = 16})};
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(cache.try_put({key(i), i})) << i;
    ASSERT_TRUE(cache.flush().ok());
  }
}

TEST(Bounds, ARefusedTryPutLeavesItsArgumentAlone) {
  Store store;
  Cache cache{store, manual({.max_dirty = 1})};
  cache.put({"a", 1});
  Account bob{long_key("bob"), 2};
  EXPECT_FALSE(cache.try_put(std::move(bob)));
  EXPECT_EQ(bob.login, long_key("bob"));
  EXPECT_FALSE(cache.contains(bob.login));
}

TEST(Bounds, EveryKindOfWriteNeedsASlotAndIsRefusedWhole) {
  Store store;
  store.insert({"b", 7});
  Cache cache{store, manual({.max_dirty = 1})};
  cache.put({"a", 1});
  cache.get("b");
  EXPECT_THROW(cache.put({"c", 1}), CacheFull);
  EXPECT_THROW(cache.put({"b", 1}), CacheFull);
  EXPECT_THROW(cache.erase("b"), CacheFull);
  EXPECT_THROW(cache.update("b", [](Account& account) { account.value = 1; }), CacheFull);
  EXPECT_THROW(cache.compute("b", [](std::optional<Account>& item) { item->value = 1; }),
               CacheFull);
  EXPECT_EQ(seen(cache, "b"), 7);
  EXPECT_EQ(cache.dirty_count(), 1U);
  EXPECT_EQ(cache.stats().puts, 1U);
}

TEST(Bounds, RewritingAnEntryThatHoldsASlotAlwaysWorks) {
  Store store;
  Cache cache{store, manual({.max_dirty = 2})};
  cache.put({"a", 1});
  cache.erase("b");
  cache.put({"a", 2});
  cache.update("a", [](Account& account) { account.value = 3; });
  cache.erase("a");
  cache.put({"a", 4});
  cache.put({"b", 1});
  EXPECT_TRUE(cache.try_put({"b", 2}));
  EXPECT_EQ(cache.dirty_count(), 2U);
}

TEST(Bounds, InFlightAndParkedEntriesAndTombstonesHoldSlots) {
  Store store;
  Cache cache{store, manual({.max_dirty = 2})};
  cache.put({"a", 1});
  store.reject("a");
  cache.flush();
  cache.erase("b");
  EXPECT_FALSE(cache.try_put({"c", 1}));
  const auto gate = block_at(store, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  EXPECT_FALSE(cache.try_put({"c", 1}));
  gate->open();
  flush.get();
  EXPECT_TRUE(cache.try_put({"c", 1}));
  EXPECT_FALSE(cache.try_put({"d", 1}));
  EXPECT_TRUE(cache.discard_parked("a"));
  EXPECT_TRUE(cache.try_put({"d", 1}));
  EXPECT_EQ(cache.discard_dirty(), 2U);
  EXPECT_TRUE(cache.try_put({"e", 1}));
  EXPECT_TRUE(cache.try_put({"f", 1}));
  EXPECT_FALSE(cache.try_put({"g", 1}));
}

TEST(Bounds, ATryPutThatIsRefusedWakesTheFlusher) {
  Store store;
  CacheConfig config = manual({.max_dirty = 20});  // 10 that are not parked wake it
  config.flush_interval = 1h;
  Cache cache{store, config};
  for (int i = 0; i < 18; ++i) {
    store.reject(key(i));
    cache.put({key(i), i});
    EXPECT_EQ(cache.flush().pending, 0U);
  }
  cache.put({"good", 1});
  cache.put({"better", 1});
  EXPECT_FALSE(cache.try_put({"best", 1}));
  EXPECT_TRUE(eventually([&] { return store.size() == 2; }));
  EXPECT_TRUE(eventually([&] { return cache.try_put({"best", 1}); }));
}

TEST(Bounds, TheFlushLoopGoesOnWhileMoreIsDirtyThanWokeIt) {
  Store store;
  CacheConfig config = manual({.max_batch = 1, .max_dirty = 0});  // 10 wake it
  config.flush_interval = 1h;
  Cache cache{store, config};
  const auto gate = block_at(store, StoreCall::begin_tx);
  for (int i = 0; i < 10; ++i)
    cache.put({key(i), i});
  gate->wait_for_arrival();
  for (int i = 10; i < 40; ++i)
    cache.put({key(i), i});
  gate->open();
  EXPECT_TRUE(eventually([&] { return store.size() == 40; }));
}

TEST(Bounds, TheFlushLoopGoesOnWhileMuchIsWrittenAnewThatItHasInHand) {
  Store store;
  CacheConfig config = manual({.max_dirty = 20});  // 10 wake it
  config.flush_interval = 1h;
  Cache cache{store, config};
  const auto gate = block_at(store, StoreCall::commit_tx);
  for (int i = 0; i < 10; ++i)
    cache.put({key(i), i});
  gate->wait_for_arrival();
  // They have their slots already, so nothing wakes the loop.
  for (int i = 0; i < 10; ++i)
    cache.put({key(i), 100 + i});
  gate->open();
  EXPECT_TRUE(eventually([&] { return cache.dirty_count() == 0; }));
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(value_of(store.row(key(i))), 100 + i);
}

TEST(Bounds, AWriteThatFindsItsShardCrowdedWakesTheFlusher) {
  Store store;
  CacheConfig config = manual({.max_batch = 1, .max_dirty = 0});  // 10 wake it
  config.flush_interval = 1h;
  config.park_after = 100;
  config.retry_backoff_min = config.retry_backoff_max = 1h;
  Cache cache{store, config};
  for (int i = 0; i < 15; ++i) {
    store.reject(key(i));
    cache.put({key(i), i});
  }
  EXPECT_TRUE(eventually([&] { return cache.stats().failed_items >= 15; }));
  cache.put({"good", 1});
  EXPECT_TRUE(eventually([&] { return store.row("good").has_value(); }));
}

TEST(Bounds, WhileTheStoreIsAwayACrowdDoesNotWakeTheFlusherAgainAndAgain) {
  Store store;
  CacheConfig config = manual({.max_batch = 1, .max_dirty = 0});
  config.flush_interval = 1h;
  config.retry_backoff_min = config.retry_backoff_max = 1h;
  Cache cache{store, config};
  store.fail_always();
  for (int i = 0; i < 10; ++i)
    cache.put({key(i), i});
  store.wait_for_calls(StoreCall::begin_tx, 1);
  for (int i = 10; i < 200; ++i)
    cache.put({key(i), i});
  EXPECT_EQ(store.calls(StoreCall::begin_tx), 1U);
  store.recover();
  EXPECT_TRUE(cache.flush().ok());  // which ends the backoff
  for (int i = 200; i < 210; ++i)
    cache.put({key(i), i});
  EXPECT_TRUE(eventually([&] { return store.size() == 210; }));
}

TEST(Bounds, ManyWritersThatWaitAllGetOnAndNoneWaitsForItsTurnInVain) {
  for (const std::size_t limit : {1U, 3U, 40U}) {
    Store store;
    CacheConfig config = manual({.max_dirty = limit, .shards = 8});
    config.flush_interval = 1h;
    config.backpressure_timeout = 100s;
    Cache cache{store, config};
    std::vector<std::future<void>> writers;
    for (int w = 0; w < 30; ++w) {
      writers.push_back(in_background([&cache, w] {
        for (int i = 0; i < 50; ++i)
          cache.put({key(w * 1'000 + i), i});
      }));
    }
    for (auto& writer : writers)
      writer.get();
    EXPECT_LE(cache.dirty_count(), limit);
    EXPECT_TRUE(cache.flush().ok());
    EXPECT_EQ(store.size(), 1'500U);
    EXPECT_EQ(cache.stats().refused_writes, 0U);
  }
}

TEST(Bounds, AWriterThatWaitsForASlotThatItsEntryGotMeanwhileGivesItOn) {
  Store store;
  CacheConfig config = manual({.max_dirty = 1});
  config.flush_interval = 1h;
  Cache cache{store, config};
  const auto gate = block_at(store, StoreCall::commit_tx);
  cache.put({"a", 1});
  gate->wait_for_arrival();
  std::vector<std::future<void>> writers;
  for (int w = 0; w < 4; ++w) {
    writers.push_back(in_background([&cache, w] { cache.put({"same", w}); }));
  }
  EXPECT_TRUE(eventually([&] { return cache.stats().backpressure_waits == 4; }));
  gate->open();
  for (auto& writer : writers)
    writer.get();
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_TRUE(cache.try_put({"b", 1}));
  EXPECT_FALSE(cache.try_put({"c", 1}));
}

TEST(Bounds, ASlotThatComesBackToAShardWhileSomebodyWaitsIsNotKeptInReserve) {
  Store store;
  CacheConfig config = manual({.max_dirty = 64});
  config.flush_interval = 1h;
  Cache cache{store, config};
  for (int i = 0; i < 64; ++i) {
    store.reject(key(i));
    cache.put({key(i), i});
  }
  EXPECT_TRUE(eventually([&] {
    cache.flush();
    return cache.stats().parked == 64;
  }));
  auto writer = in_background([&] { cache.put({"another", 1}); });
  EXPECT_TRUE(eventually([&] { return cache.stats().backpressure_waits == 1; }));
  EXPECT_TRUE(cache.discard_parked(key(0)));
  EXPECT_EQ(writer.wait_for(patience()), std::future_status::ready);
  writer.get();
}

TEST(Bounds, AWriterWaitsForTheFlusher) {
  Store store;
  CacheConfig config = manual({.max_dirty = 1});
  config.flush_interval = 1h;  // woken by the writer, not by its interval
  Cache cache{store, config};
  cache.put({"a", 1});
  cache.put({"b", 1});
  cache.put({"c", 1});
  EXPECT_LE(cache.dirty_count(), 1U);
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(store.size(), 3U);
}

TEST(Bounds, AWriterWaitsThroughAShortFailureOfTheStore) {
  Store store;
  CacheConfig config = manual({.max_dirty = 1});
  config.flush_interval = 1h;  // longer than the writer waits
  config.backpressure_timeout = patience();
  config.retry_backoff_min = 1ms;
  config.retry_backoff_max = 1ms;
  Cache cache{store, config};
  store.fail_next(StoreCall::begin_tx, 5);  // more often than the two writes wake the loop
  cache.put({"a", 1});
  cache.put({"b", 1});
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(store.size(), 2U);
  EXPECT_EQ(cache.stats().failed_transactions, 5U);
}

TEST(Bounds, AWriterWaitsNoLongerThanBackpressureTimeout) {
  Store store;
  store.fail_always();
  CacheConfig config = manual({.max_dirty = 1});
  config.flush_interval = 1ms;
  config.backpressure_timeout = 20ms;
  Cache cache{store, config};
  cache.put({"a", 1});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THROW(cache.put({"b", 1}), CacheFull);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 20ms);
  EXPECT_EQ(cache.stats().refused_writes, 1U);
  EXPECT_EQ(cache.stats().backpressure_waits, 1U);
  EXPECT_FALSE(cache.contains("b"));
}

TEST(Bounds, AReadWhileAllSlotsAreTakenDoesNotWait) {
  Store store;
  store.insert({"b", 7});
  Cache cache{store, manual({.max_dirty = 1})};
  cache.put({"a", 1});
  EXPECT_EQ(value_of(cache.get("b")), 7);
  EXPECT_EQ(value_of(cache.get("a")), 1);
}

TEST(Bounds, PruningSettlesAtTheCapacity) {
  Store store;
  for (int i = 0; i < 400; ++i)
    store.insert({key(i), i});
  Cache cache{store, manual({.capacity = 100})};
  for (int i = 0; i < 120; ++i)
    cache.get(key(i));
  EXPECT_EQ(cache.size(), 120U);
  EXPECT_EQ(cache.prune(), 20U);
  EXPECT_EQ(cache.size(), 100U);
  EXPECT_EQ(cache.stats().evictions, 20U);
  EXPECT_EQ(cache.prune(), 0U);
  for (int i = 0; i < 400; ++i)
    cache.get(key(i));
  EXPECT_LE(cache.size(), 130U);
}

/// Has an item under every key.
class BoundlessStore : public NoOpReaderWriter<Counter> {
 public:
  static std::optional<Counter> find(int number) { return Counter{number}; }
};

// The prune loop runs as ever, and may be slow: who inserts keeps the bound then.
TEST(Bounds, NeverMoreThanAQuarterAndALittleAboveTheCapacityWhateverComesIn) {
  constexpr bool slow = LAZYWRITER_THREAD_SANITIZER != 0 || LAZYWRITER_ADDRESS_SANITIZER != 0;
  constexpr int keys = slow ? 300'000 : 1'000'000;
  LazyWriterCache cache{BoundlessStore{}, CacheConfig{.capacity = 10'000}};
  constexpr int step = 100;
  std::size_t most = 0;
  for (int i = 0; i < keys; ++i) {
    ASSERT_TRUE(cache.visit(i, [](const Counter&) {}));
    if (i % step == 0) most = std::max(most, cache.size());
  }
  EXPECT_LE(most + step, 13'000U);
  EXPECT_GE(most, 10'000U);
}

TEST(Bounds, UnsavedEntriesAreNeverEvicted) {
  Store store;
  Cache cache{store, manual({.capacity = 10})};
  for (int i = 0; i < 100; ++i)
    cache.put({key(i), i});
  EXPECT_EQ(cache.prune(), 0U);
  EXPECT_EQ(cache.size(), 100U);
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(seen(cache, key(i)), i);
  cache.flush();
  cache.prune();
  EXPECT_EQ(cache.size(), 10U);
}

TEST(Bounds, PruningPicksTheCleanOnesAmongTheUnsaved) {
  Store store;
  for (int i = 100; i < 120; ++i)
    store.insert({key(i), i});
  Cache cache{store, manual({.capacity = 2})};
  for (int i = 0; i < 10; ++i) {
    cache.put({key(i), i});
    cache.erase(key(200 + i));
    cache.preload(std::vector<Account>{*store.row(key(100 + i))});
  }
  cache.prune();
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(seen(cache, key(i)), i);
  EXPECT_EQ(cache.size(), 12U);
  EXPECT_EQ(cache.dirty_count(), 20U);
}

TEST(Bounds, ACacheWithoutCapacityEvictsNothing) {
  Store store;
  Cache cache{store, manual({.capacity = 0})};
  for (int i = 0; i < 1'000; ++i)
    cache.put({key(i), i});
  cache.flush();
  EXPECT_EQ(cache.prune(), 0U);
  EXPECT_EQ(cache.size(), 1'000U);
}

TEST(Bounds, WhatIsEvictedComesBackFromTheStore) {
  Store store;
  Cache cache{store, manual({.capacity = 4})};
  for (int i = 0; i < 50; ++i) {
    cache.put({key(i), i});
    cache.flush();
    cache.prune();
  }
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(value_of(cache.get(key(i))), i);
}

TEST(Bounds, ThePruneLoopIsWokenAtTenPercentTooMany) {
  Store store;
  CacheConfig config = manual({.capacity = 100});
  config.prune_interval = 1h;
  Cache cache{store, config};
  for (int i = 0; i < 111; ++i)
    cache.preload(std::vector<Account>{{key(i), i}});
  EXPECT_TRUE(eventually([&] { return cache.size() <= 100; }));
}

TEST(Bounds, ThePruneLoopIsWokenWhenAFlushLeavesTooManyClean) {
  Store store;
  CacheConfig config = manual({.capacity = 100});
  config.prune_interval = 1h;
  config.flush_interval = 1ms;
  const auto gate = block_at(store, StoreCall::begin_tx);
  Cache cache{store, config};
  cache.put({key(0), 0});
  gate->wait_for_arrival();
  // All others are committed in one pass then. In two, the pruner could be through with the first
  // before the second leaves less than wakes it again.
  for (int i = 1; i < 150; ++i)
    cache.put({key(i), i});
  gate->open();
  EXPECT_TRUE(eventually([&] { return cache.size() <= 100; }));
}

TEST(Bounds, ThePruneLoopKeepsTheCapacityByItself) {
  Store store;
  for (int i = 0; i < 200; ++i)
    store.insert({key(i), i});
  CacheConfig config = manual({.capacity = 20});
  config.prune_interval = 1ms;
  Cache cache{store, config};
  for (int i = 0; i < 200; ++i)
    cache.get(key(i));
  EXPECT_TRUE(eventually([&] { return cache.size() <= 20; }));
}

}  // namespace
}  // namespace lazywriter::testing
