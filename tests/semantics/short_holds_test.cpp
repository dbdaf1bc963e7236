// What a call costs depends on what it concerns, and no hold of a lock grows with what is in memory
// (P12).
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/eventually.hpp"
#include "support/manual_cache.hpp"

namespace lazywriter::testing {
namespace {

std::string number_key(int i) {
  return std::to_string(i);
}

void fill(Cache& cache, int from, int to) {
  std::vector<Account> rows;
  for (int i = from; i < to; ++i)
    rows.push_back({number_key(i), i});
  cache.preload(rows);
}

std::chrono::nanoseconds time_of(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::steady_clock::now() - start;
}

/// Effect: calls f a thousand times, or until that takes too long. Returns: whether it does not.
bool a_thousand_take_less_than(std::chrono::nanoseconds limit, const std::function<void()>& f) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (int i = 0; i < 1'000; ++i) {
    f();
    if (std::chrono::steady_clock::now() >= deadline) return false;
  }
  return true;
}

TEST(WhatCallsConcern, LookingForWhatIsNotThereWalksOverNothing) {
  Store store;
  Cache cache{store, manual({.capacity = 0})};
  fill(cache, 0, 100'000);
  std::size_t visits = 0;
  const auto walk = time_of([&] { cache.for_each([&](const Account&) { ++visits; }); });
  EXPECT_EQ(visits, 100'000U);
  // A thousand times each must cost less than a hundred walks; with a walk each, it were thousands.
  EXPECT_TRUE(a_thousand_take_less_than(100 * walk, [&] {
    EXPECT_TRUE(cache.parked().empty());
    EXPECT_EQ(cache.retry_parked(), 0U);
    EXPECT_EQ(cache.discard_dirty(), 0U);
  }));
}

TEST(WhatCallsConcern, FewUnsavedEntriesAmongManyAreFoundWithoutAWalk) {
  Store store;
  Cache cache{store, manual({.capacity = 0})};
  fill(cache, 0, 100'000);
  const auto walk = time_of([&] { cache.for_each([](const Account&) {}); });
  store.reject("parked");
  cache.put({"parked", 1});
  cache.flush();
  const auto gate = block_at(store, StoreCall::commit_tx);
  cache.put({"in flight", 1});
  auto other = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  cache.put({"dirty", 1});
  EXPECT_TRUE(a_thousand_take_less_than(100 * walk, [&] {
    EXPECT_EQ(cache.parked().size(), 1U);
    EXPECT_EQ(cache.flush(-1ms).pending, 2U);  // it never has its turn
  }));
  EXPECT_EQ(cache.discard_dirty(), 2U);
  gate->open();
  other.get();
  EXPECT_EQ(cache.dirty_count(), 0U);
  EXPECT_EQ(cache.parked().size(), 1U);
}

TEST(WhatCallsConcern, ManyOfEachKindAreFoundExactlyOnce) {
  constexpr int each = 700;
  Store store;
  CacheConfig config = manual({.capacity = 0, .shards = 2});
  config.flush_on_close = false;
  Cache cache{store, config};
  fill(cache, 3 * each, 4 * each);
  for (int i = 0; i < each; ++i) {
    store.reject(number_key(i));
    cache.put({number_key(i), i});
  }
  cache.flush();
  EXPECT_EQ(cache.parked().size(), static_cast<std::size_t>(each));
  for (int i = each; i < 2 * each; ++i)
    cache.put({number_key(i), i});
  for (int i = 2 * each; i < 3 * each; ++i)
    cache.erase(number_key(i));
  auto result = cache.close();
  ASSERT_EQ(result.unsaved.size(), static_cast<std::size_t>(3 * each));
  std::vector<int> numbers;
  for (const auto& unsaved : result.unsaved) {
    numbers.push_back(std::stoi(unsaved.key));
    EXPECT_EQ(unsaved.item.has_value(), numbers.back() < 2 * each);
  }
  std::sort(numbers.begin(), numbers.end());
  for (int i = 0; i < 3 * each; ++i)
    ASSERT_EQ(numbers[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(cache.retry_parked(), static_cast<std::size_t>(each));
  EXPECT_EQ(cache.discard_dirty(), static_cast<std::size_t>(3 * each));
  EXPECT_EQ(cache.dirty_count(), 0U);
  EXPECT_EQ(cache.size(), static_cast<std::size_t>(3 * each));
}

/// Called for item after item of a walk under the lock of their shard. Another thread wants that
/// lock from the first item on, and must have had its turn long before the last one.
class OtherReader {
 public:
  explicit OtherReader(std::function<void()> read) : read_(std::move(read)) {}

  void item() {
    if (++items_ == 1) {
      reader_ = in_background([this] {
        read_();
        there_ = true;
      });
    }
    // So many that there are several holds among them, and so slowly that it is waiting by then.
    if (items_ > 300 && items_ < 500 && !there_) std::this_thread::sleep_for(10ms);
    if (items_ == 500) in_time_ = there_;
  }
  void expect_in_time() {
    ASSERT_GT(items_, 500);
    reader_.get();
    EXPECT_TRUE(in_time_) << "a reader waited for the whole walk";
  }

 private:
  std::function<void()> read_;
  std::future<void> reader_;
  std::atomic<bool> there_{false};
  int items_ = 0;
  bool in_time_ = false;
};

TEST(ShortHolds, OfForEach) {
  Store store;
  Cache cache{store, manual({.capacity = 0})};
  fill(cache, 0, 900);
  OtherReader reader([&] { (void)cache.contains("0"); });
  cache.for_each([&](const Account&) { reader.item(); });
  reader.expect_in_time();
}

/// Tells when it is copied.
struct CopyWatched {
  std::string name;
  int value = 0;
  static inline std::function<void()> on_copy;

  CopyWatched(std::string its_name, int its_value) : name(std::move(its_name)), value(its_value) {}
  CopyWatched(const CopyWatched& other) : name(other.name), value(other.value) {
    if (on_copy) on_copy();
  }
  CopyWatched& operator=(const CopyWatched& other) {
    name = other.name;
    value = other.value;
    return *this;
  }
  CopyWatched(CopyWatched&&) noexcept = default;
  CopyWatched& operator=(CopyWatched&&) noexcept = default;
  ~CopyWatched() = default;

  const std::string& key() const { return name; }
  void copy_key_data_from(const CopyWatched&) {}
};

TEST(ShortHolds, OfEveryListOfUnsavedItems) {
  for (const bool parked : {false, true}) {
    MemoryReaderWriter<CopyWatched> store;
    CacheConfig config = manual({.capacity = 0});
    config.flush_on_close = false;
    LazyWriterCache cache{store, config};
    for (int i = 0; i < 900; ++i) {
      if (parked) store.reject(number_key(i));
      cache.put(CopyWatched{number_key(i), i});
    }
    if (parked) cache.flush();
    OtherReader reader([&] { (void)cache.contains("0"); });
    CopyWatched::on_copy = [&] { reader.item(); };
    const std::size_t listed = parked ? cache.parked().size() : cache.close().unsaved.size();
    CopyWatched::on_copy = nullptr;
    EXPECT_EQ(listed, 900U);
    reader.expect_in_time();
  }
}

TEST(ShortHolds, ForEachShowsWhatIsThereThroughoutOnceWhateverComesAndGoes) {
  Store store;
  Cache cache{store, manual({.capacity = 0, .shards = 2})};
  fill(cache, 0, 2'000);
  std::atomic<bool> stop{false};
  auto writer = in_background([&] {
    for (int i = 2'000; !stop && i < 200'000; ++i) {
      cache.put({number_key(i), i});
      if (i % 2 == 0) cache.erase(number_key(i - 1'000));
      if (i % 500 == 0) cache.flush();
    }
  });
  for (int round = 0; round < 20; ++round) {
    std::vector<int> visits(1'000);
    cache.for_each([&](const Account& account) {
      if (account.value < 1'000) ++visits[static_cast<std::size_t>(account.value)];
    });
    for (const int count : visits)
      ASSERT_EQ(count, 1);
  }
  stop = true;
  writer.get();
}

TEST(ShortHolds, DiscardBesideAFlushLeavesNothingDirty) {
  for (int round = 0; round < 20; ++round) {
    Store store;
    Cache cache{store, manual({.capacity = 0, .max_batch = 10})};
    for (int i = 0; i < 2'000; ++i)
      cache.put({number_key(i), i});
    store.fail_always(StoreCall::commit_tx);
    std::atomic<bool> stop{false};
    auto flusher = in_background([&] {
      while (!stop)
        cache.flush();
    });
    store.wait_for_calls(StoreCall::commit_tx, 3);
    EXPECT_LE(cache.discard_dirty(), 2'000U);
    EXPECT_EQ(cache.dirty_count(), 0U);
    stop = true;
    flusher.get();
    EXPECT_EQ(cache.dirty_count(), 0U);
    EXPECT_EQ(store.size(), 0U);
  }
}

}  // namespace
}  // namespace lazywriter::testing
