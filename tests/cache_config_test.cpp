#include "lazywriter/cache_config.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "support/manual_cache.hpp"

namespace lazywriter::testing {
namespace {

struct Mistake {
  std::string field;
  std::function<void(CacheConfig&)> make;
};

TEST(CacheConfig, TheDefaultsAreValid) {
  EXPECT_NO_THROW(detail::validate(CacheConfig{}));
}

TEST(CacheConfig, ZeroMeansNoneWhereItIsAllowed) {
  CacheConfig config;
  config.capacity = 0;
  config.flush_interval = config.prune_interval = config.backpressure_timeout = 0ms;
  config.retry_backoff_min = config.retry_backoff_max = config.close_timeout = 0ms;
  config.max_dirty = 0;
  config.shards = 0;
  EXPECT_NO_THROW(detail::validate(config));
  Store store;
  Cache cache{store, config};
  cache.put({"a", 1});
  EXPECT_TRUE(cache.flush().ok());
}

TEST(CacheConfig, AMistakeIsNamedByFieldAndRule) {
  const Mistake mistakes[] = {
      {"flush_interval", [](CacheConfig& c) { c.flush_interval = -1ms; }},
      {"prune_interval", [](CacheConfig& c) { c.prune_interval = -1ms; }},
      {"backpressure_timeout", [](CacheConfig& c) { c.backpressure_timeout = -1ms; }},
      {"retry_backoff_min", [](CacheConfig& c) { c.retry_backoff_min = -1ms; }},
      {"retry_backoff_max", [](CacheConfig& c) { c.retry_backoff_max = -1ms; }},
      {"retry_backoff_max",
       [](CacheConfig& c) { c.retry_backoff_max = c.retry_backoff_min - 1ms; }},
      {"close_timeout", [](CacheConfig& c) { c.close_timeout = -1ms; }},
      {"close_timeout", [](CacheConfig& c) { c.close_timeout = std::chrono::milliseconds::max(); }},
      {"max_batch must be at least 1", [](CacheConfig& c) { c.max_batch = 0; }},
      {"park_after must be at least 1", [](CacheConfig& c) { c.park_after = 0; }},
      {"shards", [](CacheConfig& c) { c.shards = 3; }},
      {"shards", [](CacheConfig& c) { c.shards = 131'072; }},
  };
  for (const auto& mistake : mistakes) {
    CacheConfig config;
    mistake.make(config);
    try {
      Cache cache{Store{}, config};
      FAIL() << mistake.field;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find("CacheConfig::" + mistake.field), std::string::npos)
          << error.what();
    }
  }
}

TEST(CacheConfig, TheCacheKeepsItAsGiven) {
  const Cache cache{Store{}, manual({.capacity = 7, .shards = 4})};
  EXPECT_EQ(cache.config().capacity, 7U);
  EXPECT_EQ(cache.config().shards, 4U);
}

TEST(CacheConfig, AHugeCapacityCostsNoMemoryNow) {
  Cache cache{Store{}, manual({.capacity = std::numeric_limits<std::size_t>::max()})};
  cache.put({"a", 1});
  EXPECT_EQ(cache.prune(), 0U);
}

}  // namespace
}  // namespace lazywriter::testing
