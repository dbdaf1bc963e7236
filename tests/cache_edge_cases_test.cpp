// Defects that were found once and must not come back: each needs two or three things at a time.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "lazywriter/lazy_writer_cache.hpp"
#include "lazywriter/memory_reader_writer.hpp"
#include "lazywriter/no_op_reader_writer.hpp"
#include "support/eventually.hpp"

namespace lazywriter {
namespace {

using std::chrono::milliseconds;

struct Row {
  std::string name;
  int value = 0;
  int id = 0;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Row& stored) { id = stored.id; }
};

CacheConfig by_hand() {
  CacheConfig config;
  config.flush_interval = config.prune_interval = milliseconds{0};
  config.retry_backoff_min = config.retry_backoff_max = milliseconds{0};
  config.close_timeout = milliseconds{0};
  config.park_after = 3;
  config.shards = 1;
  return config;
}

// Too long for the string object: the characters lie on the heap.
const std::string key_one = "a rather long key, number one";
const std::string key_two = "a rather long key, number two";

class EdgeCasesTest : public ::testing::Test {
 protected:
  using Store = MemoryReaderWriter<Row>;

  void displace(LazyWriterCache<Row, Store>& cache) {
    cache.put({key_one, 1});
    ASSERT_TRUE(cache.flush().ok());
    EXPECT_THROW(cache.update(key_one, [](Row& row) { row.name = key_two; }), KeyChanged);
  }

  Store store_;
};

TEST_F(EdgeCasesTest, AWriteOverAnItemWithAForeignKeyKeepsItsOwn) {
  LazyWriterCache cache(store_, by_hand());
  displace(cache);
  cache.put({key_one, 42});
  EXPECT_EQ(cache.get(key_one)->value, 42);
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(store_.row(key_one)->value, 42);
  EXPECT_FALSE(store_.row(key_two).has_value());
}

TEST_F(EdgeCasesTest, AnUpdateMayRepairTheKey) {
  LazyWriterCache cache(store_, by_hand());
  displace(cache);
  EXPECT_TRUE(cache.update(key_one, [](Row& row) { row = {key_one, 7, 0}; }));
  EXPECT_TRUE(cache.contains(key_one));
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(store_.row(key_one)->value, 7);
}

TEST_F(EdgeCasesTest, AKeyThatIsRightAgainCanBeRetried) {
  LazyWriterCache cache(store_, by_hand());
  displace(cache);
  EXPECT_TRUE(cache.update(key_one, [](Row& row) {
    row = {key_one, 7, 0};
    return false;  // nothing to save, it says
  }));
  EXPECT_EQ(cache.parked().size(), 1U);
  EXPECT_EQ(cache.retry_parked(), 1U);
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(store_.row(key_one)->value, 7);
  EXPECT_EQ(cache.get(key_one)->value, 7);
}

// Its key is a copy, for which there may be no memory.
struct Copied {
  std::string name;
  int value = 0;
  const bool* memory = nullptr;
  std::string key() const {
    if (memory != nullptr && !*memory) throw std::bad_alloc();
    return name;
  }
  void copy_key_data_from(const Copied&) {}
};

TEST_F(EdgeCasesTest, AKeyThatCouldNotBeReadAfterAnUpdateCanBeRetried) {
  MemoryReaderWriter<Copied> store;
  LazyWriterCache cache(store, by_hand());
  bool memory = true;
  cache.put({"a", 1, &memory});
  EXPECT_THROW(cache.update("a",
                            [&](Copied& item) {
                              item.value = 2;
                              memory = false;
                            }),
               std::bad_alloc);
  EXPECT_EQ(cache.retry_parked(), 0U);
  EXPECT_EQ(cache.flush().parked, 1U);
  memory = true;
  EXPECT_EQ(cache.retry_parked(), 1U);
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(store.row("a")->value, 2);
}

TEST_F(EdgeCasesTest, AnItemWithAForeignKeyCanBeErasedAndDiscarded) {
  LazyWriterCache cache(store_, by_hand());
  displace(cache);
  cache.erase(key_one);
  EXPECT_FALSE(cache.contains(key_one));
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_FALSE(store_.row(key_one).has_value());

  displace(cache);
  EXPECT_EQ(cache.retry_parked(), 0U) << "it would be saved under the foreign key";
  EXPECT_TRUE(cache.discard_parked(key_one));
  EXPECT_EQ(cache.get(key_one)->value, 1) << "as the store has it";
}

// A copy-on-write item: its key lies in a block that moves when a shared one is written.
struct Shared {
  struct Data {
    std::string name;
    int id = 0;
  };
  std::shared_ptr<Data> data = std::make_shared<Data>();
  const std::string& key() const { return data->name; }
  void copy_key_data_from(const Shared& stored) {
    if (data.use_count() > 1) data = std::make_shared<Data>(*data);
    data->id = stored.data->id;
  }
};

TEST_F(EdgeCasesTest, AKeyMayMoveWhenTheStoreFillsInWhatItGenerated) {
  MemoryReaderWriter<Shared> store;
  LazyWriterCache cache(store, by_hand());
  Shared item;
  item.data->name = key_one;
  cache.put(std::move(item));
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_TRUE(cache.contains(key_one));
  EXPECT_TRUE(cache.update(
      key_one, [](Shared& shared) { shared.data = std::make_shared<Shared::Data>(*shared.data); }));
  EXPECT_TRUE(cache.contains(key_one));
}

TEST_F(EdgeCasesTest, AKeyThatIsRightAgainMayMoveToo) {
  MemoryReaderWriter<Shared> store;
  LazyWriterCache cache(store, by_hand());
  const auto with_name = [](const std::string& name) {
    return [name](Shared& item) {
      item.data = std::make_shared<Shared::Data>(Shared::Data{name, 0});
      return name != key_one;
    };
  };
  Shared item;
  with_name(key_one)(item);
  cache.put(std::move(item));
  std::optional<Shared> other;  // shares the block that the key lies in when the save is over
  store.on_call([&](StoreCall call, FaultTime time) {
    if (call != StoreCall::commit_tx || time != FaultTime::before_effect) return;
    EXPECT_THROW(cache.update(key_one, with_name(key_two)), KeyChanged);
    EXPECT_TRUE(cache.update(key_one, with_name(key_one)));
    other = cache.get(key_one);
  });
  EXPECT_EQ(cache.flush().parked, 1U);
  store.on_call({});
  other.reset();
  EXPECT_TRUE(cache.contains(key_one));
  EXPECT_EQ(cache.retry_parked(), 1U);
  EXPECT_TRUE(cache.flush().ok());
}

// Its end uses the cache, which would wait for itself if its lock were held.
struct Farewell {
  std::string name;
  std::shared_ptr<void> end;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Farewell&) {}
};

TEST_F(EdgeCasesTest, WhatAWriteReplacesIsDestroyedWithoutTheLock) {
  MemoryReaderWriter<Farewell> store;
  LazyWriterCache<Farewell, MemoryReaderWriter<Farewell>>* used = nullptr;
  int ends = 0;
  const auto item = [&](const char* name) {
    return Farewell{name, std::shared_ptr<void>(nullptr, [&](void*) {
                      ends += used == nullptr || used->contains("none") ? 0 : 1;
                    })};
  };
  LazyWriterCache cache(store, by_hand());
  used = &cache;
  for (const char* const name : {"a", "b", "c"})
    cache.put(item(name));
  cache.put(item("a"));
  EXPECT_EQ(ends, 1);
  cache.compute("b", [&](std::optional<Farewell>& held) { held = item("b"); });
  EXPECT_EQ(ends, 2);
  EXPECT_EQ(cache.discard_dirty(), 3U);
  EXPECT_TRUE(cache.invalidate("a"));
  EXPECT_EQ(ends, 3);
  cache.erase("b");
  EXPECT_EQ(cache.discard_dirty(), 1U);
  EXPECT_EQ(ends, 4);
  cache.invalidate_all();
  EXPECT_EQ(ends, 5);
  const auto rename = [](Farewell& farewell) { farewell.name = "foreign"; };
  cache.put(item("d"));
  EXPECT_THROW(cache.update("d", rename), KeyChanged);
  cache.erase("d");
  EXPECT_EQ(ends, 6);
  cache.put(item("e"));
  EXPECT_THROW(cache.update("e", rename), KeyChanged);
  cache.compute("e", [](std::optional<Farewell>& held) { held.reset(); });
  EXPECT_EQ(ends, 7);
  used = nullptr;
}

TEST_F(EdgeCasesTest, WhatAFlushCopiedIsDestroyedWithoutTheLock) {
  LazyWriterCache<Farewell, NoOpReaderWriter<Farewell>>* used = nullptr;
  int ends = 0;
  LazyWriterCache<Farewell, NoOpReaderWriter<Farewell>> cache({}, by_hand());
  used = &cache;
  for (int i = 0; i < 3; ++i) {
    cache.put({"a", std::shared_ptr<void>(nullptr, [&](void*) {
                 ends += used == nullptr || used->contains("none") ? 0 : 1;
               })});
    EXPECT_TRUE(cache.flush().ok());
  }
  EXPECT_EQ(ends, 2);
  used = nullptr;
}

TEST_F(EdgeCasesTest, AnOutageParksNothing) {
  LazyWriterCache cache(store_, by_hand());
  cache.put({key_one, 1});
  store_.fail_next(StoreCall::save);
  EXPECT_EQ(cache.flush().pending, 1U);
  store_.fail_always(StoreCall::begin_tx);
  for (int i = 0; i < 10; ++i) {
    const FlushResult result = cache.flush();
    EXPECT_EQ(result.pending, 1U);
    EXPECT_EQ(result.parked, 0U);
  }
  store_.recover();
  EXPECT_TRUE(cache.flush().ok());
}

TEST_F(EdgeCasesTest, MoreSuspectsThanAPassMayRetryTakeTurns) {
  CacheConfig config = by_hand();
  config.max_batch = 2;
  LazyWriterCache cache(store_, config);
  for (const char* const name : {"a", "b", "c", "d", "e"}) {
    cache.put({name, 1});
    store_.reject(name);
  }
  cache.flush();
  store_.accept("e");
  for (int i = 0; i < 20; ++i)
    cache.flush();
  EXPECT_TRUE(store_.row("e").has_value());
  EXPECT_EQ(cache.parked().size(), 4U);
  EXPECT_EQ(cache.dirty_count(), 0U);
}

TEST_F(EdgeCasesTest, WhatWasParkedAtTheCallIsPendingWhenItIsReleasedDuringTheFlush) {
  CacheConfig config = by_hand();
  config.park_after = 1;
  LazyWriterCache cache(store_, config);
  cache.put({"parked", 1});
  store_.reject("parked");
  EXPECT_EQ(cache.flush().parked, 1U);
  cache.put({"other", 1});
  store_.on_call([&](StoreCall call, FaultTime time) {
    if (call == StoreCall::commit_tx && time == FaultTime::before_effect) cache.put({"parked", 2});
  });
  const FlushResult result = cache.flush();
  store_.on_call({});
  EXPECT_EQ(result.pending, 1U);
  EXPECT_FALSE(result.ok());
}

TEST_F(EdgeCasesTest, ConcurrentUpdatesOfAnAbsentKeyShareOneFind) {
  LazyWriterCache cache(store_, by_hand());
  constexpr std::size_t callers = 4;
  constexpr std::size_t rounds = 25;
  std::atomic<int> found{0};
  for (std::size_t round = 1; round <= rounds; ++round) {
    std::latch go_on(1);
    store_.on_call([&](StoreCall call, FaultTime time) {
      if (call == StoreCall::find && time == FaultTime::before_effect) go_on.wait();
    });
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < callers; ++i) {
      threads.emplace_back([&] { found += cache.update("absent", [](Row&) {}) ? 1 : 0; });
    }
    // Nearly all of them wait for the one find by then.
    EXPECT_TRUE(testing::eventually([&] { return cache.stats().misses == callers * round; }));
    go_on.count_down();
  }
  EXPECT_EQ(found, 0);
  // Were "absent" no answer for those who waited, each would make a find of its own in every round.
  EXPECT_LT(store_.calls(StoreCall::find), callers * rounds);
}

// Saves one by one. Being interrupted does not help it: the call under way takes its time.
struct SlowStore {
  using item_type = Row;
  struct transaction_type {};
  std::shared_ptr<std::atomic<int>> saves = std::make_shared<std::atomic<int>>(0);
  std::shared_ptr<std::latch> saving = std::make_shared<std::latch>(1);
  std::shared_ptr<std::latch> interrupted = std::make_shared<std::latch>(1);
  std::shared_ptr<std::latch> go_on = std::make_shared<std::latch>(1);
  std::optional<Row> find(const std::string&) { return std::nullopt; }
  transaction_type begin_tx() { return {}; }
  void save(Row&, transaction_type&) {
    if (++*saves == 1) {
      saving->count_down();
      go_on->wait();
    }
  }
  void commit_tx(transaction_type&) {}
  void interrupt() noexcept { interrupted->count_down(); }
  void info(std::string_view) {}
  void warn(std::string_view) {}
};

TEST_F(EdgeCasesTest, CloseWaitsForTheCallUnderWayAndNotForTheWholeTransaction) {
  SlowStore store;
  LazyWriterCache cache(store, by_hand());
  for (int i = 0; i < 100; ++i)
    cache.put({std::to_string(i), i});
  std::jthread flusher([&] { cache.flush(); });
  store.saving->wait();
  CloseResult<Row> result;
  std::jthread closer([&] { result = cache.close(milliseconds{0}); });
  store.interrupted->wait();
  store.go_on->count_down();
  closer.join();
  EXPECT_EQ(result.unsaved.size(), 100U);
  EXPECT_EQ(*store.saves, 1);
}

}  // namespace
}  // namespace lazywriter
