// What becomes of writes that the store does not take: retries, halves, parking (P2, P5).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "support/eventually.hpp"
#include "support/manual_cache.hpp"
#include "support/plain_store.hpp"

namespace lazywriter::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

void put_letters(Cache& cache, char first, char last) {
  for (char c = first; c <= last; ++c)
    cache.put({std::string(1, c), c});
}

TEST(FailingStore, ATransientFailureLosesNothingWhateverTheCall) {
  for (const auto call :
       {StoreCall::begin_tx, StoreCall::save, StoreCall::erase, StoreCall::commit_tx}) {
    for (const auto when : {FaultTime::before_effect, FaultTime::after_effect}) {
      Store store;
      store.insert({"z", 1});
      Cache cache{store, manual()};
      put_letters(cache, 'a', 'c');
      cache.erase("z");
      store.fail_next(call, 1, StoreFault::transient, when);
      const FlushResult failed = cache.flush();
      // What the store had looked at was halved at once, and then it was well again.
      const std::size_t waiting = call == StoreCall::begin_tx ? 4 : 0;
      EXPECT_EQ(failed.pending, waiting);
      EXPECT_EQ(failed.written + failed.erased, 4 - waiting);
      EXPECT_EQ(failed.error, "the store is down");
      EXPECT_EQ(cache.dirty_count(), waiting);
      EXPECT_EQ(cache.stats().failed_transactions, 1U);
      EXPECT_TRUE(cache.flush(20s).ok());
      EXPECT_EQ(store.size(), 3U);
      EXPECT_FALSE(store.row("z"));
      EXPECT_EQ(cache.stats().parkings, 0U);
      EXPECT_EQ(cache.stats().flushed_items, 3U);
      EXPECT_EQ(cache.stats().flushed_erases, 1U);
    }
  }
}

TEST(FailingStore, FailedItemsAndRetriesAreCountedByEntry) {
  Store store;
  Cache cache{store, manual({.max_batch = 4})};
  put_letters(cache, 'a', 'd');
  store.fail_next(StoreCall::save, 1, StoreFault::unavailable);
  cache.flush();
  EXPECT_EQ(cache.stats().failed_items, 4U);
  EXPECT_EQ(cache.stats().retries, 0U);
  cache.flush();
  EXPECT_EQ(cache.stats().failed_items, 4U);
  EXPECT_EQ(cache.stats().retries, 4U);
  EXPECT_EQ(cache.stats().flushed_items, 4U);
}

TEST(FailingStore, AValueWrittenSinceTheFailureIsNoRetry) {
  Store store;
  Cache cache{store, manual()};
  put_letters(cache, 'a', 'b');
  store.fail_next(StoreCall::save, 1, StoreFault::unavailable);
  cache.flush();
  cache.put({"a", 2});
  cache.flush();
  EXPECT_EQ(cache.stats().failed_items, 2U);
  EXPECT_EQ(cache.stats().retries, 1U);
}

TEST(FailingStore, WhatIsNoStdExceptionIsTransient) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  store.fail_next(StoreCall::save, 1, StoreFault::unknown);
  EXPECT_EQ(cache.flush().pending, 1U);
  EXPECT_TRUE(cache.flush().ok());
}

TEST(FailingStore, WithoutAClassifierARejectionIsTransient) {
  Store store;
  LazyWriterCache cache{PlainStore<Account>{store}, manual()};
  cache.put({"a", 1});
  store.reject("a");
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(cache.flush().pending, 1U);
  EXPECT_TRUE(cache.parked().empty());
  store.accept("a");
  EXPECT_TRUE(cache.flush().ok());
}

TEST(FailingStore, AFailureOfBeginEndsThePassEvenIfItIsARejection) {
  Store store;
  Cache cache{store, manual({.max_batch = 1})};
  put_letters(cache, 'a', 'c');
  store.fail_next(StoreCall::begin_tx, 1, StoreFault::rejected);
  EXPECT_EQ(cache.flush().pending, 3U);
  EXPECT_EQ(store.calls(StoreCall::begin_tx), 1U);
  EXPECT_TRUE(cache.parked().empty());
  EXPECT_TRUE(cache.flush().ok());
}

TEST(FailingStore, ARetryComesInBatchesOfAtMostHalf) {
  Store store;
  std::vector<std::size_t> sizes;
  store.on_save([&](Account&) { ++sizes.back(); });
  store.on_call([&](StoreCall call, FaultTime when) {
    if (call == StoreCall::begin_tx && when == FaultTime::before_effect) sizes.push_back(0);
  });
  Cache cache{store, manual({.max_batch = 8})};
  put_letters(cache, 'a', 'h');
  store.fail_next(StoreCall::commit_tx);
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(sizes, (std::vector<std::size_t>{8, 4, 4}));
}

TEST(FailingStore, AStoreThatTakesNothingEndsThePassAfterABoundedNumberOfTries) {
  for (const std::size_t max_batch : {1U, 10U, 1'000U}) {
    Store store;
    Cache cache{store, manual({.max_batch = max_batch})};
    for (int i = 0; i < 20'000; ++i)
      cache.put({std::to_string(i), 1});
    store.fail_always(StoreCall::save);
    for (int i = 0; i < 3; ++i) {
      const std::size_t before = store.calls(StoreCall::begin_tx);
      EXPECT_EQ(cache.flush().pending, 20'000U);
      EXPECT_LE(store.calls(StoreCall::begin_tx) - before,
                80U + std::min<std::size_t>(max_batch, 64) * 4);
    }
    EXPECT_EQ(store.warnings().size(), 1U) << "it is the store, so no item is named";
  }
}

TEST(FailingStore, OneBatchThatFailsDoesNotHoldUpTheOthers) {
  Store store;
  Cache cache{store, manual({.max_batch = 2})};
  put_letters(cache, 'a', 'f');
  store.fail_next(StoreCall::commit_tx);
  const FlushResult result = cache.flush();
  EXPECT_EQ(result.written, 6U);
  EXPECT_EQ(result.pending, 0U);
}

TEST(FailingStore, AnItemThatMakesEveryBatchFailIsFoundAndNeverParked) {
  Store store;
  Cache cache{store, manual({.max_batch = 16})};
  put_letters(cache, 'a', 'p');
  store.reject("g", "poison", StoreCall::save, StoreFault::transient);
  for (int i = 0; i < 12; ++i)
    cache.flush();
  EXPECT_EQ(store.size(), 15U);
  EXPECT_EQ(cache.dirty_count(), 1U);
  EXPECT_TRUE(cache.parked().empty());
  EXPECT_EQ(seen(cache, "g"), 'g');
  // And it does not make later batches fail.
  for (char c = 'q'; c <= 'x'; c += 2) {
    put_letters(cache, c, static_cast<char>(c + 1));
    const FlushResult result = cache.flush();
    EXPECT_EQ(result.written, 2U);
    EXPECT_EQ(result.pending, 1U);
  }
  store.accept("g");
  EXPECT_TRUE(cache.flush(20s).ok());
  EXPECT_EQ(store.size(), 24U);
}

TEST(FailingStore, WhatFailedAloneWaitsForItsOwnTimeWhileTheLoopWritesTheOthers) {
  Store store;
  CacheConfig config = manual({.max_batch = 1});
  config.flush_interval = 1ms;
  config.retry_backoff_min = 1h;
  config.retry_backoff_max = 1h;
  Cache cache{store, config};
  store.reject("poison", "poison", StoreCall::save, StoreFault::transient);
  cache.put({"poison", 1});
  store.wait_for_calls(StoreCall::begin_tx, 1);
  cache.put({"a", 1});
  EXPECT_EQ(cache.flush().pending, 1U);  // the store is not to blame: no backoff but the item's own
  put_letters(cache, 'b', 'j');          // so many wake the loop
  for (char c = 'j'; c <= 'm'; ++c) {    // which is through with a pass when it writes the next
    cache.put({std::string(1, c), 1});
    ASSERT_TRUE(eventually([&] { return store.row(std::string(1, c)).has_value(); }));
  }
  EXPECT_EQ(cache.stats().failed_transactions, 2U);
  EXPECT_EQ(seen(cache, "poison"), 1);
  EXPECT_TRUE(cache.parked().empty());
}

TEST(FailingStore, ANewVersionOwesNothingForTheRejectionsOfTheOldOne) {
  Store store;
  CacheConfig config = manual();
  config.park_after = 3;
  Cache cache{store, config};
  store.reject("a");
  for (int version = 1; version <= 4; ++version) {
    cache.put({"a", version});
    EXPECT_EQ(cache.flush().pending, 1U);
    EXPECT_EQ(cache.flush().pending, 1U);
  }
  EXPECT_EQ(cache.flush().parked, 1U);
  EXPECT_EQ(cache.parked()[0].attempts, 3U);
}

TEST(FailingStore, ARejectedItemIsFoundInTheSamePassAndTheOthersAreWritten) {
  for (const auto at : {StoreCall::save, StoreCall::commit_tx}) {
    Store store;
    Cache cache{store, manual({.max_batch = 1'000})};
    for (int i = 0; i < 100; ++i)
      cache.put({std::to_string(i), i});
    store.reject("37", "37 may not", at);
    const FlushResult result = cache.flush();
    EXPECT_EQ(result.written, 99U);
    EXPECT_EQ(result.pending, 0U);
    EXPECT_EQ(result.parked, 1U);
    EXPECT_FALSE(result.ok());
    EXPECT_EQ(store.size(), 99U);
    const auto parked = cache.parked();
    ASSERT_EQ(parked.size(), 1U);
    EXPECT_EQ(parked[0].key, "37");
    ASSERT_TRUE(parked[0].item);
    EXPECT_EQ(parked[0].item->value, 37);
    EXPECT_EQ(parked[0].error, "37 may not");
    EXPECT_EQ(parked[0].attempts, 1U);
    EXPECT_EQ(cache.dirty_count(), 0U);
    EXPECT_EQ(cache.stats().parked, 1U);
    EXPECT_EQ(cache.stats().parkings, 1U);
    EXPECT_EQ(seen(cache, "37"), 37);
    EXPECT_FALSE(cache.invalidate("37"));
    EXPECT_EQ(cache.prune(), 0U);
  }
}

TEST(FailingStore, AParkedItemIsNotTriedAgainByItself) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  store.reject("a");
  cache.flush();
  const std::size_t calls = store.calls(StoreCall::begin_tx);
  const FlushResult result = cache.flush();
  EXPECT_EQ(result.parked, 1U);
  EXPECT_EQ(result.error, "");
  EXPECT_EQ(store.calls(StoreCall::begin_tx), calls);
}

TEST(FailingStore, ParkingTakesParkAfterCountedRejections) {
  Store store;
  CacheConfig config = manual();
  config.park_after = 3;
  Cache cache{store, config};
  cache.put({"a", 1});
  store.reject("a");
  EXPECT_EQ(cache.flush().pending, 1U);
  EXPECT_EQ(cache.flush().pending, 1U);
  EXPECT_EQ(cache.flush().parked, 1U);
  EXPECT_EQ(cache.parked()[0].attempts, 3U);
}

TEST(FailingStore, NothingIsParkedBeforeRetryBackoffMaxHasPassed) {
  Store store;
  CacheConfig config = manual();
  config.retry_backoff_max = 1h;
  Cache cache{store, config};
  cache.put({"a", 1});
  store.reject("a");
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(cache.flush().pending, 1U);
  EXPECT_TRUE(cache.parked().empty());
  store.accept("a");
  EXPECT_TRUE(cache.flush().ok());
}

TEST(FailingStore, ANewWriteReleasesAParkedEntry) {
  Store store;
  store.insert({"d", 1});
  Cache cache{store, manual()};
  put_letters(cache, 'a', 'd');
  for (const auto* key : {"a", "b", "c", "d"})
    store.reject(key);
  EXPECT_EQ(cache.flush().parked, 4U);
  cache.put({"a", 1});
  cache.update("b", [](Account& account) { account.value = 2; });
  cache.compute("c", [](std::optional<Account>& item) { item->value = 3; });
  cache.erase("d");
  EXPECT_EQ(cache.dirty_count(), 4U);
  EXPECT_TRUE(cache.parked().empty());
  for (const auto* key : {"a", "b", "c", "d"})
    store.accept(key);
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(store.row("b")->value, 2);
  EXPECT_FALSE(store.row("d"));
}

TEST(FailingStore, AnUpdateThatChangedNothingLeavesTheEntryParked) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  store.reject("a");
  cache.flush();
  cache.update("a", [](Account&) { return false; });
  EXPECT_EQ(cache.parked().size(), 1U);
}

TEST(FailingStore, RetryParkedMakesThemDirtyAgain) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  store.reject("a");
  cache.flush();
  EXPECT_EQ(cache.retry_parked(), 1U);
  EXPECT_EQ(cache.dirty_count(), 1U);
  EXPECT_EQ(cache.flush().parked, 1U);
  store.accept("a");
  EXPECT_EQ(cache.retry_parked(), 1U);
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(cache.retry_parked(), 0U);
}

TEST(FailingStore, DiscardParkedLetsTheNextReadAskTheStore) {
  Store store;
  store.insert({"a", 7});
  store.insert({"b", 8});
  Cache cache{store, manual()};
  cache.put({"a", 1});
  cache.erase("b");
  cache.put({"c", 1});
  store.reject("a");
  store.reject("b", "no", StoreCall::erase);
  EXPECT_EQ(cache.flush().parked, 2U);
  EXPECT_FALSE(cache.get("b"));
  EXPECT_TRUE(cache.discard_parked("a"));
  EXPECT_TRUE(cache.discard_parked("b"));
  EXPECT_FALSE(cache.discard_parked("c"));
  EXPECT_FALSE(cache.discard_parked("nobody"));
  EXPECT_EQ(value_of(cache.get("a")), 7);
  EXPECT_EQ(value_of(cache.get("b")), 8);
  EXPECT_TRUE(cache.flush().ok());
}

TEST(FailingStore, AParkedEraseIsReportedAsSuch) {
  Store store;
  store.insert({"a", 7});
  Cache cache{store, manual()};
  cache.erase("a");
  store.reject("a", "no", StoreCall::erase);
  EXPECT_EQ(cache.flush().parked, 1U);
  EXPECT_FALSE(cache.parked()[0].item);
  EXPECT_EQ(cache.parked()[0].key, "a");
  EXPECT_FALSE(cache.contains("a"));
}

/// Refuses two rows with the same value, like a unique index beside the key.
struct UniqueStore : ErasingStore<Account> {
  using ErasingStore::ErasingStore;
  WriteFailure classify(const std::exception&) { return WriteFailure::rejected; }
  void save(Account& item, transaction_type& transaction) {
    for (const Account& row : store_.rows()) {
      if (row.login != item.login && row.value == item.value) throw StoreRejected("not unique");
    }
    store_.save(item, transaction);
  }
};

TEST(FailingStore, AChainOfHandedOnValuesIsStoredAndNothingParked) {
  constexpr int length = 40;
  for (const std::size_t max_batch : {1'000U, 39U, 7U, 1U}) {  // also in less than a round a pass
    for (const bool forwards : {true, false}) {
      Store store;
      for (int i = 0; i < length; ++i)
        store.insert({std::to_string(i), i});
      LazyWriterCache cache{UniqueStore{store}, manual({.max_batch = max_batch})};
      // Each takes the value of the next one: only the last can go first.
      for (int i = 0; i < length; ++i) {
        const int number = forwards ? i : length - 1 - i;
        cache.put({std::to_string(number), number + 1});
      }
      const FlushResult result = cache.flush(20s);
      EXPECT_TRUE(result.ok()) << result.pending << " pending, " << result.parked << " parked";
      EXPECT_EQ(cache.stats().parkings, 0U) << max_batch;
      for (int i = 0; i < length; ++i)
        EXPECT_EQ(store.row(std::to_string(i))->value, i + 1);
    }
  }
}

TEST(FailingStore, MoreRejectedItemsThanARoundComesToAreAllParkedAtLast) {
  Store store;
  Cache cache{store, manual({.max_batch = 3, .park_after = 2})};
  for (int i = 0; i < 20; ++i) {
    store.reject(std::to_string(i));
    cache.put({std::to_string(i), i});
  }
  for (int i = 0; i < 100; ++i) {
    cache.put({"good", i});  // what goes through at once unblocks nobody
    cache.flush();
  }
  EXPECT_EQ(cache.parked().size(), 20U);
  EXPECT_EQ(store.row("good")->value, 99);
}

TEST(FailingStore, ATrueSwapIsParkedAndReadable) {
  Store store;
  store.insert({"a", 1});
  store.insert({"b", 2});
  LazyWriterCache cache{UniqueStore{store}, manual()};
  cache.put({"a", 2});
  cache.put({"b", 1});
  EXPECT_EQ(cache.flush().parked, 2U);
  EXPECT_EQ(seen(cache, "a"), 2);
  EXPECT_EQ(seen(cache, "b"), 1);
}

TEST(FailingStore, TheLogHearsOfAChangeOfStateOnce) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  store.fail_always();
  for (int i = 0; i < 5; ++i)
    cache.flush();
  EXPECT_EQ(store.warnings().size(), 1U);
  EXPECT_NE(store.warnings()[0].find("the store is down"), std::string::npos);
  EXPECT_TRUE(store.infos().empty());
  store.recover();
  cache.flush();
  cache.flush();
  EXPECT_EQ(store.warnings().size(), 1U);
  EXPECT_EQ(store.infos().size(), 1U);
}

TEST(FailingStore, TheLogHearsOfAParkedItemOnceWithItsKeyAndTheReason) {
  Store store;
  Cache cache{store, manual()};
  store.reject("ann", "too many of those");
  cache.put({"ann", 1});
  cache.put({"bob", 1});
  for (int i = 0; i < 3; ++i)
    cache.flush();
  EXPECT_THAT(store.warnings(),
              ElementsAre("lazywriter: parked \"ann\", the store rejects it: too many of those"));
  EXPECT_TRUE(store.infos().empty());
}

TEST(FailingStore, TheLogHearsOfABacklogAboveHalfOfMaxDirtyOnce) {
  Store store;
  Cache cache{store, manual({.max_dirty = 10})};
  store.fail_always();
  for (char name = 'a'; name <= 'f'; ++name) {
    cache.put({std::string(1, name), 1});
    cache.flush();
  }
  cache.flush();
  EXPECT_THAT(store.warnings(), ElementsAre(HasSubstr("the store does not take writes"),
                                            "lazywriter: 6 entries are unsaved, more than half of "
                                            "max_dirty (10)"));
  store.recover();
  cache.flush();
  EXPECT_THAT(store.infos(), UnorderedElementsAre(HasSubstr("the store takes writes again"),
                                                  HasSubstr("below a quarter of max_dirty")));
}

TEST(FailingStore, TheLogHearsOfTheRecoveryOfTheOnlyItem) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  store.fail_next(StoreCall::save, 2);
  for (int i = 0; i < 3; ++i)
    cache.flush();
  EXPECT_EQ(store.warnings().size(), 1U);
  EXPECT_EQ(store.infos().size(), 1U);
}

TEST(FailingStore, AdapterCallbacksThatThrowChangeNothing) {
  for (const auto call : {StoreCall::classify, StoreCall::warn, StoreCall::info}) {
    for (const auto fault : {StoreFault::transient, StoreFault::unknown}) {
      Store store;
      Cache cache{store, manual()};
      put_letters(cache, 'a', 'd');
      store.fail_always(call, fault);
      store.reject("b");
      cache.flush();
      EXPECT_EQ(cache.dirty_count() + cache.parked().size(), 1U);
      store.accept("b");
      cache.retry_parked();
      EXPECT_TRUE(cache.flush(20s).ok());
      EXPECT_EQ(store.size(), 4U);
    }
  }
}

TEST(FailingStore, AVersionWrittenDuringARejectedFlightIsTriedOnItsOwnMerits) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  store.fail_next(StoreCall::commit_tx, 1, StoreFault::rejected);
  const auto gate = block_at(store, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  cache.put({"a", 2});
  gate->open();
  flush.get();
  EXPECT_TRUE(cache.parked().empty());
  cache.flush();
  EXPECT_EQ(store.row("a")->value, 2);
}

TEST(FailingStore, AValueWrittenOverOneThatFailedIsNoRetry) {
  Store store;
  Cache cache{store, manual()};
  put_letters(cache, 'a', 'b');
  store.fail_next(StoreCall::begin_tx, 1);
  EXPECT_EQ(cache.flush().pending, 2U);
  cache.put({"a", 1});
  EXPECT_EQ(cache.flush().written, 2U);
  EXPECT_EQ(cache.stats().retries, 1U);  // b
}

TEST(FailingStore, TheLoopComesBackByItselfWhenTheStoreDoes) {
  Store store;
  CacheConfig config = manual();
  config.flush_interval = 1ms;
  config.retry_backoff_max = 2ms;
  config.retry_backoff_min = 1ms;
  Cache cache{store, config};
  store.fail_always();
  cache.put({"a", 1});
  store.wait_for_calls(StoreCall::begin_tx, 5);
  EXPECT_EQ(value_of(cache.get("a")), 1);
  store.recover();
  store.wait_for_calls(StoreCall::commit_tx, 1);
  EXPECT_TRUE(cache.flush().ok());
}

TEST(FailingStore, EarlyWakesDoNotShortenTheBackoff) {
  Store store;
  CacheConfig config = manual({.max_dirty = 4});
  config.flush_interval = 1ms;
  config.retry_backoff_min = 1h;
  config.retry_backoff_max = 1h;
  config.backpressure_timeout = 20ms;
  Cache cache{store, config};
  store.fail_always();
  cache.put({"a", 1});
  store.wait_for_calls(StoreCall::begin_tx, 1);
  for (int i = 0; i < 3; ++i)
    cache.put({std::to_string(i), 1});
  EXPECT_THROW(cache.put({"one too many", 1}), CacheFull);
  EXPECT_EQ(store.calls(StoreCall::begin_tx), 1U);
  store.recover();
  EXPECT_TRUE(cache.flush().ok());  // flush() ignores it
}

TEST(FailingStore, AFlushThatGoesThroughEndsTheBackoffOfTheLoop) {
  Store store;
  CacheConfig config = manual();
  config.flush_interval = 1ms;
  config.retry_backoff_min = 1h;
  config.retry_backoff_max = 1h;
  Cache cache{store, config};
  store.fail_always();
  cache.put({"a", 1});
  ASSERT_TRUE(eventually([&] { return cache.stats().failed_transactions == 1; }));
  store.recover();
  EXPECT_TRUE(cache.flush().ok());
  cache.put({"b", 1});
  EXPECT_TRUE(eventually([&] { return store.calls(StoreCall::commit_tx) >= 2; }));
  EXPECT_EQ(store.calls(StoreCall::commit_tx), 2U);
}

TEST(FailingStore, AFlushThatGoesThroughInPartShortensTheBackoffOfTheLoop) {
  Store store;
  CacheConfig config = manual({.max_batch = 1});
  config.flush_interval = 1h;
  config.retry_backoff_min = 1ms;
  config.retry_backoff_max = 1h;
  Cache cache{store, config};
  put_letters(cache, 'a', 'c');
  store.fail_always();
  for (int i = 0; i < 20; ++i)
    cache.flush();
  store.recover();
  store.on_call([begun = 0](StoreCall call, FaultTime time) mutable {
    if (call != StoreCall::begin_tx || time != FaultTime::before_effect) return;
    if (++begun == 2) throw StoreDown("gone");
  });
  EXPECT_EQ(cache.flush().written, 1U);
  EXPECT_TRUE(eventually([&] { return !cache.is_dirty(); }));
}

TEST(FailingStore, ABackoffOfZeroDoesNotSpin) {
  Store store;
  store.on_call([](StoreCall call, FaultTime) {
    if (call == StoreCall::begin_tx) throw StoreDown("down");
  });
  Cache cache{store, manual()};  // retry_backoff_min and _max are 0
  cache.put({"ann", 1});
  EXPECT_FALSE(cache.flush(50ms).ok());
  EXPECT_LE(store.calls(StoreCall::begin_tx), 51U) << "a try each millisecond";
}

}  // namespace
}  // namespace lazywriter::testing
