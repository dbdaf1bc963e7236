// Writes that are numbered, so that what a reader or a store may hold is a comparison of numbers.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "support/items.hpp"
#include "support/seed.hpp"

namespace lazywriter::testing {

/// Accounts named "0", "1", ..., each with one writer, which numbers its writes; every seventh
/// version of a key is its absence. That makes linearizability a comparison of numbers: a read
/// returns no version older than what was complete before it began, and none that had not begun
/// when it ended.
class VersionedKeys {
 public:
  explicit VersionedKeys(std::size_t count) : progress_(count) {}

  [[nodiscard]] std::size_t size() const { return progress_.size(); }

  /// Returns: what the key must hold when nothing is under way.
  [[nodiscard]] std::optional<int> expected(std::size_t k) const {
    const int version = progress_[k].complete;
    return is_erase(version) ? std::nullopt : std::optional<int>{version};
  }

  /// Effect: the next version of a key, by one of the ways there are; by its writer only. Throws:
  /// what the cache throws, and then nothing changed.
  template <class Cache>
  void write(Cache& cache, std::size_t k, Dice& dice) {
    Progress& progress = progress_[k];
    const std::string key = std::to_string(k);
    const int last = progress.complete;
    const int next = last + 1;
    progress.begun = next;
    if (is_erase(next)) {
      if (dice.chance(0.5)) {
        cache.erase(key);
      } else {
        cache.compute(key, [](std::optional<Account>& item) { item.reset(); });
      }
    } else if (is_erase(last) || dice.chance(0.4)) {
      cache.put({key, next});
    } else if (dice.chance(0.5)) {
      const bool there = cache.update(key, [&](Account& item) {
        EXPECT_EQ(item.value, last);
        item.value = next;
      });
      EXPECT_TRUE(there) << "key " << key << " lost at version " << last;
    } else {
      cache.compute(key, [&](std::optional<Account>& item) {
        EXPECT_EQ(item ? std::optional<int>{item->value} : std::nullopt, last);
        item = Account{key, next};
      });
    }
    progress.complete = next;
    if (dice.chance(0.2)) expect_within(cache, k, next, next);
  }

  /// Effect: reads a key. `newest`: what this reader saw of it last, 0 at first.
  template <class Cache>
  void read(Cache& cache, std::size_t k, int& newest) {
    const int least = std::max(progress_[k].complete.load(), newest);
    newest = expect_within(cache, k, least, std::nullopt).value_or(newest);
  }

 private:
  /// What the threads know of a key.
  struct Progress {
    std::atomic<int> begun{0};
    std::atomic<int> complete{0};
  };

  static constexpr bool is_erase(int version) { return version % 7 == 0; }

  template <class Cache>
  std::optional<int> expect_within(Cache& cache, std::size_t k, int least,
                                   std::optional<int> most) {
    std::optional<Account> item;
    try {
      item = cache.get(std::to_string(k));
    } catch (...) {
      return std::nullopt;  // the store was asked and failed
    }
    const int latest = most.value_or(progress_[k].begun.load());
    if (item) {
      EXPECT_TRUE(item->value >= least && item->value <= latest)
          << "key " << k << ": read " << item->value << ", not from " << least << " to " << latest;
      return item->value;
    }
    bool may_be_absent = false;
    for (int version = least; version <= latest; ++version)
      may_be_absent |= is_erase(version);
    EXPECT_TRUE(may_be_absent) << "key " << k << ": absent from " << least << " to " << latest;
    return std::nullopt;
  }

  std::vector<Progress> progress_;
};

}  // namespace lazywriter::testing
