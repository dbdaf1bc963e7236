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
/// returns no version older than what was complete, or seen by the same reader, before it began,
/// and none that had not begun when it ended.
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
    int newest = next;
    if (dice.chance(0.2)) read(cache, k, newest, dice);
  }

  /// Effect: reads a key, by one of the ways there are. `newest`: the oldest version that this
  /// reader can have seen of it last, 0 at first.
  template <class Cache>
  void read(Cache& cache, std::size_t k, int& newest, Dice& dice) {
    const std::string key = std::to_string(k);
    const int least = std::max(progress_[k].complete.load(), newest);
    std::optional<int> value;
    try {
      Account item;
      switch (dice.below(4)) {
        case 0:
          if (const auto copy = cache.get(key)) value = copy->value;
          break;
        case 1:
          if (cache.get_into(key, item)) value = item.value;
          break;
        case 2:
          cache.visit(key, [&](const Account& found) { value = found.value; });
          break;
        default:
          if (const auto copy = cache.peek(key)) value = copy->value;
          if (!value) return;  // it need not be in memory
      }
    } catch (...) {
      return;  // the store was asked and failed
    }
    const int latest = progress_[k].begun;
    const int version = value.value_or(next_erase(least));
    EXPECT_TRUE(version >= least && version <= latest)
        << "key " << k << ": " << (value ? "read " : "absent, which would be ") << version
        << ", not from " << least << " to " << latest;
    newest = version;
  }

  /// Returns: whether a row that held `version` may be erased now.
  [[nodiscard]] bool may_be_erased(std::size_t k, int version) const {
    return next_erase(version) <= progress_[k].begun;
  }

 private:
  /// What the threads know of a key.
  struct Progress {
    std::atomic<int> begun{0};
    std::atomic<int> complete{0};
  };

  static constexpr bool is_erase(int version) { return version % 7 == 0; }

  /// The first version from this one on that is an absence.
  static constexpr int next_erase(int version) { return version + 6 - (version + 6) % 7; }

  std::vector<Progress> progress_;
};

}  // namespace lazywriter::testing
