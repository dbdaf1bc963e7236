// Operations on one thread beside a reference map, with a store that fails now and then.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "support/inspector.hpp"
#include "support/manual_cache.hpp"

namespace lazywriter::testing {

/// `Choices` answers what a test asks of a Dice.
template <class Choices>
class SequentialModel {
 public:
  /// `choices` must outlive this.
  explicit SequentialModel(Choices& choices) : dice_(choices), config_(random_config()) {
    for (std::size_t i = 0; i < keys; ++i) {
      const std::string key = std::to_string(i);
      reference_[key] = std::nullopt;
      if (i % 2 == 0) {
        store_.insert({key, -1});
        reference_[key] = -1;
      }
    }
    store_.on_call([this](StoreCall call, FaultTime) {
      if (failure_rate_ == 0 || !dice_.chance(failure_rate_)) return;
      if (call == StoreCall::find || dice_.chance(0.6)) throw StoreDown("flaky");
      if (dice_.chance(0.5)) throw StoreRejected("picky");
      throw 42;
    });
  }

  /// Effect: one operation, beside the reference, and all counts checked after it.
  void step() {
    if (steps_ % 64 == 0) failure_rate_ = dice_.chance(0.5) ? 0.0 : 0.1;
    if (steps_ % 97 == 0) toggle_rejection();
    read_past();
    ++steps_;
    operate();
    check_counts();
  }

  /// Effect: the store is well again and everything reaches it.
  void recover() {
    failure_rate_ = 0;
    for (const auto* key : {"3", "11"})
      store_.accept(key);
    cache_.retry_parked();
    const FlushResult result = cache_.flush(20s);
    EXPECT_TRUE(result.ok()) << result.error;
    for (const auto& [key, value] : reference_) {
      EXPECT_EQ(value_of(store_.row(key)), value) << key;
      EXPECT_EQ(value_of(cache_.get(key)), value) << key;
    }
    EXPECT_TRUE(cache_.close().unsaved.empty());
  }

 private:
  static constexpr std::size_t keys = 24;

  CacheConfig random_config() {
    CacheConfig config;
    config.capacity = 1 + dice_.below(keys);
    config.max_batch = 1 + dice_.below(8);
    config.max_dirty = dice_.chance(0.3) ? 0 : 1 + dice_.below(keys);
    config.shards = std::size_t{1} << dice_.below(5);
    config = manual(config);
    config.park_after = 1 + static_cast<unsigned>(dice_.below(3));
    return config;
  }

  void operate() {
    const std::string key = std::to_string(dice_.below(keys));
    auto& expected = reference_[key];
    const int value = ++last_value_;
    switch (dice_.below(20)) {
      case 0:
      case 1:
      case 2:
        if (accepted([&] { cache_.put({key, value}); })) expected = value;
        break;
      case 3:
        if (accepted([&] {
              if (!cache_.try_put({key, value})) throw CacheFull();
            })) {
          expected = value;
        }
        break;
      case 4:
      case 5:
        if (accepted([&] {
              const bool there = cache_.update(key, [&](Account& item) {
                EXPECT_EQ(item.value, expected);
                item.value = value;
              });
              EXPECT_EQ(there, expected.has_value());
            })) {
          if (expected) expected = value;
        }
        break;
      case 6:
      case 7:
        if (accepted([&] {
              cache_.compute(key, [&](std::optional<Account>& item) {
                EXPECT_EQ(value_of(item), expected);
                item = Account{key, value};
              });
            })) {
          expected = value;
        }
        break;
      case 8:
        if (accepted(
                [&] { cache_.compute(key, [](std::optional<Account>& item) { item.reset(); }); })) {
          expected.reset();
        }
        break;
      case 9:
      case 10:
        if (accepted([&] { cache_.erase(key); })) expected.reset();
        break;
      case 11:
      case 12:
      case 13:
        accepted([&] { EXPECT_EQ(value_of(cache_.get(key)), expected) << key; });
        break;
      case 14:
        if (const auto item = cache_.peek(key)) {
          EXPECT_EQ(item->value, expected) << key;
        }
        break;
      case 15:
        flush();
        break;
      case 16:
        cache_.prune();
        EXPECT_LE(cache_.size(), config_.capacity + cache_.dirty_count() + cache_.parked().size());
        break;
      case 17:
        cache_.invalidate(key);
        if (dice_.chance(0.2)) cache_.invalidate_all();
        break;
      case 18:
        cache_.retry_parked();
        break;
      default:
        discard(key);
    }
  }

  /// Effect: runs an operation that may meet the flaky store or the limit. Returns: whether it
  /// went through.
  template <class F>
  bool accepted(F f) {
    try {
      f();
      return true;
    } catch (const StoreDown&) {
    } catch (const CacheFull&) {
      EXPECT_NE(config_.max_dirty, 0U);
      EXPECT_EQ(cache_.dirty_count() + cache_.parked().size(), config_.max_dirty);
    }
    return false;
  }

  void flush() {
    EXPECT_TRUE(detail::CacheInspector::fits(cache_));
    const FlushResult result = cache_.flush();
    EXPECT_TRUE(detail::CacheInspector::fits(cache_));
    EXPECT_EQ(result.pending, cache_.dirty_count());
    EXPECT_EQ(result.parked, cache_.parked().size());
    if (!result.ok()) return;
    for (const auto& [key, value] : reference_)
      EXPECT_EQ(value_of(store_.row(key)), value) << key;
  }

  /// The deliberate ways to lose something.
  void discard(const std::string& key) {
    if (dice_.chance(0.5)) {
      if (cache_.discard_parked(key)) reference_[key] = value_of(store_.row(key));
    } else if (dice_.chance(0.1)) {
      cache_.discard_dirty();
      EXPECT_EQ(cache_.dirty_count(), 0U);
      cache_.invalidate_all();
      const auto parked = cache_.parked();
      for (auto& [name, value] : reference_) {
        if (!std::any_of(parked.begin(), parked.end(),
                         [&name = name](const auto& unsaved) { return unsaved.key == name; })) {
          value = value_of(store_.row(name));
        }
      }
    }
  }

  /// Effect: now and then, rows are read past the cache, and taken in many steps later.
  void read_past() {
    if (steps_ % 31 == 0) {
      reading_.emplace(cache_.reading());
      rows_ = store_.rows();
    } else if (steps_ % 31 == 23) {
      cache_.preload(rows_, *reading_);
      reading_.reset();
    }
  }

  void toggle_rejection() {
    for (const auto* key : {"3", "11"}) {
      store_.accept(key);
      if (dice_.chance(0.3)) store_.reject(key);
      if (dice_.chance(0.1)) store_.reject(key, "no", StoreCall::commit_tx, StoreFault::transient);
    }
  }

  void check_counts() {
    const CacheStats stats = cache_.stats();
    EXPECT_EQ(stats.dirty, cache_.dirty_count());
    EXPECT_EQ(stats.parked, cache_.parked().size());
    EXPECT_EQ(stats.resident, cache_.size());
    EXPECT_EQ(stats.in_flight, 0U);
    std::size_t visible = 0;
    cache_.for_each([&](const Account& item) {
      EXPECT_EQ(item.value, reference_[item.login]);
      ++visible;
    });
    EXPECT_EQ(visible, stats.resident);
    if (config_.max_dirty != 0) {
      EXPECT_LE(stats.dirty + stats.parked, config_.max_dirty);
    }
    EXPECT_EQ(stats.dirty == 0, cache_.oldest_dirty_age().count() == 0);
  }

  /// A run that is made again has the same evictions.
  detail::FixedHashSeed hash_seed_{1};
  Choices& dice_;
  CacheConfig config_;
  Store store_;
  std::map<std::string, std::optional<int>> reference_;
  std::size_t steps_ = 0;
  double failure_rate_ = 0;
  int last_value_ = 0;
  std::vector<Account> rows_;
  Cache cache_{store_, config_};
  std::optional<Reading> reading_;  // ends before the cache does
};

}  // namespace lazywriter::testing
