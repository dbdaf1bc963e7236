// What a flush does: the barrier (P4), nothing lost (P2), the newest wins (P3).
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <latch>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "lazywriter/no_op_reader_writer.hpp"
#include "support/eventually.hpp"
#include "support/manual_cache.hpp"
#include "support/plain_store.hpp"

namespace lazywriter::testing {
namespace {

TEST(Flushing, AnEmptyFlushTouchesNoStore) {
  Store store;
  Cache cache{store, manual()};
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_TRUE(cache.flush(0ms).ok());
  EXPECT_EQ(store.calls(StoreCall::begin_tx), 0U);
  EXPECT_EQ(cache.stats().transactions, 0U);
  EXPECT_EQ(cache.stats().flush_duration.total(), 0U);
}

TEST(Flushing, WritesAndErasesInBatchesOldestFirst) {
  Store store;
  store.insert({"0", 9});
  std::vector<std::string> order;
  store.on_save([&](Account& account) { order.push_back(account.login); });
  Cache cache{store, manual({.max_batch = 2})};
  cache.put({"a", 1});
  cache.put({"b", 1});
  cache.put({"c", 1});
  cache.put({"a", 2});  // its place stays
  cache.erase("0");
  const FlushResult result = cache.flush();
  EXPECT_EQ(result.written, 3U);
  EXPECT_EQ(result.erased, 1U);
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result.error, "");
  EXPECT_EQ(order, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(store.calls(StoreCall::commit_tx), 2U);
  EXPECT_EQ(cache.stats().transactions, 2U);
  EXPECT_EQ(cache.stats().flush_duration.total(), 1U);
  EXPECT_FALSE(cache.is_dirty());
  EXPECT_EQ(cache.oldest_dirty_age().count(), 0);
}

TEST(Flushing, ErasesGoBeforeSavesInATransaction) {
  Store store;
  std::vector<StoreCall> calls;
  store.on_call([&](StoreCall call, FaultTime time) {
    if (time == FaultTime::before_effect) calls.push_back(call);
  });
  Cache cache{store, manual()};
  cache.put({"a", 1});
  cache.erase("b");
  cache.flush();
  EXPECT_EQ(calls, (std::vector<StoreCall>{StoreCall::begin_tx, StoreCall::erase, StoreCall::save,
                                           StoreCall::commit_tx}));
}

TEST(Flushing, WithoutBatchRefinementsEachRowIsACall) {
  Store store;
  LazyWriterCache cache{ErasingStore<Account>{store}, manual()};
  cache.put({"a", 1});
  cache.put({"b", 1});
  cache.erase("c");
  cache.erase("d");
  EXPECT_EQ(cache.flush().written, 2U);
  EXPECT_EQ(store.calls(StoreCall::save), 2U);
  EXPECT_EQ(store.calls(StoreCall::erase), 2U);
  EXPECT_EQ(store.calls(StoreCall::commit_tx), 1U);
}

TEST(Flushing, WaitsForTheFlushUnderWayAndReportsItsOwnShare) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  const auto gate = block_at(store, StoreCall::commit_tx);
  auto first = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  EXPECT_EQ(cache.stats().in_flight, 1U);
  auto second = in_background([&] { return cache.flush(); });
  EXPECT_EQ(second.wait_for(20ms), std::future_status::timeout);
  gate->open();
  EXPECT_EQ(first.get().written, 1U);
  const FlushResult result = second.get();
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result.written, 0U);
}

TEST(Flushing, AFlushThatJoinsAFailingOneTriesAgainItself) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  store.fail_next(StoreCall::commit_tx);
  const auto gate = block_at(store, StoreCall::commit_tx);
  auto first = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  auto second = in_background([&] { return cache.flush(); });
  gate->open();
  EXPECT_EQ(first.get().pending, 1U);
  const FlushResult result = second.get();
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result.written, 1U);
}

TEST(Flushing, AKeyThatIsRewrittenMeanwhileDoesNotMakeItPending) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  const auto gate = block_at(store, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  cache.put({"a", 2});
  cache.put({"b", 1});
  gate->open();
  const FlushResult result = flush.get();
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result.written, 1U);
  EXPECT_EQ(store.row("a")->value, 1);
  EXPECT_EQ(cache.dirty_count(), 2U);
  cache.flush();
  EXPECT_EQ(store.row("a")->value, 2);
  EXPECT_TRUE(store.row("b"));
}

TEST(Flushing, APutDuringTheFlightKeepsItsValueAndTakesTheGeneratedId) {
  Store store;
  generate_ids(store);
  Cache cache{store, manual()};
  cache.put({"a", 1});
  const auto gate = block_at(store, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  cache.put({"a", 2});
  gate->open();
  flush.get();
  EXPECT_EQ(cache.peek("a")->value, 2);
  EXPECT_EQ(cache.peek("a")->id, 1);
  EXPECT_EQ(cache.dirty_count(), 1U);
}

TEST(Flushing, AnEraseDuringTheFlightWins) {
  Store store;
  generate_ids(store);
  Cache cache{store, manual()};
  cache.put({"a", 1});
  const auto gate = block_at(store, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  cache.erase("a");
  gate->open();
  EXPECT_TRUE(flush.get().ok());
  EXPECT_FALSE(cache.get("a"));
  EXPECT_EQ(cache.dirty_count(), 1U);
  EXPECT_TRUE(store.row("a"));
  EXPECT_EQ(cache.flush().erased, 1U);
  EXPECT_FALSE(store.row("a"));
  EXPECT_EQ(cache.size(), 0U);
}

TEST(Flushing, ACommittedEraseLeavesNothingBehindThatAnswersForTheStore) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  cache.flush();
  cache.erase("a");
  EXPECT_EQ(cache.flush().erased, 1U);
  EXPECT_EQ(cache.stats().resident, 0U);
  store.insert({"a", 7});  // by another program
  EXPECT_EQ(value_of(cache.get("a")), 7);
}

TEST(Flushing, APutOverATombstoneInFlightIsANewRow) {
  Store store;
  generate_ids(store);
  Cache cache{store, manual()};
  cache.put({"a", 1});
  cache.flush();
  cache.erase("a");
  const auto gate = block_at(store, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  cache.put({"a", 2});
  gate->open();
  EXPECT_EQ(flush.get().erased, 1U);
  EXPECT_EQ(seen(cache, "a"), 2);
  EXPECT_EQ(cache.dirty_count(), 1U);
  EXPECT_FALSE(store.row("a"));
  cache.flush();
  EXPECT_EQ(store.row("a")->value, 2);
  EXPECT_EQ(cache.peek("a")->id, 2);
}

TEST(Flushing, HitsAndPutsDoNotWaitForTheStore) {
  for (const auto call : {StoreCall::begin_tx, StoreCall::save, StoreCall::commit_tx}) {
    Store store;
    Cache cache{store, manual()};
    cache.put({"a", 1});
    const auto gate = block_at(store, call);
    auto flush = in_background([&] { return cache.flush(); });
    gate->wait_for_arrival();
    EXPECT_EQ(value_of(cache.get("a")), 1);
    cache.put({"a", 2});
    cache.put({"b", 1});
    cache.erase("c");
    cache.update("a", [](Account& account) { ++account.value; });
    EXPECT_EQ(cache.prune(), 0U);
    EXPECT_FALSE(cache.invalidate("a"));
    EXPECT_EQ(cache.dirty_count(), 3U);
    (void)cache.stats();
    (void)cache.parked();
    gate->open();
    EXPECT_TRUE(flush.get().ok());
  }
}

TEST(Flushing, ALogThatBlocksHoldsNobodyUp) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  store.fail_next(StoreCall::save);
  const auto gate = block_at(store, StoreCall::warn);
  auto flush = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  cache.put({"a", 2});
  EXPECT_EQ(value_of(cache.get("a")), 2);
  gate->open();
  EXPECT_EQ(flush.get().pending, 1U);
}

TEST(Flushing, WithATimeoutItRepeatsPassesUntilAllIsWritten) {
  Store store;
  Cache cache{store, manual()};
  for (int i = 0; i < 10; ++i)
    cache.put({std::to_string(i), i});
  store.fail_next(StoreCall::begin_tx, 3);
  store.fail_next(StoreCall::save, 2);
  const FlushResult result = cache.flush(20s);
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result.written, 10U);
  EXPECT_EQ(store.size(), 10U);
}

TEST(Flushing, WithATimeoutItGivesUpInTimeAndCountsWhatIsPending) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  cache.put({"b", 1});
  store.fail_always();
  const FlushResult result = cache.flush(20ms);
  EXPECT_EQ(result.pending, 2U);
  EXPECT_NE(result.error, "");
  EXPECT_EQ(cache.flush(0ms).pending, 2U);
  store.recover();
  EXPECT_TRUE(cache.flush(20s).ok());
}

TEST(Flushing, NothingIsBegunOnceTheTimeIsOver) {
  Store store;
  Cache cache{store, manual({.max_batch = 1})};
  for (const auto* key : {"a", "b", "c"})
    cache.put({key, 1});
  store.on_call([](StoreCall call, FaultTime) {
    const auto over = std::chrono::steady_clock::now() + 20ms;  // the flush began before
    while (call == StoreCall::commit_tx && std::chrono::steady_clock::now() < over)
      std::this_thread::yield();
  });
  const FlushResult result = cache.flush(20ms);
  EXPECT_LE(result.written, 1U);  // none, if this thread was held up before it began
  EXPECT_EQ(result.written + result.pending, 3U);
  EXPECT_LE(store.calls(StoreCall::begin_tx), 1U);
  EXPECT_EQ(cache.stats().in_flight, 0U);
}

TEST(Flushing, APassThatIsCutShortLeavesNoShardOut) {
  const CacheConfig config = manual({.max_batch = 32, .shards = 4});
  Store store;
  const detail::FixedHashSeed seed(1);
  const detail::ShardSet<Account> shards(config);  // as those inside the cache
  std::set<const void*> served;
  store.on_save([&](Account& account) {
    served.insert(&shards.of(detail::table_hash<std::string>(account.login, shards.seed())));
  });
  store.on_call([batches = 0](StoreCall call, FaultTime time) mutable {
    if (call != StoreCall::begin_tx || time != FaultTime::before_effect) return;
    if (++batches == 2) throw std::runtime_error("gone");
  });
  Cache cache{store, config};
  for (int i = 0; i < 400; ++i)
    cache.put({std::to_string(i), 1});
  const FlushResult result = cache.flush();
  EXPECT_EQ(result.written, 32U);
  EXPECT_EQ(result.pending, 368U);
  EXPECT_EQ(served.size(), 4U);
}

TEST(Flushing, PassesThatAreCutShortLeaveNoShardOut) {
  const CacheConfig config = manual({.max_batch = 4, .shards = 4});
  Store store;
  const detail::FixedHashSeed seed(1);
  const detail::ShardSet<Account> shards(config);
  std::set<const void*> served;
  store.on_save([&](Account& account) {
    served.insert(&shards.of(detail::table_hash<std::string>(account.login, shards.seed())));
  });
  store.on_call([begun = 0](StoreCall call, FaultTime time) mutable {
    if (call != StoreCall::begin_tx || time != FaultTime::before_effect) return;
    if (++begun % 2 == 0) throw std::runtime_error("gone");
  });
  Cache cache{store, config};
  for (int i = 0; i < 400; ++i)
    cache.put({std::to_string(i), 1});
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(cache.flush().written, 4U);
  EXPECT_EQ(served.size(), 4U);
}

/// Its copies are not ready before a point in time.
struct SlowToCopy {
  static inline std::chrono::steady_clock::time_point ready{};

  explicit SlowToCopy(std::string n) : name(std::move(n)) {}
  SlowToCopy(const SlowToCopy& other) : name(other.name) {
    while (std::chrono::steady_clock::now() < ready)
      std::this_thread::yield();
  }
  SlowToCopy& operator=(const SlowToCopy&) = default;
  SlowToCopy(SlowToCopy&&) noexcept = default;
  SlowToCopy& operator=(SlowToCopy&&) noexcept = default;
  ~SlowToCopy() = default;

  const std::string& key() const { return name; }
  void copy_key_data_from(const SlowToCopy&) {}

  std::string name;
};

TEST(Flushing, WhatThereWasNoTimeToTryDidNotFail) {
  LazyWriterCache<SlowToCopy, NoOpReaderWriter<SlowToCopy>> cache{{}, manual()};
  for (const auto* key : {"a", "b", "c"})
    cache.put(SlowToCopy(key));
  SlowToCopy::ready = std::chrono::steady_clock::now() + 40ms;
  EXPECT_EQ(cache.flush(20ms).pending, 3U);
  EXPECT_EQ(cache.stats().failed_transactions, 0U);
  EXPECT_EQ(cache.flush().written, 3U);
  EXPECT_EQ(cache.stats().retries, 0U);
}

/// An item that shows how many others hold the same.
struct Sharing {
  std::string name;
  std::shared_ptr<int> held;

  const std::string& key() const { return name; }
  void copy_key_data_from(const Sharing&) {}
};

}  // namespace
}  // namespace lazywriter::testing

/// Else no copies of it would be kept.
template <>
inline constexpr bool lazywriter::enable_overwrite_in_place<lazywriter::testing::Sharing> = true;

namespace lazywriter::testing {
namespace {

TEST(Flushing, CopiesAreKeptForTheNextFlushUntilThereIsNothingToWrite) {
  LazyWriterCache<Sharing, NoOpReaderWriter<Sharing>> cache{{}, manual({.max_batch = 10'000})};
  const auto held = std::make_shared<int>();
  for (int i = 0; i < 3'000; ++i)
    cache.put({std::to_string(i), held});
  EXPECT_EQ(cache.flush().written, 3'000U);
  EXPECT_LE(held.use_count(), 1 + 3'000 + 1'024);
  cache.put({"0", held});
  EXPECT_EQ(cache.flush().written, 1U);
  EXPECT_LE(held.use_count(), 1 + 3'000 + 1'024);
  EXPECT_EQ(cache.flush().written, 0U);
  EXPECT_EQ(held.use_count(), 1 + 3'000);
}

TEST(Flushing, WhatWasParkedAndIsDirtyAgainMeanwhileCountsAsPending) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"written", 1});
  cache.put({"retried", 1});
  store.reject("written");
  store.reject("retried");
  EXPECT_EQ(cache.flush().parked, 2U);
  cache.put({"other", 1});
  const auto gate = block_at(store, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  cache.put({"written", 2});
  EXPECT_EQ(cache.retry_parked(), 1U);
  gate->open();
  const FlushResult result = flush.get();
  EXPECT_EQ(result.written, 1U);
  EXPECT_EQ(result.pending, 2U);
  EXPECT_EQ(result.parked, 0U);
}

TEST(Flushing, WhatIsReleasedWhileTheLogHearsThatItIsParkedCountsAsOneOfBoth) {
  for (const bool retried : {false, true}) {
    Store store;
    Cache cache{store, manual()};
    store.reject("a");
    store.on_call([&](StoreCall call, FaultTime time) {
      if (call != StoreCall::warn || time != FaultTime::after_effect) return;
      retried ? static_cast<void>(cache.retry_parked()) : cache.put({"a", 2});
    });
    cache.put({"a", 1});
    const FlushResult result = cache.flush();
    store.on_call({});
    EXPECT_FALSE(result.ok()) << "nothing was committed";
    EXPECT_EQ(result.pending + result.parked, 1U);
    EXPECT_EQ(cache.dirty_count(), 1U);
  }
}

TEST(Flushing, WhatIsParkedAgainMeanwhileIsNotPending) {
  Store store;
  Cache cache{store, manual()};
  const auto rename = [](Account& account) { account.login = "foreign"; };
  cache.put({"a", 1});
  EXPECT_THROW(cache.update("a", rename), KeyChanged);
  cache.put({"other", 1});
  const auto gate = block_at(store, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  EXPECT_THROW(cache.update("a", rename), KeyChanged);
  gate->open();
  const FlushResult result = flush.get();
  EXPECT_EQ(result.pending, 0U);
  EXPECT_EQ(result.parked, 1U);
}

TEST(Flushing, WhatIsReleasedAndDiscardedMeanwhileIsNotPending) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  store.reject("a");
  EXPECT_EQ(cache.flush().parked, 1U);
  cache.put({"other", 1});
  const auto gate = block_at(store, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  EXPECT_EQ(cache.retry_parked(), 1U);
  EXPECT_EQ(cache.discard_dirty(), 2U);
  gate->open();
  EXPECT_TRUE(flush.get().ok());
}

TEST(Flushing, CountsAreExactWhileAnythingIsInFlight) {
  Store store;
  Cache cache{store, manual({.max_batch = 2})};
  for (int i = 0; i < 5; ++i)
    cache.put({std::to_string(i), i});
  const auto gate = block_at(store, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  EXPECT_EQ(cache.dirty_count(), 5U);
  EXPECT_EQ(cache.stats().dirty, 5U);
  EXPECT_EQ(cache.stats().in_flight, 2U);
  EXPECT_TRUE(cache.is_dirty());
  gate->open();
  flush.get();
  EXPECT_EQ(cache.dirty_count(), 0U);
  EXPECT_EQ(cache.stats().in_flight, 0U);
}

TEST(Flushing, WhatIsInFlightIsNeverEvicted) {
  Store store;
  Cache cache{store, manual({.capacity = 1})};
  cache.put({"a", 1});
  const auto gate = block_at(store, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  cache.preload(std::vector<Account>{{"b", 2}, {"c", 3}, {"d", 4}});
  (void)cache.prune();
  EXPECT_EQ(seen(cache, "a"), 1);
  EXPECT_EQ(cache.discard_dirty(), 1U);  // not even when it holds no slot any more
  (void)cache.prune();
  EXPECT_EQ(seen(cache, "a"), 1);
  EXPECT_FALSE(cache.invalidate("a"));
  gate->open();
  EXPECT_TRUE(flush.get().ok());
}

TEST(Flushing, DiscardDirtyIsHonouredByWhatIsInFlight) {
  for (const bool fails : {false, true}) {
    Store store;
    Cache cache{store, manual()};
    cache.put({"a", 1});
    cache.erase("b");
    if (fails) store.fail_next(StoreCall::commit_tx);
    const auto gate = block_at(store, StoreCall::commit_tx);
    auto flush = in_background([&] { return cache.flush(); });
    gate->wait_for_arrival();
    EXPECT_EQ(cache.discard_dirty(), 2U);
    EXPECT_EQ(cache.dirty_count(), 0U);
    gate->open();
    EXPECT_EQ(flush.get().pending, 0U);
    EXPECT_EQ(cache.dirty_count(), 0U);
    EXPECT_EQ(seen(cache, "a"), 1);
    EXPECT_EQ(cache.flush().written, 0U);
    EXPECT_TRUE(cache.invalidate("a"));
  }
}

TEST(Flushing, AWriteAfterADiscardInFlightIsDirtyAgain) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  store.fail_next(StoreCall::commit_tx);
  const auto gate = block_at(store, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  cache.discard_dirty();
  cache.put({"a", 2});
  gate->open();
  flush.get();
  EXPECT_EQ(cache.dirty_count(), 1U);
  EXPECT_EQ(cache.flush().written, 1U);
  EXPECT_EQ(store.row("a")->value, 2);
}

TEST(Flushing, TheFlushLoopIsWokenWhenMuchIsDirty) {
  Store store;
  CacheConfig config = manual({.max_batch = 1});
  config.flush_interval = 1h;
  Cache cache{store, config};
  for (int i = 0; i < 10; ++i)
    cache.put({std::to_string(i), i});
  EXPECT_TRUE(eventually([&] { return store.calls(StoreCall::commit_tx) >= 1; }));
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(store.size(), 10U);
}

TEST(Flushing, TheFlushLoopWritesByItself) {
  Store store;
  CacheConfig config = manual();
  config.flush_interval = 1ms;
  Cache cache{store, config};
  cache.put({"a", 1});
  store.wait_for_calls(StoreCall::commit_tx, 1);
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_TRUE(store.row("a"));
}

TEST(Flushing, AFlushThatNeverHasItsTurnCountsNothingThatWasWrittenAfterItsCall) {
  Store store;
  Cache cache{store, manual()};
  const auto gate = block_at(store, StoreCall::commit_tx);
  cache.put({"in flight", 1});
  auto other = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  cache.put({"before", 1});
  std::size_t pending = 0;
  // Again, if the writes came before the call or after its time.
  EXPECT_TRUE(eventually([&] {
    std::latch about_to_call{1};
    auto flush = in_background([&] {
      about_to_call.count_down();
      return cache.flush(100ms);
    });
    about_to_call.wait();
    for (int i = 0; i < 1'000; ++i)
      std::this_thread::yield();
    for (const auto* key : {"later 1", "later 2", "later 3"})
      cache.put({key, 1});
    const bool in_time = flush.wait_for(0ms) == std::future_status::timeout;
    pending = flush.get().pending;
    for (const auto* key : {"later 1", "later 2", "later 3", "before"})
      cache.erase(key);
    cache.discard_dirty();
    cache.put({"in flight", 1});
    cache.put({"before", 1});
    return in_time && pending == 2;
  })) << pending;
  gate->open();
  other.get();
}

}  // namespace
}  // namespace lazywriter::testing
