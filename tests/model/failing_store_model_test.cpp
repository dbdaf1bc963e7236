// Random writes, some of them made while a transaction is under way, to a store with outages and
// with many bad items of changing kinds: nothing is lost, left between two states, or reordered,
// and no pass is long.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "support/manual_cache.hpp"
#include "support/seed.hpp"

namespace lazywriter::testing {
namespace {

class FailingStoreModel {
 public:
  explicit FailingStoreModel(Dice& dice) : dice_(dice), config_(random_config()) {
    store_.on_save([this](Account& account) {
      if (account.id == 0) account.id = ++last_id_;
    });
    store_.on_commit([this](const std::string& key, const Account* item) { committed(key, item); });
    store_.on_call([this](StoreCall call, FaultTime) {
      const bool writes = call == StoreCall::begin_tx || call == StoreCall::save ||
                          call == StoreCall::erase || call == StoreCall::commit_tx;
      if (writes && dice_.chance(meddling_)) write();
    });
  }

  void step() {
    if (dice_.chance(0.05)) change_the_weather();
    if (dice_.chance(0.2)) {
      flush();
    } else {
      write();
    }
    check_counts();
  }

  /// Effect: closes as the store is, and expects back what is not in it.
  void close_as_it_is() {
    meddling_ = 0;
    const CloseResult<Account> result = cache_.close(0ms);
    std::set<std::string> handed_back;
    for (const auto& unsaved : result.unsaved) {
      EXPECT_TRUE(handed_back.insert(unsaved.key).second) << unsaved.key << " twice";
      const Key& key = keys_[unsaved.key];
      if (key.known) {
        EXPECT_EQ(value_of(unsaved.item), key.value) << unsaved.key;
      }
    }
    for (const auto& [name, key] : keys_) {
      EXPECT_TRUE(!differs(name, key) || handed_back.contains(name)) << name << " is lost";
    }
  }

  /// Effect: the store is well again, and all of it reaches it.
  void recover() {
    meddling_ = 0;
    store_.recover();
    for (const auto& [name, key] : keys_)
      store_.accept(name);
    cache_.retry_parked();
    const std::size_t dirty = cache_.dirty_count();
    const std::size_t before = store_.calls(StoreCall::begin_tx);
    const FlushResult result = cache_.flush(20s);
    EXPECT_TRUE(result.ok()) << result.error << ", " << result.pending << " pending";
    EXPECT_LE(store_.calls(StoreCall::begin_tx) - before, dirty / config_.max_batch + 30);
    check_counts();
    for (const auto& [name, key] : keys_) {
      EXPECT_FALSE(differs(name, key)) << name;
      if (!key.known || !key.value || in_doubt_) continue;
      EXPECT_GT(store_.row(name)->id, key.erased_when_last_id_was) << name << " is the old row";
    }
    EXPECT_TRUE(cache_.failing().empty());
    EXPECT_TRUE(cache_.close().unsaved.empty());
  }

 private:
  /// What must be true of a key.
  struct Key {
    /// What was written last; nullopt: an erase, or nothing.
    std::optional<int> value;
    int version = 0;
    /// Not since something of it was discarded.
    bool known = true;
    /// What was written until then was discarded.
    int discarded = 0;
    /// A row that was there at the last erase has at most this id.
    std::int64_t erased_when_last_id_was = 0;
    /// What the store has: a row of that version, or none since an erase of that version.
    int stored_version = 0;
    bool stored_erased = true;
    std::set<int> erases;
  };

  static constexpr std::size_t key_count = 60;

  CacheConfig random_config() {
    CacheConfig config;
    config.capacity = 0;
    config.max_batch = std::size_t{1} << dice_.below(7);
    config.shards = std::size_t{1} << dice_.below(3);
    config.park_after = 2 + static_cast<unsigned>(dice_.below(3));
    return manual(config);
  }

  void change_the_weather() {
    if (dice_.chance(0.3)) meddling_ = dice_.chance(0.5) ? 0.0 : 0.2;
    store_.recover();
    if (dice_.chance(0.3)) {
      constexpr std::array calls{StoreCall::begin_tx, StoreCall::save, StoreCall::erase,
                                 StoreCall::commit_tx};
      constexpr std::array times{FaultTime::before_effect, FaultTime::after_effect};
      const StoreFault fault = any_fault();
      in_doubt_ |= fault == StoreFault::in_doubt;
      store_.fail_next(calls[dice_.below(4)], std::size_t{1} << dice_.below(10), fault,
                       times[dice_.below(2)]);
    }
    if (dice_.chance(0.5)) {
      const bool many = dice_.chance(0.3);
      for (const auto& [name, key] : keys_) {
        store_.accept(name);
        if (!dice_.chance(many ? 0.7 : 0.05)) continue;
        constexpr std::array calls{StoreCall::save, StoreCall::erase, StoreCall::commit_tx};
        constexpr std::array faults{StoreFault::rejected, StoreFault::transient,
                                    StoreFault::unavailable};
        store_.reject(name, "bad", calls[dice_.below(3)], faults[dice_.below(3)]);
      }
    }
  }
  StoreFault any_fault() {
    constexpr std::array faults{StoreFault::rejected, StoreFault::transient,
                                StoreFault::unavailable, StoreFault::in_doubt, StoreFault::unknown};
    return faults[dice_.below(faults.size())];
  }

  void write() {
    const std::string name = std::to_string(dice_.below(key_count));
    Key& key = keys_[name];
    const int version = ++last_version_;
    switch (dice_.below(24)) {
      case 0:
        return discard();
      case 1:
        cache_.retry_parked();
        return;
      case 2:
        if (cache_.discard_parked(name)) forget(key);
        return;
      case 3:
      case 4:
      case 5:
      case 6:
        erase(name, key, version);
        return;
      case 7:
        if (!key.known || !key.value) return;
        EXPECT_TRUE(cache_.update(name, [&](Account& account) {
          EXPECT_EQ(account.value, key.value);
          account.value = version;
        }));
        break;
      default:
        if (dice_.chance(0.2)) {
          erase(name, key, version);
          return put(name, key, ++last_version_);
        }
        return put(name, key, version);
    }
    key.value = key.version = version;
  }

  void erase(const std::string& name, Key& key, int version) {
    // In flight it may be committed yet, with an id that it does not have so far: later ids prove
    // too much then, but never too little.
    key.erased_when_last_id_was = last_id_;
    key.erases.insert(version);
    key.value.reset();
    key.version = version;
    key.known = true;
    cache_.erase(name);
  }

  void put(const std::string& name, Key& key, int version) {
    // A put over a parked erase gives it up.
    if (!key.value || !key.known) {
      for (const auto& parked : cache_.parked()) {
        if (parked.key == name && !parked.item) key.erased_when_last_id_was = 0;
      }
    }
    key.value = key.version = version;
    key.known = true;
    cache_.put({name, version});
  }

  void forget(Key& key) const {
    key.known = false;
    key.discarded = last_version_;
    key.erased_when_last_id_was = 0;
  }

  void discard() {
    if (!dice_.chance(0.1)) return;
    cache_.discard_dirty();
    EXPECT_EQ(cache_.dirty_count(), 0U);
    std::set<std::string> parked;
    for (const auto& unsaved : cache_.parked())
      parked.insert(unsaved.key);
    for (auto& [name, key] : keys_) {
      if (!parked.contains(name)) forget(key);
    }
  }

  void flush() {
    struct Owed {
      std::string name;
      int version;
    };
    std::vector<Owed> owed;
    for (const auto& [name, key] : keys_) {
      if (differs(name, key)) owed.push_back({name, key.version});
    }
    const std::size_t before = store_.calls(StoreCall::begin_tx);
    const FlushResult result = cache_.flush();
    const std::size_t n = key_count;
    EXPECT_LE(store_.calls(StoreCall::begin_tx) - before,
              n + 2 * n * static_cast<std::size_t>(std::bit_width(config_.max_batch)) + 80 + 64 +
                  config_.max_batch);
    if (meddling_ == 0) {
      EXPECT_EQ(result.pending, cache_.dirty_count());
      EXPECT_EQ(result.parked, cache_.parked().size());
    }
    const auto unsaved = std::count_if(owed.begin(), owed.end(), [&](const Owed& was) {
      const Key& key = keys_[was.name];
      const int newest =
          key.stored_erased && !key.erases.empty() ? *key.erases.rbegin() : key.stored_version;
      return key.discarded < was.version && newest < was.version;
    });
    EXPECT_LE(static_cast<std::size_t>(unsaved), result.pending + result.parked);
  }

  /// Whether the store lacks what was written last.
  [[nodiscard]] bool differs(const std::string& name, const Key& key) const {
    return key.known && value_of(store_.row(name)) != key.value;
  }

  // Under the store's lock. A commit in doubt may be made again; else the store moves forward.
  void committed(const std::string& name, const Account* item) {
    Key& key = keys_[name];
    if (item == nullptr) {
      const auto erase = key.stored_erased ? key.erases.lower_bound(key.stored_version)
                                           : key.erases.upper_bound(key.stored_version);
      EXPECT_NE(erase, key.erases.end()) << name << ": an erase that nobody made";
      if (erase != key.erases.end()) key.stored_version = *erase;
      key.stored_erased = true;
      return;
    }
    EXPECT_TRUE(key.stored_erased ? item->value > key.stored_version
                                  : item->value >= key.stored_version)
        << name << ": " << item->value << " after " << key.stored_version;
    key.stored_version = item->value;
    key.stored_erased = false;
  }

  void check_counts() {
    const CacheStats stats = cache_.stats();
    EXPECT_EQ(stats.in_flight, 0U);
    EXPECT_EQ(stats.parked, cache_.parked().size());
    EXPECT_EQ(stats.dirty == 0, cache_.oldest_dirty_age().count() == 0);
    std::size_t lacking = 0;
    for (const auto& [name, key] : keys_) {
      lacking += differs(name, key) ? 1U : 0U;
      if (key.known) {
        EXPECT_EQ(seen(cache_, name), key.value) << name;
      }
    }
    EXPECT_LE(lacking, stats.dirty + stats.parked);
    EXPECT_GE(cache_.failing().size(), stats.parked);
  }

  Dice& dice_;
  const CacheConfig config_;
  Store store_;
  std::map<std::string, Key> keys_;
  /// How often a call of the store is met by a write.
  double meddling_ = 0;
  /// An erase and a save whose fate is unknown are repeated as a save: no new row.
  bool in_doubt_ = false;
  int last_version_ = 0;
  std::int64_t last_id_ = 0;
  Cache cache_{store_, config_};
};

TEST(FailingStoreModel, NothingIsLostOrReorderedWhateverFails) {
  Dice seeds(test_seed());
  for (int round = 0; round < 40 && !HasFailure(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    Dice dice(seeds.seed());
    FailingStoreModel model(dice);
    for (int i = 0; i < 300 && !HasFailure(); ++i)
      model.step();
    if (HasFailure()) break;
    if (dice.chance(0.3)) {
      model.close_as_it_is();
    } else {
      model.recover();
    }
  }
}

}  // namespace
}  // namespace lazywriter::testing
