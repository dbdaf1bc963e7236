// Several threads, both loops at 1 ms, tiny capacities and a flaky store: reads are linearizable
// (support/versioned_keys.hpp), and the store's history of a key only grows. CTEST_TIMEOUT: 600
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/manual_cache.hpp"
#include "support/seed.hpp"
#include "support/versioned_keys.hpp"

namespace lazywriter::testing {
namespace {

constexpr std::size_t keys_per_writer = 8;
constexpr std::size_t writers = 2;
constexpr std::size_t readers = 2;
constexpr std::size_t keys = keys_per_writer * writers;

class ModelRun {
 public:
  ModelRun(std::uint64_t seed, std::chrono::milliseconds duration)
      : dice_(seed), duration_(duration), config_(random_config()) {
    store_.on_commit([this](const std::string& key, const Account* item) { committed(key, item); });
    store_.on_call([](StoreCall call, FaultTime) {
      thread_local Dice flaky(std::hash<std::thread::id>{}(std::this_thread::get_id()));
      if (call == StoreCall::info || call == StoreCall::warn || !flaky.chance(0.03)) return;
      if (flaky.chance(0.3)) throw StoreRejected("picky");
      if (flaky.chance(0.1)) throw 42;
      throw StoreDown("flaky");
    });
  }

  void go() {
    Cache cache{store_, config_};
    {
      std::vector<std::jthread> threads;
      for (std::size_t w = 0; w < writers; ++w) {
        threads.emplace_back([&, w, seed = dice_.seed()] { write(cache, w, Dice(seed)); });
      }
      for (std::size_t r = 0; r < readers; ++r) {
        threads.emplace_back([&, seed = dice_.seed()] { read(cache, Dice(seed)); });
      }
      threads.emplace_back([&, seed = dice_.seed()] { meddle(cache, Dice(seed)); });
      std::this_thread::sleep_for(duration_);
      stop_ = true;
    }
    // Well again, everything reaches the store.
    store_.on_call(nullptr);
    cache.retry_parked();
    const FlushResult result = cache.flush(60s);
    EXPECT_TRUE(result.ok()) << result.error << ", pending " << result.pending;
    for (std::size_t k = 0; k < keys_.size(); ++k) {
      const auto expected = keys_.expected(k);
      EXPECT_EQ(value_of(store_.row(std::to_string(k))), expected) << "key " << k;
      EXPECT_EQ(value_of(cache.get(std::to_string(k))), expected) << "key " << k;
    }
    EXPECT_EQ(cache.dirty_count() + cache.parked().size(), 0U);
    EXPECT_TRUE(cache.close().unsaved.empty());
  }

 private:
  CacheConfig random_config() {
    CacheConfig config;
    config.capacity = 1 + dice_.below(keys);
    config.max_batch = 1 + dice_.below(9);
    config.max_dirty = dice_.chance(0.5) ? 0 : 1 + dice_.below(keys);
    config.shards = std::size_t{1} << dice_.below(5);
    config.flush_interval = config.prune_interval = 1ms;
    config.retry_backoff_min = 0ms;
    config.retry_backoff_max = 1ms;
    config.park_after = 1 + static_cast<unsigned>(dice_.below(3));
    config.backpressure_timeout = 1ms;
    config.close_timeout = 10s;
    return config;
  }

  void write(Cache& cache, std::size_t writer, Dice dice) {
    while (!stop_) {
      try {
        keys_.write(cache, writer * keys_per_writer + dice.below(keys_per_writer), dice);
      } catch (const CacheFull&) {
        continue;
      } catch (const StoreDown&) {
        continue;  // a load failed: nothing changed
      } catch (const StoreRejected&) {
        continue;
      } catch (int) {
        continue;
      }
    }
  }

  void read(Cache& cache, Dice dice) {
    std::array<int, keys> newest{};
    while (!stop_) {
      const std::size_t k = dice.below(keys);
      keys_.read(cache, k, newest[k]);
    }
  }

  void meddle(Cache& cache, Dice dice) {
    while (!stop_) {
      try {
        switch (dice.below(6)) {
          case 0:
            (void)cache.flush();
            break;
          case 1:
            (void)cache.prune();
            break;
          case 2:
            (void)cache.invalidate(std::to_string(dice.below(keys)));
            break;
          case 3:
            (void)cache.retry_parked();
            break;
          case 4:
            (void)cache.invalidate_all();
            break;
          default: {
            // The sum over several shards is taken while slots move between them.
            const CacheStats stats = cache.stats();
            if (config_.max_dirty != 0 && config_.shards == 1) {
              EXPECT_LE(stats.dirty + stats.parked, config_.max_dirty);
            }
          }
        }
      } catch (const std::bad_alloc&) {
      }
      std::this_thread::yield();
    }
  }

  // Under the store's lock.
  void committed(const std::string& key, const Account* item) {
    History& history = history_[key];
    if (item == nullptr) {
      history.erased = true;
      return;
    }
    // An erased row never comes back; one in doubt may be written again.
    const bool newer =
        history.erased ? item->value > history.version : item->value >= history.version;
    EXPECT_TRUE(newer) << "key " << key << ": " << item->value << " after " << history.version;
    history = {item->value, false};
  }

  struct History {
    int version = 0;
    bool erased = false;
  };

  Dice dice_;
  const std::chrono::milliseconds duration_;
  const CacheConfig config_;
  Store store_;
  std::map<std::string, History> history_;
  VersionedKeys keys_{keys};
  std::atomic<bool> stop_{false};
};

TEST(ConcurrentModel, ReadsAreLinearizableAndTheStoreOnlyMovesForward) {
  const char* const given = std::getenv("LAZYWRITER_MODEL_SECONDS");
  const std::chrono::seconds total(given != nullptr ? std::stol(given) : 5);
  Dice dice(test_seed());
  const auto end = std::chrono::steady_clock::now() + total;
  while (std::chrono::steady_clock::now() < end && !HasFailure()) {
    ModelRun(dice.seed(), 250ms).go();
  }
}

}  // namespace
}  // namespace lazywriter::testing
