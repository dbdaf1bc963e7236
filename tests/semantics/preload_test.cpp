// Preload of rows that were read while others write: what a Reading promises beside the table of
// interleavings/preload_interleavings_test.cpp.
#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <future>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "lazywriter/errors.hpp"
#include "support/manual_cache.hpp"

namespace lazywriter::testing {
namespace {

using Rows = std::vector<Account>;

static_assert(std::is_nothrow_move_constructible_v<Reading>);
static_assert(std::is_nothrow_move_assignable_v<Reading>);
static_assert(!std::is_copy_constructible_v<Reading> && !std::is_copy_assignable_v<Reading>);
static_assert(!std::is_default_constructible_v<Reading>);

/// Rows that are made when they are asked for, as a cursor makes them.
template <class Make>
struct Cursor {
  struct Iterator {
    using value_type = std::invoke_result_t<const Make&, int>;
    using difference_type = std::ptrdiff_t;
    value_type operator*() const { return cursor->make(at); }
    Iterator& operator++() {
      ++at;
      return *this;
    }
    void operator++(int) { ++at; }
    bool operator==(std::default_sentinel_t) const { return at == cursor->count; }

    const Cursor* cursor = nullptr;
    int at = 0;
  };
  [[nodiscard]] Iterator begin() const { return {this, 0}; }
  [[nodiscard]] std::default_sentinel_t end() const { return {}; }

  int count;
  Make make;
};
template <class Make>
Cursor(int, Make) -> Cursor<Make>;

/// Effect: the row is erased in memory and in the store.
void erase_row(Cache& cache, const std::string& key) {
  cache.erase(key);
  EXPECT_TRUE(cache.flush().ok());
}

TEST(Preload, AReadingTakesInWhatNobodyTouched) {
  Store store;
  Cache cache{store, manual()};
  store.insert({"ann", 1});
  store.insert({"bob", 2});
  store.insert({"carl", 3});
  const Reading reading = cache.reading();
  const Rows rows = store.rows();
  erase_row(cache, "bob");
  EXPECT_EQ(cache.preload(rows, reading), 2U);
  EXPECT_EQ(seen(cache, "ann"), 1);
  EXPECT_EQ(seen(cache, "bob"), std::nullopt);
  EXPECT_EQ(seen(cache, "carl"), 3);
  EXPECT_EQ(cache.dirty_count(), 0U);
  EXPECT_EQ(cache.stats().preloads, 2U);
  // The plain one is for rows that nobody can have written since.
  EXPECT_EQ(cache.preload(rows), 1U);
}

TEST(Preload, AReadingLeavesOutOnlyWhatHappenedSinceItBegan) {
  Store store;
  Cache cache{store, manual()};
  erase_row(cache, "ann");
  store.insert({"ann", 2});  // by somebody else, before the rows are read
  const Reading first = cache.reading();
  erase_row(cache, "bob");
  const Reading second = cache.reading();
  EXPECT_EQ(cache.preload(Rows{{"bob", 1}}, first), 0U);
  EXPECT_EQ(cache.preload(Rows{{"bob", 1}}, second), 1U);
  EXPECT_EQ(cache.preload(Rows{{"ann", 2}}, first), 1U);
}

TEST(Preload, AReadingLivesOnWhereItIsMovedTo) {
  Store store;
  Cache cache{store, manual()};
  Reading first = cache.reading();
  erase_row(cache, "ann");
  Reading second = std::move(first);
  EXPECT_EQ(cache.preload(Rows{{"ann", 1}}, second), 0U);
  EXPECT_THROW(cache.preload(Rows{{"ann", 1}}, first), std::invalid_argument);  // NOLINT: moved
  EXPECT_FALSE(first.overflowed());                                             // NOLINT: moved
  second = cache.reading();
  EXPECT_EQ(cache.preload(Rows{{"ann", 1}}, second), 1U);
  first = std::move(second);
  erase_row(cache, "ann");
  EXPECT_EQ(cache.preload(Rows{{"ann", 1}}, first), 0U);
  auto* const itself = &first;
  first = std::move(*itself);
  EXPECT_EQ(cache.preload(Rows{{"ann", 1}}, first), 0U);
}

TEST(Preload, AReadingOfAnotherCacheIsRefused) {
  Store store;
  Cache one{store, manual()};
  Cache other{store, manual()};
  const Reading reading = other.reading();
  EXPECT_THROW(one.preload(Rows{{"ann", 1}}, reading), std::invalid_argument);
  EXPECT_EQ(one.size(), 0U);
}

TEST(Preload, AfterCloseAReadingTakesNothingIn) {
  Store store;
  Cache cache{store, manual()};
  const Reading reading = cache.reading();
  cache.close();
  EXPECT_THROW(cache.preload(Rows{{"ann", 1}}, reading), CacheClosed);
  const Reading late = cache.reading();
  EXPECT_THROW(cache.preload(Rows{{"ann", 1}}, late), CacheClosed);
}

TEST(Preload, AReadingMayEndButNotBeginUnderALock) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"ann", 1});
  std::optional<Reading> reading(cache.reading());
  cache.visit("ann", [&](const Account&) {
    EXPECT_THROW((void)cache.reading(), ReentrantUse);
    EXPECT_THROW(cache.preload(Rows{{"bob", 1}}, *reading), ReentrantUse);
    reading.reset();
  });
  EXPECT_FALSE(reading);
}

TEST(Preload, WhatTheRangeThrowsLeavesTheRowsBefore) {
  struct Broken : std::runtime_error {
    using std::runtime_error::runtime_error;
  };
  Store store;
  Cache cache{store, manual()};
  const Reading reading = cache.reading();
  const Cursor failing{2, [](int at) {
                         if (at == 1) throw Broken("the connection is gone");
                         return Account{"ann", 1};
                       }};
  EXPECT_THROW(cache.preload(failing, reading), Broken);
  EXPECT_TRUE(cache.contains("ann"));
}

TEST(Preload, InvalidateAllMakesEveryReadingVoidThatHadBegun) {
  Store store;
  store.insert({"ann", 1});
  Cache cache{store, manual({.shards = 8})};
  Reading reading = cache.reading();
  const Rows rows = store.rows();
  store.insert({"ann", 2});
  EXPECT_TRUE(cache.invalidate_all().ok());
  EXPECT_EQ(cache.preload(rows, reading), 0U);
  EXPECT_FALSE(reading.overflowed());
  reading = cache.reading();
  EXPECT_EQ(cache.preload(store.rows(), reading), 1U);
  EXPECT_EQ(seen(cache, "ann"), 2);
}

/// The bound is a million keys.
TEST(Preload, AReadingThatOverflowedTakesNothingMore) {
  MemoryReaderWriter<Counter> store;
  LazyWriterCache<Counter, MemoryReaderWriter<Counter>> cache{store, manual({.shards = 4})};
  using Counters = std::vector<Counter>;
  constexpr int most = 1'000'000;
  Reading reading = cache.reading();
  for (int i = 0; i < most; ++i)
    cache.invalidate(i);
  EXPECT_FALSE(reading.overflowed());
  EXPECT_EQ(cache.preload(Counters{{0, 1}, {most - 1, 1}, {-1, 1}}, reading), 1U);
  cache.invalidate(most);
  EXPECT_TRUE(reading.overflowed());
  int asked = 0;
  const Cursor rows{3, [&](int at) {
                      ++asked;
                      return Counter{-2 - at, 1};
                    }};
  EXPECT_EQ(cache.preload(rows, reading), 0U);
  EXPECT_EQ(asked, 1);  // nor does it read the rest
  EXPECT_EQ(cache.size(), 1U);

  const Reading next = cache.reading();
  cache.invalidate(0);
  EXPECT_FALSE(next.overflowed());
  EXPECT_EQ(cache.preload(Counters{{0, 1}, {-2, 1}}, next), 1U);
  EXPECT_TRUE(reading.overflowed());
}

/// A writer for each key, and threads that preload whatever they have read a moment ago into a
/// cache that keeps hardly anything: each writer must always read what it wrote last.
TEST(Preload, BesideWritersNoOldRowComesBack) {
  constexpr int writers = 2;
  constexpr int rounds = 2'000;
  Store store;
  Cache cache{store, manual({.capacity = 1, .shards = 2})};
  std::atomic<int> writing{writers};
  std::vector<std::future<void>> threads;
  for (int which = 0; which < writers; ++which) {
    threads.push_back(in_background([&, which] {
      const std::string key = long_key("key " + std::to_string(which));
      const std::string filler = long_key("filler " + std::to_string(which));
      std::size_t wrong = 0;
      for (int i = 1; i <= rounds; ++i) {
        const bool erased = i % 3 == 0;
        if (erased) {
          cache.erase(key);
        } else {
          cache.put({key, i});
        }
        for (int step = 0; step < 4; ++step) {
          wrong += value_of(cache.get(key)) != (erased ? std::nullopt : std::optional<int>{i});
          if (step == 0) (void)cache.flush();
          if (step == 1) cache.put({filler, i});
          if (step >= 1) cache.prune();
        }
      }
      EXPECT_EQ(wrong, 0U);
      --writing;
    }));
  }
  for (int reader = 0; reader < 2; ++reader) {
    threads.push_back(in_background([&] {
      do {
        const Reading reading = cache.reading();
        const Rows rows = store.rows();
        std::this_thread::yield();
        cache.preload(rows, reading);
        EXPECT_FALSE(reading.overflowed());
      } while (writing != 0);
    }));
  }
  for (auto& thread : threads)
    thread.get();
}

}  // namespace
}  // namespace lazywriter::testing
