// close() and the destructor: bounded in time, everything unsaved handed back, no thread left
// (P10).
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "support/eventually.hpp"
#include "support/manual_cache.hpp"
#include "support/plain_store.hpp"
#include "support/thread_count.hpp"

namespace lazywriter::testing {
namespace {

/// With both loops.
CacheConfig looping(CacheConfig config = {}) {
  config.flush_interval = 1ms;
  config.prune_interval = 1ms;
  config.retry_backoff_min = 1ms;
  config.retry_backoff_max = 2ms;
  config.close_timeout = 5s;
  return config;
}

std::vector<std::string> keys(const CloseResult<Account>& result) {
  std::vector<std::string> all;
  for (const auto& unsaved : result.unsaved)
    all.push_back(unsaved.key);
  std::sort(all.begin(), all.end());
  return all;
}

TEST(Shutdown, CloseWritesWhatIsUnsavedAndJoinsBothThreads) {
  const std::size_t before = thread_count();
  Store store;
  CacheConfig config = looping();
  config.flush_interval = 1h;
  Cache cache{store, config};
  EXPECT_EQ(thread_count(), before + 2);
  cache.put({"a", 1});
  cache.erase("b");
  const auto result = cache.close();
  EXPECT_TRUE(result.unsaved.empty());
  EXPECT_TRUE(result.flush.ok());
  EXPECT_EQ(result.flush.written, 1U);
  EXPECT_EQ(result.flush.erased, 1U);
  EXPECT_TRUE(store.row("a"));
  EXPECT_TRUE(comes_down_to(before));
}

TEST(Shutdown, AfterwardsReadsAnswerFromMemoryAndWritesThrow) {
  Store store;
  store.insert({"b", 7});
  Cache cache{store, looping()};
  cache.put({"a", 1});
  cache.close();
  EXPECT_EQ(value_of(cache.get("a")), 1);
  EXPECT_EQ(seen(cache, "a"), 1);
  EXPECT_FALSE(cache.get("b"));
  EXPECT_EQ(store.calls(StoreCall::find), 0U);
  EXPECT_EQ(cache.size(), 1U);
  EXPECT_THROW(cache.put({"a", 2}), CacheClosed);
  EXPECT_THROW(cache.try_put({"a", 2}), CacheClosed);
  EXPECT_THROW(cache.update("a", [](Account&) {}), CacheClosed);
  EXPECT_THROW(cache.compute("a", [](std::optional<Account>&) {}), CacheClosed);
  EXPECT_THROW(cache.erase("a"), CacheClosed);
  EXPECT_EQ(value_of(cache.get("a")), 1);
  EXPECT_TRUE(cache.flush().ok());
}

TEST(Shutdown, WithoutFlushOnCloseEverythingIsHandedBack) {
  Store store;
  CacheConfig config = manual();
  config.flush_on_close = false;
  Cache cache{store, config};
  cache.put({"a", 1});
  cache.erase("b");
  const auto result = cache.close();
  EXPECT_EQ(keys(result), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(store.calls(StoreCall::begin_tx), 0U);
}

TEST(Shutdown, WithTheStoreDownTheUnsavedComeBackWithTheirReason) {
  Store store;
  Cache cache{store, looping()};
  store.reject("parked", "may not");
  cache.put({"parked", 1});
  while (cache.stats().parked == 0) {
    cache.flush();
  }
  store.fail_always();
  cache.put({"a", 1});
  cache.erase("b");
  const auto start = std::chrono::steady_clock::now();
  const auto result = cache.close(50ms);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  EXPECT_EQ(keys(result), (std::vector<std::string>{"a", "b", "parked"}));
  EXPECT_EQ(result.flush.pending, 2U);
  EXPECT_EQ(result.flush.parked, 1U);
  EXPECT_FALSE(result.flush.ok());
  for (const auto& unsaved : result.unsaved) {
    EXPECT_EQ(unsaved.item.has_value(), unsaved.key != "b");
    if (unsaved.key == "parked") {
      EXPECT_EQ(unsaved.error, "may not");
      EXPECT_GE(unsaved.attempts, 1U);
    } else {
      EXPECT_EQ(unsaved.error, result.flush.error);
      EXPECT_NE(unsaved.error, "");
    }
  }
  EXPECT_EQ(value_of(cache.get("a")), 1);
}

TEST(Shutdown, AHangingStoreIsInterruptedInTime) {
  for (const auto call : {StoreCall::begin_tx, StoreCall::save, StoreCall::commit_tx}) {
    const std::size_t before = thread_count();
    Store store;
    Cache cache{store, looping()};
    store.fail_always(call, StoreFault::hang);
    cache.put({"a", 1});
    store.wait_for_calls(call, 1);
    const auto start = std::chrono::steady_clock::now();
    const auto result = cache.close(30ms);
    EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
    EXPECT_TRUE(store.interrupted());
    EXPECT_EQ(keys(result), std::vector<std::string>{"a"});
    EXPECT_TRUE(comes_down_to(before));
  }
}

TEST(Shutdown, AStoreThatCannotBeInterruptedIsWaitedForOnce) {
  Store store;
  LazyWriterCache cache{ErasingStore<Account>{store}, looping({.max_batch = 1})};
  const auto gate = block_at(store, StoreCall::commit_tx);
  cache.put({"a", 1});
  gate->wait_for_arrival();
  cache.put({"b", 1});
  auto closing = in_background([&] { return cache.close(10ms); });
  EXPECT_EQ(closing.wait_for(300ms), std::future_status::timeout);
  gate->open();
  const auto result = closing.get();
  EXPECT_EQ(store.size() + result.unsaved.size(), 2U);
  EXPECT_TRUE(store.row("a"));
}

/// Ends the call that waits at `gate` when it is interrupted, and takes everything that comes
/// after.
struct HalfInterruptible : PlainStore<Account> {
  HalfInterruptible(const Store& store, std::shared_ptr<Gate> at)
      : PlainStore(store), gate(std::move(at)) {}
  void interrupt() noexcept { gate->open(); }
  std::shared_ptr<Gate> gate;
};

TEST(Shutdown, OnceTheTimeIsOverNoTransactionIsBegunOrCommitted) {
  for (const auto call : {StoreCall::save, StoreCall::commit_tx}) {
    Store store;
    const auto gate = block_at(store, call);
    LazyWriterCache cache{HalfInterruptible{store, gate}, manual({.max_batch = 1})};
    for (const auto* key : {"a", "b", "c"})
      cache.put({key, 1});
    auto flusher = in_background([&] { return cache.flush(); });
    gate->wait_for_arrival();
    const auto result = cache.close(1ms);
    const std::size_t written = call == StoreCall::commit_tx ? 1 : 0;
    EXPECT_EQ(flusher.get().written, written);
    EXPECT_EQ(store.size(), written);
    EXPECT_EQ(result.unsaved.size(), 3 - written);
    EXPECT_EQ(store.calls(StoreCall::begin_tx), 1U);
  }
}

TEST(Shutdown, ASlowStoreThatMakesItInTimeLosesNothing) {
  Store store;
  Cache cache{store, looping({.max_batch = 1})};
  for (int i = 0; i < 20; ++i)
    cache.put({std::to_string(i), i});
  store.fail_next(StoreCall::begin_tx, 3);
  store.fail_next(StoreCall::save, 3);
  EXPECT_TRUE(cache.close(20s).unsaved.empty());
  EXPECT_EQ(store.size(), 20U);
}

TEST(Shutdown, ThatEndsACallSaysNothingOfTryingAgain) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  store.fail_always(StoreCall::save, StoreFault::hang);
  const auto result = cache.close(1ms);
  ASSERT_EQ(result.unsaved.size(), 1U);
  for (const std::string& line : store.warnings())
    EXPECT_EQ(line.find("tried again"), std::string::npos) << line;
}

TEST(Shutdown, TheSecondCallReturnsTheFirstResult) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  store.fail_always();
  const auto first = cache.close(1ms);
  store.recover();
  EXPECT_EQ(cache.discard_dirty(), 1U);
  const auto second = cache.close();
  EXPECT_EQ(keys(first), keys(second));
  EXPECT_EQ(second.unsaved.size(), 1U);
  EXPECT_EQ(store.size(), 0U);
}

/// Effect: waits until close is back, for much longer than it was given. Returns: its result.
CloseResult<Account> in_time(std::future<CloseResult<Account>>& closing, Store& store) {
  if (closing.wait_for(20s) != std::future_status::ready) {
    ADD_FAILURE() << "close outlives its time";
    store.recover();
  }
  return closing.get();
}

TEST(Shutdown, CloseComesBackInTimeFromALogThatBlocks) {
  for (const auto failing : {StoreCall::begin_tx, StoreCall::commit_tx}) {
    for (const bool loops : {false, true}) {
      const std::size_t before = thread_count();
      Store store;
      {
        Cache cache{store, loops ? looping() : manual()};
        store.fail_always(failing);
        store.fail_always(StoreCall::warn, StoreFault::hang);
        cache.put({"a", 1});
        if (loops) store.wait_for_calls(StoreCall::warn, 1);
        auto closing = in_background([&] { return cache.close(50ms); });
        EXPECT_EQ(keys(in_time(closing, store)), std::vector<std::string>{"a"});
        EXPECT_EQ(store.calls(StoreCall::warn), 1U);
        EXPECT_EQ(value_of(cache.get("a")), 1);
        store.recover();
      }
      EXPECT_TRUE(comes_down_to(before)) << "the destructor waits for that thread";
      EXPECT_EQ(store.size(), 0U) << "what was handed back is not written any more";
    }
  }
}

TEST(Shutdown, ASecondCloseKeepsItsOwnTimeAndReturnsWhatIsUnsavedByThen) {
  Store store;
  Cache cache{store, manual()};
  store.fail_always(StoreCall::begin_tx, StoreFault::hang);
  cache.put({"a", 1});
  cache.erase("b");
  auto first = in_background([&] { return cache.close(1h); });
  store.wait_for_calls(StoreCall::begin_tx, 1);
  auto second = in_background([&] { return cache.close(1ms); });
  const auto by_then = in_time(second, store);
  EXPECT_EQ(keys(by_then), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(by_then.flush.pending, 2U);
  EXPECT_FALSE(by_then.unsaved[0].error.empty());
  EXPECT_FALSE(store.interrupted()) << "the first one still has its time";
  store.recover();
  EXPECT_TRUE(first.get().unsaved.empty());
  EXPECT_TRUE(cache.close(0ms).unsaved.empty()) << "the first result";
  EXPECT_EQ(store.size(), 1U);
}

TEST(Shutdown, CloseDoesNotWaitForAFind) {
  Store store;
  Cache cache{store, looping()};
  store.fail_always(StoreCall::find, StoreFault::hang);
  auto reader = in_background([&] { return cache.get("a"); });
  store.wait_for_calls(StoreCall::find, 1);
  auto closing = in_background([&] { return cache.close(20s); });
  EXPECT_TRUE(in_time(closing, store).unsaved.empty());
  store.recover();
  EXPECT_FALSE(reader.get());
}

TEST(Shutdown, TwoThreadsMayClose) {
  Store store;
  Cache cache{store, looping()};
  cache.put({"a", 1});
  store.fail_always();
  auto other = in_background([&] { return cache.close(20ms); });
  const auto mine = cache.close(20ms);
  EXPECT_EQ(keys(mine), keys(other.get()));
}

TEST(Shutdown, AnAdapterCallMustNotClose) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  bool refused = false;
  store.on_call([&](StoreCall call, FaultTime) {
    if (call != StoreCall::save || refused) return;
    refused = true;
    EXPECT_THROW(cache.close(), ReentrantUse);
  });
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_TRUE(refused);
  cache.put({"b", 1});
}

TEST(Shutdown, WhoWaitsForASlotIsToldSo) {
  Store store;
  CacheConfig config = looping({.max_dirty = 1});
  config.backpressure_timeout = 2 * patience();
  Cache cache{store, config};
  store.fail_always();
  cache.put({"a", 1});
  auto writer = in_background([&] { cache.put({"b", 1}); });
  EXPECT_TRUE(eventually([&] { return cache.stats().backpressure_waits == 1; }));
  const auto result = cache.close(20ms);
  EXPECT_EQ(writer.wait_for(patience()), std::future_status::ready);  // before its own timeout
  EXPECT_THROW(writer.get(), CacheClosed);
  EXPECT_EQ(keys(result), std::vector<std::string>{"a"});
}

TEST(Shutdown, WhoWaitsForALoadGetsItsAnswer) {
  Store store;
  store.insert({"a", 7});
  Cache cache{store, looping()};
  const auto gate = block_at(store, StoreCall::find);
  auto reader = in_background([&] { return cache.get("a"); });
  gate->wait_for_arrival();
  EXPECT_TRUE(cache.close().unsaved.empty());
  gate->open();
  EXPECT_EQ(value_of(reader.get()), 7);
}

TEST(Shutdown, WhoUpdatesAfterALoadIsRefused) {
  Store store;
  store.insert({"a", 7});
  Cache cache{store, looping()};
  const auto gate = block_at(store, StoreCall::find);
  auto writer =
      in_background([&] { return cache.update("a", [](Account& item) { item.value = 8; }); });
  gate->wait_for_arrival();
  EXPECT_TRUE(cache.close().unsaved.empty());
  gate->open();
  EXPECT_THROW(writer.get(), CacheClosed);
  EXPECT_EQ(cache.dirty_count(), 0U);
}

TEST(Shutdown, WhoFlushesComesBack) {
  Store store;
  Cache cache{store, looping()};
  store.fail_always();
  cache.put({"a", 1});
  auto flusher = in_background([&] { return cache.flush(1h); });
  auto invalidator = in_background([&] { return cache.invalidate_all(); });
  const auto result = cache.close(20ms);
  EXPECT_FALSE(flusher.get().ok());
  (void)invalidator.get();
  EXPECT_EQ(keys(result), std::vector<std::string>{"a"});
}

TEST(Shutdown, AHangingFlushOfAnotherThreadIsInterruptedToo) {
  Store store;
  Cache cache{store, manual()};
  store.fail_next(StoreCall::commit_tx, 1, StoreFault::hang);
  cache.put({"a", 1});
  auto flusher = in_background([&] { return cache.flush(); });
  store.wait_for_calls(StoreCall::commit_tx, 1);
  const auto result = cache.close(20ms);
  EXPECT_EQ(flusher.get().pending, 1U);
  EXPECT_EQ(keys(result), std::vector<std::string>{"a"});
}

TEST(Shutdown, AnAcceptedWriteIsSavedOrHandedBackWhoeverRaces) {
  for (int round = 0; round < 30; ++round) {
    Store store;
    Cache cache{store, looping({.shards = 4})};
    std::vector<std::future<int>> writers;
    for (int w = 0; w < 3; ++w) {
      writers.push_back(in_background([&cache, w] {
        int accepted = 0;
        try {
          for (;; ++accepted)
            cache.put({std::to_string(w) + "/" + std::to_string(accepted), 1});
        } catch (const CacheClosed&) {
        }
        return accepted;
      }));
    }
    EXPECT_TRUE(eventually([&] { return cache.stats().puts >= 30; }));
    const auto result = cache.close();
    std::size_t accepted = 0;
    for (auto& writer : writers)
      accepted += static_cast<std::size_t>(writer.get());
    EXPECT_EQ(store.size() + result.unsaved.size(), accepted);
  }
}

/// A key whose hash waits at a gate: between the beginning of a write and its lock.
struct GatedKey {
  int number = 0;
  bool operator==(const GatedKey&) const = default;
  static inline std::atomic<Gate*> gate = nullptr;
};

struct GatedItem {
  GatedKey id;
  GatedKey key() const { return id; }
  void copy_key_data_from(const GatedItem&) {}
};

}  // namespace
}  // namespace lazywriter::testing

template <>
struct lazywriter::key_hash<lazywriter::testing::GatedKey> {
  std::size_t operator()(const lazywriter::testing::GatedKey& key) const {
    auto* const gate = lazywriter::testing::GatedKey::gate.exchange(nullptr);
    if (gate != nullptr) gate->pass();
    return static_cast<std::size_t>(key.number);
  }
};

namespace lazywriter::testing {
namespace {

TEST(Shutdown, AWriteThatBeganBeforeAndComesAfterIsRefused) {
  MemoryReaderWriter<GatedItem> store;
  LazyWriterCache cache{store, manual()};
  Gate gate;
  GatedKey::gate = &gate;
  auto writer = in_background([&] { cache.put({{1}}); });
  gate.wait_for_arrival();
  EXPECT_TRUE(cache.close().unsaved.empty());
  gate.open();
  EXPECT_THROW(writer.get(), CacheClosed);
  EXPECT_EQ(cache.size(), 0U);
  EXPECT_FALSE(cache.is_dirty());
}

TEST(Shutdown, TheDestructorSavesAndWarnsOfTheRest) {
  const std::size_t before = thread_count();
  Store store;
  {
    CacheConfig config = looping();
    config.close_timeout = 30ms;
    Cache cache{store, config};
    cache.put({"a", 1});
    EXPECT_TRUE(cache.flush().ok());
    store.fail_always();
    store.fail_always(StoreCall::info, StoreFault::unknown);
    cache.put({"b", 1});
  }
  EXPECT_TRUE(comes_down_to(before));
  const auto warnings = store.warnings();
  EXPECT_TRUE(std::any_of(warnings.begin(), warnings.end(), [](const std::string& text) {
    return text.find("unsaved") != std::string::npos;
  }));
  {
    Store healthy;
    { Cache{healthy, looping()}.put({"a", 1}); }
    EXPECT_TRUE(healthy.row("a"));
    EXPECT_TRUE(healthy.warnings().empty());
  }
}

TEST(Shutdown, TheDestructorNeverThrowsWhateverTheAdapterDoes) {
  Store store;
  CacheConfig config = looping();
  config.close_timeout = 10ms;
  auto cache = std::make_unique<Cache>(store, config);
  cache->put({"a", 1});
  for (const auto call :
       {StoreCall::begin_tx, StoreCall::warn, StoreCall::info, StoreCall::classify}) {
    store.fail_always(call, StoreFault::unknown);
  }
  EXPECT_NO_THROW(cache.reset());
}

}  // namespace
}  // namespace lazywriter::testing
