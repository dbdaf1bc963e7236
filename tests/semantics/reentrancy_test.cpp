// Calls of the cache from where it cannot answer: functions under its lock, and adapter calls.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
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
          [](Cache& cache) { (void)cache.reading(); },
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

/// A find of a key runs the function for it, before it has its answer.
class WithinFind {
 public:
  explicit WithinFind(std::map<std::string, std::function<void()>> f) : f_(std::move(f)) {}

  std::optional<Account> find(const std::string& key) {
    const auto at = f_.find(key);
    if (at != f_.end()) at->second();
    ++finds[key];
    return Account{key, 1};
  }

  std::map<std::string, std::atomic<int>> finds;

 private:
  std::map<std::string, std::function<void()>> f_;
};

/// Shares a WithinFind, since an adapter is moved into its cache.
struct SharedFind {
  using item_type = Account;
  struct transaction_type {};
  std::shared_ptr<WithinFind> to;

  std::optional<Account> find(const std::string& key) { return to->find(key); }
  static transaction_type begin_tx() { return {}; }
  void save(Account&, transaction_type&) {}
  void commit_tx(transaction_type&) {}
  void info(std::string_view) {}
  void warn(std::string_view) {}
};

TEST(Reentrancy, ALookupFromWithinAFindNeverWaitsForAnotherThreadsLoad) {
  using NestedCache = LazyWriterCache<Account, SharedFind>;
  NestedCache* the_cache = nullptr;
  Gate gate;
  std::atomic<bool> first{true};
  const auto store = std::make_shared<WithinFind>(std::map<std::string, std::function<void()>>{
      {"department",
       [&] {
         if (first.exchange(false)) gate.pass();
       }},
      {"by get", [&] { EXPECT_EQ(value_of(the_cache->get("department")), 1); }},
      {"by update", [&] { EXPECT_TRUE(the_cache->update("place", [](Account&) {})); }}});
  store->finds["department"] = store->finds["by get"] = store->finds["by update"] = 0;
  store->finds["place"] = 0;
  NestedCache cache{SharedFind{store}, manual()};
  the_cache = &cache;
  auto other = in_background([&] { return cache.get("department"); });
  gate.wait_for_arrival();
  EXPECT_EQ(value_of(cache.get("by get")), 1);
  EXPECT_EQ(value_of(cache.get("by update")), 1);
  EXPECT_EQ(store->finds["department"], 1) << "a find of its own";
  EXPECT_TRUE(cache.contains("department"));
  gate.open();
  EXPECT_EQ(value_of(other.get()), 1);
}

TEST(Reentrancy, OnlyAKeyWhoseFindThisThreadIsInsideOfIsRefused) {
  using NestedCache = LazyWriterCache<Account, SharedFind>;
  NestedCache* the_cache = nullptr;
  int refused = 0;
  const auto store = std::make_shared<WithinFind>(std::map<std::string, std::function<void()>>{
      {"a", [&] { EXPECT_EQ(value_of(the_cache->get("b")), 1); }},
      {"b", [&] {
         EXPECT_EQ(value_of(the_cache->get("c")), 1);
         for (const auto* key : {"a", "b"}) {
           EXPECT_THROW(the_cache->get(key), ReentrantUse);
           EXPECT_THROW(the_cache->update(key, [](Account&) {}), ReentrantUse);
           ++refused;
         }
         the_cache->put({"a", 5});
         EXPECT_EQ(value_of(the_cache->get("a")), 5) << "it is there now";
       }}});
  for (const auto* key : {"a", "b", "c"})
    store->finds[key] = 0;
  NestedCache cache{SharedFind{store}, manual()};
  the_cache = &cache;
  EXPECT_EQ(value_of(cache.get("a")), 5);
  EXPECT_EQ(refused, 2);
  for (const auto* key : {"a", "b", "c"})
    EXPECT_EQ(store->finds[key], 1) << key;
}

}  // namespace
}  // namespace lazywriter::testing
