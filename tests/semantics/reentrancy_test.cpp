// Calls of the cache from where it cannot answer: functions under its lock, and adapter calls.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "support/manual_cache.hpp"

namespace lazywriter::testing {
namespace {

using Call = std::function<void(Cache&)>;

std::vector<Call> every_call() {
  return {[](Cache& cache) { cache.get("b"); },
          [](Cache& cache) {
            Account out;
            cache.get_into("b", out);
          },
          [](Cache& cache) { cache.visit("b", [](const Account&) {}); },
          [](Cache& cache) { (void)cache.peek("b"); },
          [](Cache& cache) { (void)cache.contains("b"); },
          [](Cache& cache) { cache.for_each([](const Account&) {}); },
          [](Cache& cache) {
            cache.put({"b", 1});
          },
          [](Cache& cache) {
            cache.try_put({"b", 1});
          },
          [](Cache& cache) { cache.update("b", [](Account&) {}); },
          [](Cache& cache) { cache.compute("b", [](std::optional<Account>&) {}); },
          [](Cache& cache) { cache.erase("b"); },
          [](Cache& cache) {
            cache.preload(std::vector<Account>{{"b", 1}});
          },
          [](Cache& cache) { cache.flush(); },
          [](Cache& cache) { cache.flush(1ms); },
          [](Cache& cache) { cache.prune(); },
          [](Cache& cache) { cache.invalidate("b"); },
          [](Cache& cache) { cache.invalidate_all(); },
          [](Cache& cache) { cache.discard_dirty(); },
          [](Cache& cache) { (void)cache.parked(); },
          [](Cache& cache) { cache.retry_parked(); },
          [](Cache& cache) { cache.discard_parked("b"); },
          [](Cache& cache) { cache.close(); },
          [](Cache& cache) { (void)cache.size(); },
          [](Cache& cache) { (void)cache.dirty_count(); },
          [](Cache& cache) { (void)cache.is_dirty(); },
          [](Cache& cache) { (void)cache.oldest_dirty_age(); },
          [](Cache& cache) { (void)cache.stats(); }};
}

TEST(Reentrancy, AFunctionUnderALockMustNotCallItsCache) {
  for (const auto& call : every_call()) {
    Store store;
    Cache cache{store, manual({.shards = 4})};
    cache.put({"a", 1});
    EXPECT_THROW(cache.visit("a", [&](const Account&) { call(cache); }), ReentrantUse);
    EXPECT_THROW(cache.update("a", [&](Account&) { call(cache); }), ReentrantUse);
    EXPECT_THROW(cache.compute("a", [&](std::optional<Account>&) { call(cache); }), ReentrantUse);
    EXPECT_THROW(cache.for_each([&](const Account&) { call(cache); }), ReentrantUse);
    EXPECT_EQ(value_of(cache.get("a")), 1);
    EXPECT_EQ(cache.size(), 1U);
    cache.put({"b", 2});  // and the thread is free again
  }
}

TEST(Reentrancy, AnotherCacheIsAnotherMatter) {
  Store store;
  Cache cache{store, manual()};
  Cache other{store, manual()};
  cache.put({"a", 1});
  cache.visit("a", [&](const Account& account) { other.put(account); });
  EXPECT_TRUE(other.contains("a"));
}

TEST(Reentrancy, AdapterCallsMayReadAndPutButNotFlushPruneOrClose) {
  for (const auto at : {StoreCall::find, StoreCall::begin_tx, StoreCall::save, StoreCall::commit_tx,
                        StoreCall::warn, StoreCall::classify}) {
    Store store;
    Cache cache{store, manual()};
    cache.put({"a", 1});
    int reentrant = 0;
    bool tried = false;
    store.on_call([&](StoreCall call, FaultTime) {
      if (call != at || tried) return;
      tried = true;
      EXPECT_EQ(value_of(cache.get("a")), 1);
      cache.put({"from the adapter", 5});
      EXPECT_THROW(cache.flush(), ReentrantUse);
      EXPECT_THROW(cache.flush(1ms), ReentrantUse);
      EXPECT_THROW(cache.invalidate_all(), ReentrantUse);
      EXPECT_THROW(cache.prune(), ReentrantUse);
      EXPECT_THROW(cache.close(), ReentrantUse);
      ++reentrant;
    });
    if (at == StoreCall::find) {
      cache.get("missing");
    } else if (at == StoreCall::warn || at == StoreCall::classify) {
      store.fail_next(StoreCall::save);
    }
    cache.flush();
    EXPECT_EQ(reentrant, 1);
    EXPECT_TRUE(cache.flush().ok());
    EXPECT_TRUE(store.row("from the adapter"));
  }
}

TEST(Reentrancy, AnAdapterCallNeverWaitsForASlot) {
  Store store;
  CacheConfig config = manual({.max_dirty = 1});
  config.flush_interval = 1h;
  Cache cache{store, config};
  bool refused = false;
  store.on_call([&](StoreCall call, FaultTime time) {
    if (call != StoreCall::save || time != FaultTime::before_effect) return;
    EXPECT_THROW(cache.put({"b", 1}), CacheFull);
    refused = true;
  });
  cache.put({"a", 1});  // wakes the loop, which may be first
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_TRUE(refused);
}

TEST(Reentrancy, AFindThatAsksItsOwnCacheForTheSameKeyDoesNotHang) {
  Store store;
  Cache cache{store, manual()};
  bool asked = false;
  store.on_call([&](StoreCall call, FaultTime) {
    if (call != StoreCall::find || asked) return;
    asked = true;
    EXPECT_THROW(cache.get("a"), ReentrantUse);
  });
  EXPECT_FALSE(cache.get("a"));
  EXPECT_TRUE(asked);
}

}  // namespace
}  // namespace lazywriter::testing
