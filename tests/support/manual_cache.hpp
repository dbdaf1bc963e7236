// Caches without loops: every step is the test's own.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "lazywriter/lazy_writer_cache.hpp"
#include "lazywriter/memory_reader_writer.hpp"
#include "support/eventually.hpp"
#include "support/items.hpp"

namespace lazywriter::testing {

using namespace std::chrono_literals;

using Store = MemoryReaderWriter<Account>;
using Cache = LazyWriterCache<Account, Store>;

/// No loops, no waiting: one shard, flush() and prune() by hand, a rejected item is parked at once.
inline CacheConfig manual(CacheConfig config = {}) {
  config.flush_interval = 0ms;
  config.prune_interval = 0ms;
  config.retry_backoff_min = 0ms;
  config.retry_backoff_max = 0ms;
  config.close_timeout = 0ms;
  if (config.park_after == CacheConfig{}.park_after) config.park_after = 1;
  if (config.shards == 0) config.shards = 1;
  return config;
}

/// An id for every new row.
inline void generate_ids(Store& store) {
  store.on_save([next = std::int64_t{0}](Account& account) mutable {
    if (account.id == 0) account.id = ++next;
  });
}

inline std::optional<int> value_of(const std::optional<Account>& account) {
  return account ? std::optional<int>{account->value} : std::nullopt;
}

/// The value readers can see in memory.
template <class AnyCache>
std::optional<int> seen(const AnyCache& cache, std::string_view key) {
  const auto item = cache.peek(key);
  return item ? std::optional<int>{item->value} : std::nullopt;
}

/// Starts a thread for what may block. Its exception comes out of get().
template <class F>
auto in_background(F f) {
  return std::async(std::launch::async, std::move(f));
}

/// A door in a store call: the call waits there until the test opens it.
class Gate {
 public:
  /// Effect: arrives and waits, once the door is open it only arrives. The test fails if nobody
  /// opens the door.
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrivals_;
    changed_.notify_all();
    EXPECT_TRUE(changed_.wait_for(lock, patience(), [&] { return open_; }))
        << "the gate stays shut";
  }
  /// Blocks until somebody waits at the door; fails the test if nobody comes.
  void wait_for_arrival(std::size_t count = 1) {
    std::unique_lock lock(mutex_);
    const bool arrived = changed_.wait_for(lock, patience(), [&] { return arrivals_ >= count; });
    EXPECT_TRUE(arrived) << "nobody came to the gate";
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  [[nodiscard]] std::size_t arrivals() const {
    const std::lock_guard lock(mutex_);
    return arrivals_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t arrivals_ = 0;
  bool open_ = false;
};

/// Effect: every `call` of the store waits at the returned gate. Opened when it is destroyed, so
/// that a failed test does not hang.
template <class Item>
std::shared_ptr<Gate> block_at(MemoryReaderWriter<Item>& store, StoreCall call,
                               FaultTime time = FaultTime::before_effect) {
  struct Opener {
    std::shared_ptr<Gate> gate = std::make_shared<Gate>();
    ~Opener() { gate->open(); }
  };
  const auto opener = std::make_shared<Opener>();
  store.on_call([gate = opener->gate, call, time](StoreCall at, FaultTime when) {
    if (at == call && when == time) gate->pass();
  });
  return {opener, opener->gate.get()};
}

}  // namespace lazywriter::testing
