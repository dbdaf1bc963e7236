// The cache and what it is compared with, behind one interface:
//
//     explicit Impl(std::size_t expected)      room for that many items
//     bool visit(key, f)                       f(const Account&) in place
//     std::optional<Account> get(key)          a copy
//     bool get_into(key, Account&)             a copy into an existing object
//     void put(Account&&)                      insert or overwrite
//     bool update(key, f)                      f(Account&) in place
//     void drain()                             writes what changed to a store that takes it at
//     once;
//                                              only where changes are tracked (tracks_changes)
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "bench_item.hpp"
#include "lazywriter/lazy_writer_cache.hpp"
#include "lazywriter/no_op_reader_writer.hpp"

#if __has_include(<tbb/concurrent_hash_map.h>) && !defined(LAZYWRITER_BENCH_NO_TBB)
#include <tbb/concurrent_hash_map.h>
#define LAZYWRITER_BENCH_TBB 1
#endif
#if __has_include(<libcuckoo/cuckoohash_map.hh>)
#include <libcuckoo/cuckoohash_map.hh>
#define LAZYWRITER_BENCH_CUCKOO 1
#endif
#if __has_include(<boost/unordered/concurrent_flat_map.hpp>)
#include <boost/unordered/concurrent_flat_map.hpp>
#define LAZYWRITER_BENCH_BOOST 1
#endif

namespace bench {

/// The library, as it ships, without its two threads.
class Lazywriter {
 public:
  static constexpr const char* name = "lazywriter";
  static constexpr bool tracks_changes = true;
  static constexpr bool concurrent = true;
  using Cache = lazywriter::LazyWriterCache<Account, lazywriter::NoOpReaderWriter<Account>>;

  explicit Lazywriter(std::size_t expected) : cache_({}, settings(expected)) {}

  template <class F>
  bool visit(const std::string& key, F&& f) {
    return cache_.visit(key, f);
  }
  std::optional<Account> get(const std::string& key) { return cache_.get(key); }
  bool get_into(const std::string& key, Account& out) { return cache_.get_into(key, out); }
  void put(Account&& account) { cache_.put(std::move(account)); }
  template <class F>
  bool update(const std::string& key, F&& f) {
    return cache_.update(key, f);
  }
  void drain() { cache_.flush(); }

  Cache& cache() { return cache_; }

  static lazywriter::CacheConfig settings(std::size_t expected) {
    lazywriter::CacheConfig config;
    config.capacity = expected;
    config.max_dirty = 4'000'000;
    config.lookup_on_miss = false;
    config.flush_interval = std::chrono::milliseconds{0};
    config.prune_interval = std::chrono::milliseconds{0};
    config.flush_on_close = false;
    return config;
  }

 private:
  Cache cache_;
};

/// The floor: no lock, no record of what changed.
class RawMap {
 public:
  static constexpr const char* name = "unordered_map";
  static constexpr bool tracks_changes = false;
  static constexpr bool concurrent = false;

  explicit RawMap(std::size_t expected) { map_.reserve(expected); }

  template <class F>
  bool visit(const std::string& key, F&& f) {
    const auto found = map_.find(key);
    if (found == map_.end()) return false;
    f(std::as_const(found->second));
    return true;
  }
  std::optional<Account> get(const std::string& key) {
    const auto found = map_.find(key);
    if (found == map_.end()) return std::nullopt;
    return found->second;
  }
  bool get_into(const std::string& key, Account& out) {
    return visit(key, [&](const Account& account) { out = account; });
  }
  void put(Account&& account) {
    const auto found = map_.find(account.login);
    if (found != map_.end()) {
      account.copy_key_data_from(found->second);
      found->second = std::move(account);
    } else {
      std::string key = account.login;
      map_.emplace(std::move(key), std::move(account));
    }
  }
  template <class F>
  bool update(const std::string& key, F&& f) {
    const auto found = map_.find(key);
    if (found == map_.end()) return false;
    f(found->second);
    return true;
  }

 private:
  std::unordered_map<std::string, Account> map_;
};

/// A word-for-word port of the original's idea: one mutex, one map, and a set of changed keys.
class NaivePort {
 public:
  static constexpr const char* name = "naive_port";
  static constexpr bool tracks_changes = true;
  static constexpr bool concurrent = true;

  explicit NaivePort(std::size_t expected) { map_.reserve(expected); }

  template <class F>
  bool visit(const std::string& key, F&& f) {
    const std::lock_guard lock(mutex_);
    const auto found = map_.find(key);
    if (found == map_.end()) return false;
    f(std::as_const(found->second));
    return true;
  }
  std::optional<Account> get(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto found = map_.find(key);
    if (found == map_.end()) return std::nullopt;
    return found->second;
  }
  bool get_into(const std::string& key, Account& out) {
    return visit(key, [&](const Account& account) { out = account; });
  }
  void put(Account&& account) {
    const std::lock_guard lock(mutex_);
    dirty_.insert(account.login);
    const auto found = map_.find(account.login);
    if (found != map_.end()) {
      account.copy_key_data_from(found->second);
      found->second = std::move(account);
    } else {
      std::string key = account.login;
      map_.emplace(std::move(key), std::move(account));
    }
  }
  template <class F>
  bool update(const std::string& key, F&& f) {
    const std::lock_guard lock(mutex_);
    const auto found = map_.find(key);
    if (found == map_.end()) return false;
    f(found->second);
    dirty_.insert(key);
    return true;
  }
  void drain() {
    std::unordered_set<std::string> changed;
    std::vector<Account> batch;
    {
      const std::lock_guard lock(mutex_);
      changed.swap(dirty_);
      batch.reserve(changed.size());
      for (const std::string& key : changed)
        batch.push_back(map_.find(key)->second);
    }
    for (Account& account : batch)
      save(account);
    const std::lock_guard lock(mutex_);
    for (const Account& account : batch) {
      const auto found = map_.find(account.login);
      if (found != map_.end()) found->second.copy_key_data_from(account);
    }
  }

 private:
  static void save(Account&) {}

  std::mutex mutex_;
  std::unordered_map<std::string, Account> map_;
  std::unordered_set<std::string> dirty_;
};

#ifdef LAZYWRITER_BENCH_TBB
class TbbMap {
 public:
  static constexpr const char* name = "tbb";
  static constexpr bool tracks_changes = false;
  static constexpr bool concurrent = true;

  explicit TbbMap(std::size_t expected) : map_(expected) {}

  template <class F>
  bool visit(const std::string& key, F&& f) {
    Map::const_accessor at;
    if (!map_.find(at, key)) return false;
    f(at->second);
    return true;
  }
  std::optional<Account> get(const std::string& key) {
    Map::const_accessor at;
    if (!map_.find(at, key)) return std::nullopt;
    return at->second;
  }
  bool get_into(const std::string& key, Account& out) {
    return visit(key, [&](const Account& account) { out = account; });
  }
  void put(Account&& account) {
    Map::accessor at;
    if (!map_.insert(at, account.login)) account.copy_key_data_from(at->second);
    at->second = std::move(account);
  }
  template <class F>
  bool update(const std::string& key, F&& f) {
    Map::accessor at;
    if (!map_.find(at, key)) return false;
    f(at->second);
    return true;
  }

 private:
  struct Hash {
    static std::size_t hash(const std::string& key) { return std::hash<std::string>{}(key); }
    static bool equal(const std::string& a, const std::string& b) { return a == b; }
  };
  using Map = tbb::concurrent_hash_map<std::string, Account, Hash>;
  Map map_;
};
#endif

#ifdef LAZYWRITER_BENCH_CUCKOO
class CuckooMap {
 public:
  static constexpr const char* name = "libcuckoo";
  static constexpr bool tracks_changes = false;
  static constexpr bool concurrent = true;

  explicit CuckooMap(std::size_t expected) : map_(expected) {}

  template <class F>
  bool visit(const std::string& key, F&& f) {
    return map_.find_fn(key, f);
  }
  std::optional<Account> get(const std::string& key) {
    Account copy;  // GCC fills an empty std::optional with zeros, which is no fault of the peer
    if (!get_into(key, copy)) return std::nullopt;
    return copy;
  }
  bool get_into(const std::string& key, Account& out) {
    return map_.find_fn(key, [&](const Account& account) { out = account; });
  }
  void put(Account&& account) {
    // One call, since it must be atomic per key, as the cache's put is.
    map_.upsert(
        account.login,
        [&](Account& stored) {
          account.copy_key_data_from(stored);
          stored = std::move(account);
        },
        std::move(account));
  }
  template <class F>
  bool update(const std::string& key, F&& f) {
    return map_.update_fn(key, f);
  }

 private:
  libcuckoo::cuckoohash_map<std::string, Account> map_;
};
#endif

#ifdef LAZYWRITER_BENCH_BOOST
class BoostMap {
 public:
  static constexpr const char* name = "boost";
  static constexpr bool tracks_changes = false;
  static constexpr bool concurrent = true;

  explicit BoostMap(std::size_t expected) : map_(expected) {}

  template <class F>
  bool visit(const std::string& key, F&& f) {
    return map_.cvisit(key, [&](const auto& entry) { f(entry.second); }) != 0;
  }
  std::optional<Account> get(const std::string& key) {
    Account copy;  // GCC fills an empty std::optional with zeros, which is no fault of the peer
    if (!get_into(key, copy)) return std::nullopt;
    return copy;
  }
  bool get_into(const std::string& key, Account& out) {
    return visit(key, [&](const Account& account) { out = account; });
  }
  void put(Account&& account) {
    // One call, since it must be atomic per key, as the cache's put is.
    map_.try_emplace_or_visit(account.login, std::move(account), [&](auto& entry) {
      account.copy_key_data_from(entry.second);
      entry.second = std::move(account);
    });
  }
  template <class F>
  bool update(const std::string& key, F&& f) {
    return map_.visit(key, [&](auto& entry) { f(entry.second); }) != 0;
  }

 private:
  boost::concurrent_flat_map<std::string, Account> map_;
};
#endif

/// Effect: calls f.template operator()<Impl>() for everything there is to compare.
template <class F>
void for_each_implementation(F&& f) {
  f.template operator()<RawMap>();
#ifdef LAZYWRITER_BENCH_TBB
  f.template operator()<TbbMap>();
#endif
#ifdef LAZYWRITER_BENCH_CUCKOO
  f.template operator()<CuckooMap>();
#endif
#ifdef LAZYWRITER_BENCH_BOOST
  f.template operator()<BoostMap>();
#endif
  f.template operator()<Lazywriter>();
  // Last: when it is filled and drained, its set of changed keys leaves holes between the items,
  // and whoever is filled after it has his items and their keys strewn over them.
  f.template operator()<NaivePort>();
}

}  // namespace bench
