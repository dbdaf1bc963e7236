// One run through every kind of operation, beside a reference map; for tests that inject a fault
// somewhere in it and then compare.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lazywriter/lazy_writer_cache.hpp"
#include "lazywriter/memory_reader_writer.hpp"
#include "support/manual_cache.hpp"

namespace lazywriter::testing {

/// Runs operations on a cache. One that throws must have changed nothing, so the reference does not
/// either.
template <class Item>
class Scenario {
 public:
  using Store = MemoryReaderWriter<Item>;
  using Cache = LazyWriterCache<Item, Store>;
  using Key = key_type_t<Item>;

  Scenario() { fill(); }

  Store& store() { return store_; }
  Cache& cache() { return cache_; }
  /// Operations that threw in the last run.
  [[nodiscard]] std::size_t thrown() const { return thrown_; }

  /// Effect: the operations, each under its own try. What throws is counted.
  void run() {
    put("a", 1);
    put("b", 2);
    update("old 1", 11);  // loads
    compute("new", 3);    // loads, finds nothing
    erase("old 2");       // not resident
    read("old 3");
    flush();
    put("a", 4);
    compute_erase("b");
    erase("old 1");
    put("old 1", 12);
    flush();
    erase("a");
    update("new", 5);
    attempt([&] { cache_.invalidate(Key("old 3")); });
    read("old 3");
    read("nobody");
    compute("old 4", 6);
    put("c", 7);
    flush();
    put("c", 8);
  }

  /// Expects what must hold at any time, whatever failed: no operation may fault any more.
  void expect_consistent() {
    std::size_t unsaved = 0;
    for (const auto& [name, value] : every_key()) {
      const bool pinned = !cache_.invalidate(Key(name));
      unsaved += pinned ? 1U : 0U;
      // What is not pinned is in the store.
      EXPECT_EQ(pinned ? in_memory(name) : in_store(name), value) << name;
    }
    EXPECT_EQ(cache_.dirty_count() + cache_.parked().size(), unsaved);
    const CacheStats stats = cache_.stats();
    EXPECT_EQ(stats.dirty, cache_.dirty_count());
    EXPECT_EQ(stats.parked, cache_.parked().size());
    EXPECT_EQ(stats.in_flight, 0U);
    EXPECT_EQ(stats.resident, cache_.size());
    std::size_t visible = 0;
    cache_.for_each([&](const Item&) { ++visible; });
    EXPECT_EQ(visible, cache_.size());
  }

  /// Effect: writes parked items anew: what heals an entry whose key could not be compared after an
  /// update, so that it is parked as if the key had changed.
  void rewrite_parked() {
    for (const auto& parked : cache_.parked()) {
      if (parked.item) cache_.put(*parked.item);
    }
  }

  /// Expects that everything reaches the store now.
  void expect_recovery() {
    cache_.retry_parked();
    const FlushResult result = cache_.flush(std::chrono::seconds{20});
    EXPECT_TRUE(result.ok()) << result.error;
    EXPECT_EQ(cache_.dirty_count(), 0U);
    for (const auto& [name, value] : every_key()) {
      EXPECT_EQ(in_store(name), value) << name;
      const auto item = cache_.get(Key(name));
      EXPECT_EQ(item ? item->value : absent, value) << name;
    }
    expect_every_slot_is_free();
    EXPECT_TRUE(cache_.close().unsaved.empty());
  }

 private:
  static constexpr int absent = -1;
  static constexpr std::size_t keys = 9;

  void fill() {
    for (const auto* name : {"old 1", "old 2", "old 3", "old 4"}) {
      store_.insert(Item{Key(name), 10});
      reference_[name] = 10;
    }
    for (const auto* name : {"a", "b", "c", "new", "nobody"})
      reference_[name] = absent;
  }

  template <class F>
  bool attempt(F f) {
    try {
      f();
      return true;
    } catch (...) {
      ++thrown_;
      return false;
    }
  }

  void put(const std::string& name, int value) {
    if (attempt([&] { cache_.put(Item{Key(name), value}); })) reference_[name] = value;
  }
  void update(const std::string& name, int value) {
    bool ran = false;  // an update keeps what its function did, even if it throws afterwards
    attempt([&] {
      cache_.update(Key(name), [&](Item& item) {
        item.value = value;
        ran = true;
      });
    });
    if (ran) reference_[name] = value;
  }
  void compute(const std::string& name, int value) {
    if (attempt([&] {
          cache_.compute(Key(name), [&](std::optional<Item>& item) {
            if (!item) item = Item{Key(name), 0};
            item->value = value;
          });
        })) {
      reference_[name] = value;
    }
  }
  void compute_erase(const std::string& name) {
    if (attempt(
            [&] { cache_.compute(Key(name), [](std::optional<Item>& item) { item.reset(); }); })) {
      reference_[name] = absent;
    }
  }
  void erase(const std::string& name) {
    if (attempt([&] { cache_.erase(Key(name)); })) reference_[name] = absent;
  }
  void read(const std::string& name) {
    attempt([&] {
      const auto item = cache_.get(Key(name));
      const auto value = item ? item->value : absent;
      if (value != reference_[name]) wrong_ = true;
    });
    EXPECT_FALSE(wrong_) << name;
  }
  void flush() {
    attempt([&] { cache_.flush(); });
  }

  /// max_dirty has room for each key once: a slot that was leaked is missed here.
  void expect_every_slot_is_free() {
    for (const auto& [name, value] : every_key()) {
      if (value == absent) {
        EXPECT_NO_THROW(cache_.erase(Key(name))) << name;
      } else {
        EXPECT_NO_THROW(cache_.put(Item{Key(name), value})) << name;
      }
    }
    EXPECT_EQ(cache_.dirty_count(), keys);
    EXPECT_TRUE(cache_.flush(std::chrono::seconds{20}).ok());
  }

  const std::map<std::string, int>& every_key() const { return reference_; }
  int in_memory(const std::string& name) {
    const auto item = cache_.peek(Key(name));
    return item ? item->value : absent;
  }
  int in_store(const std::string& name) {
    const auto item = store_.row(Key(name));
    return item ? item->value : absent;
  }

  Store store_;
  std::map<std::string, int> reference_;
  std::size_t thrown_ = 0;
  bool wrong_ = false;
  Cache cache_{store_, manual({.max_batch = 3, .max_dirty = keys, .shards = 2})};
};

}  // namespace lazywriter::testing
