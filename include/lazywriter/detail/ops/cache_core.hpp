// What every operation of the cache is made of: look-up, miss, slot, and the change of an entry.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "lazywriter/cache_config.hpp"
#include "lazywriter/detail/base/call_scope.hpp"
#include "lazywriter/detail/base/clock.hpp"
#include "lazywriter/detail/ops/miss.hpp"
#include "lazywriter/detail/ops/slot_reservation.hpp"
#include "lazywriter/detail/shard/load_ticket.hpp"
#include "lazywriter/detail/shard/shard.hpp"
#include "lazywriter/detail/shard/shard_set.hpp"
#include "lazywriter/detail/store/store_caller.hpp"
#include "lazywriter/detail/table/key.hpp"
#include "lazywriter/errors.hpp"

namespace lazywriter::detail {

/// How keys are passed: a view for strings, so that a look-up allocates nothing.
template <class Key>
using KeyView = std::conditional_t<std::is_same_v<Key, std::string>, std::string_view, const Key&>;

/// The entries, the store and the rules between them; no threads. The essay on top of
/// lazy_writer_cache.hpp explains the states it moves entries through. What few calls come to is
/// kept out of line, so that compilers inline what every call does.
template <class ItemType, class ReaderWriter>
class CacheCore {
 public:
  using Item = ItemType;
  using Key = key_type_t<Item>;
  using View = KeyView<Key>;
  using Probe = KeyProbe<View>;
  using Part = Shard<Item>;
  using Table = typename Part::Table;
  using Node = typename Part::Node;
  using Removed = typename Part::Removed;
  using Store = StoreCaller<Item, ReaderWriter>;
  using Ticket = LoadTicket<Item>;
  using SlotReservation = detail::SlotReservation<CacheCore>;
  using Insertion = detail::Insertion<CacheCore>;

  CacheCore(ReaderWriter&& store, const CacheConfig& config)
      : config_((detail::validate(config), config)),
        shards_(config_),
        store_(this, std::move(store), config_.name) {}

  [[nodiscard]] const CacheConfig& config() const noexcept { return config_; }
  [[nodiscard]] ShardSet<Item>& shards() noexcept { return shards_; }
  [[nodiscard]] const ShardSet<Item>& shards() const noexcept { return shards_; }
  [[nodiscard]] Store& store() noexcept { return store_; }
  [[nodiscard]] std::uint64_t loads() const noexcept { return loads_.load(); }
  [[nodiscard]] std::uint64_t load_failures() const noexcept { return load_failures_.load(); }

  /// Effect: says who is told when the flusher, or the pruner, has more to do than can wait. They
  /// run under a shard's lock and must not throw. Once, before any other thread uses the cache.
  void set_wakes(std::function<void()> flusher, std::function<void()> pruner) {
    wake_flusher_ = std::move(flusher);
    wake_pruner_ = std::move(pruner);
  }
  void wake_flusher() const noexcept { wake_flusher_(); }
  void wake_pruner() const noexcept { wake_pruner_(); }

  // ---- guards

  /// Throws: ReentrantUse on a thread that is running a function under a lock of this cache.
  [[gnu::always_inline]] void refuse_visitors() const {
    if (VisitorScope::active(this)) [[unlikely]]
      throw_reentrant();
  }
  /// Throws: ReentrantUse there, and on a thread that is running an adapter call of this cache.
  void refuse_callbacks() const {
    refuse_visitors();
    if (AdapterScope::active(this)) {
      throw ReentrantUse("flush, prune or close was called from within an adapter call");
    }
  }

  /// Effect: no write is accepted from now on; threads that wait for a slot learn it.
  void refuse_writes() noexcept {
    for (const auto& shard : shards_) {
      const MutexLock lock(shard->mutex);
      shard->closed = true;
    }
    {
      const std::lock_guard lock(closed_mutex_);
      closed_.store(true);
    }
    closed_changed_.notify_all();
    shards_.slots().wake_all();
  }
  /// Blocks until `until`, or until the cache is closed.
  void pause_until(Clock::time_point until) {
    std::unique_lock lock(closed_mutex_);
    closed_changed_.wait_until(lock, until, [this] { return closed(); });
  }
  [[nodiscard]] bool closed() const noexcept { return closed_.load(); }

  [[nodiscard]] Probe probe(View key) const {
    return {detail::table_hash<Key>(key, shards_.seed()), key};
  }

  // ---- reading

  /// Returns: what on_item(const Item&) makes of the item, which is loaded if need be; an empty
  /// (false) value of that type if there is none.
  template <class OnItem>
  auto read(View key, OnItem&& on_item) {
    using Answer = std::invoke_result_t<OnItem&, const Item&>;
    refuse_visitors();
    const Probe sought = probe(key);
    Part& shard = shards_.of(sought.hash);
    {
      const MutexLock lock(shard.mutex);
      if (Node* const node = shard.table.find_to_read(sought); node != nullptr) [[likely]] {
        ++shard.counters.hits;
        if (node->second.erased) return Answer{};
        Table::touch(*node);
        // Made right in its place: GCC fills an empty std::optional with zeros before use.
        return on_item(std::as_const(node->second).item());
      }
      ++shard.counters.misses;
      if (!may_load(shard)) return Answer{};
    }
    return read_loaded<Answer>(Probe(sought), shard, on_item);  // of a copy: see look_up_unindexed
  }

  /// Effect: runs on_item(const Item&) on the item if it is in memory; counts and marks nothing.
  /// Returns: whether it is.
  template <class OnItem>
  bool look(View key, OnItem&& on_item) const {
    refuse_visitors();
    const Probe sought = probe(key);
    Part& shard = shards_.of(sought.hash);
    const MutexLock lock(shard.mutex);
    const Node* const node = std::as_const(shard.table).find_to_read(sought);
    if (node == nullptr || node->second.erased) return false;
    on_item(node->second.item());
    return true;
  }

  /// Effect: runs on_entry(shard, probe, node) under the lock once it is known what the key holds:
  /// node is the resident entry or tombstone, or nullptr when there is nothing, neither here nor in
  /// the store; not for an update of an absent key. Repeats it after a wait if it needs a slot.
  /// Throws: CacheClosed, CacheFull, what find threw.
  template <class OnEntry>
  void change(View key, Purpose purpose, OnEntry&& on_entry) {
    refuse_visitors();
    const Probe sought = probe(key);
    Part& shard = shards_.of(sought.hash);
    bool missed = false;
    {
      const MutexLock lock(shard.mutex);
      require_open(shard);
      Node* const node = shard.table.find(sought);
      ++(node != nullptr ? shard.counters.hits : shard.counters.misses);
      if (node != nullptr) Table::touch(*node);
      missed = node == nullptr && config_.lookup_on_miss;
      if (!missed && on_entry(shard, sought, node) == Step::done) return;
    }
    change_later(Probe(sought), shard, purpose, missed, on_entry);
  }

  /// Effect: as change, but asks no store: what is not resident is nullptr. `may_wait`: otherwise,
  /// returns false instead of waiting for a slot.
  template <class OnEntry>
  bool overwrite(const Probe& sought, bool may_wait, OnEntry&& on_entry) {
    refuse_visitors();
    Part& shard = shards_.of(sought.hash);
    {
      const MutexLock lock(shard.mutex);
      require_open(shard);
      if (on_entry(shard, shard.table.find(sought)) == Step::done) return true;
    }
    return overwrite_later(Probe(sought), shard, may_wait, on_entry);
  }

  // ---- for a miss

  [[nodiscard]] bool may_load(const Part& shard) const noexcept {
    shard.mutex.assert_held();
    return config_.lookup_on_miss && !shard.closed;
  }
  void count_load(bool answered) noexcept {
    (answered ? loads_ : load_failures_).fetch_add(1, std::memory_order_relaxed);
  }

  // ---- what a write tells the loops

  /// Effect: an entry of the shard was given a slot: wakes the flusher if that is crowded. Under
  /// its lock.
  void slot_granted(const Part& shard) const noexcept {
    shard.mutex.assert_held();
    if (shards_.is_crowded(shard)) wake_flusher();
  }

  /// Effect: calls for the pruner at 10 % over the capacity, evicts up to two clean entries past
  /// 25 %.
  [[gnu::noinline]] void make_room(Part& shard) noexcept {
    const std::size_t excess = shards_.overshoot();
    if (excess > shards_.capacity() / 10) wake_pruner();
    const std::size_t tolerated = shards_.capacity() / 4;
    if (excess <= tolerated) return;
    std::array<Removed, 2> evicted;  // destroyed after the lock is released
    const MutexLock lock(shard.mutex);
    std::size_t budget = 16;
    for (std::size_t i = 0; i < evicted.size() && excess > tolerated + i; ++i) {
      evicted[i] = shard.evict(budget);
      if (!evicted[i].empty()) ++shard.counters.evictions;
    }
    shard.publish_clean();
  }

 private:
  /// A write's way to a slot.
  struct SlotWait {
    std::optional<SlotBudget::Waiter> waiter;
    bool collected = false;
  };

  [[noreturn, gnu::cold, gnu::noinline]] static void throw_reentrant() {
    throw ReentrantUse("a function given to visit, update, compute or for_each called its cache");
  }
  [[noreturn, gnu::cold, gnu::noinline]] static void throw_closed() { throw CacheClosed(); }

  void require_open(const Part& shard) const {
    shard.mutex.assert_held();
    if (shard.closed) [[unlikely]]
      throw_closed();
  }

  /// Effect: the first time, collects spare slots; then waits for one. Throws: CacheFull.
  [[gnu::cold, gnu::noinline]] void wait_for_slot(Part& shard, SlotWait& wait) {
    if (!std::exchange(wait.collected, true)) {
      shards_.collect_spare_slots();
      return;
    }
    const bool hopeless =
        config_.flush_interval == std::chrono::milliseconds::zero() || AdapterScope::active(this);
    if (hopeless) refuse(shard);
    const Clock::time_point deadline = detail::deadline_after(config_.backpressure_timeout);
    wait.waiter.emplace(shards_.slots());
    // Those that came back to a shard before it knew that somebody waits.
    shards_.collect_spare_slots();
    if (wait.waiter->has_slot()) return;
    {
      const MutexLock lock(shard.mutex);
      ++shard.counters.backpressure_waits;
    }
    wake_flusher();
    if (!wait.waiter->wait_until(deadline, [this] { return closed(); }) && !closed()) refuse(shard);
  }

  /// Throws: CacheFull.
  [[noreturn]] void refuse(Part& shard) {
    {
      const MutexLock lock(shard.mutex);
      ++shard.counters.refused_writes;
    }
    throw CacheFull();
  }

  /// Effect: runs write() with the slot that was waited for, if any, at hand. Under the lock.
  template <class Write>
  Step write_with_slot(Part& shard, SlotWait& wait, Write&& write) {
    shard.mutex.assert_held();
    if (!wait.waiter.has_value() || !wait.waiter->take_slot()) return write();
    struct Balance {
      CacheCore& core;
      Part& shard;
      ~Balance() {
        shard.mutex.assert_held();
        shard.return_slots(core.shards_.slots(), 0);  // if it was not needed after all
      }
    };
    shard.add_credit(shards_.slots());
    const Balance balance{*this, shard};
    return write();
  }

  /// The part of overwrite that waits for a slot.
  template <class OnEntry>
  [[gnu::noinline]] bool overwrite_later(const Probe& sought, Part& shard, bool may_wait,
                                         OnEntry& on_entry) {
    SlotWait wait;
    for (;;) {
      if (!may_wait && wait.collected) {
        wake_flusher();
        const MutexLock lock(shard.mutex);
        ++shard.counters.refused_writes;
        return false;
      }
      wait_for_slot(shard, wait);
      const MutexLock lock(shard.mutex);
      require_open(shard);
      const auto write = [&] {
        shard.mutex.assert_held();
        return on_entry(shard, shard.table.find(sought));
      };
      if (write_with_slot(shard, wait, write) == Step::done) return true;
    }
  }

  /// The part of read that asks the store.
  template <class Answer, class OnItem>
  [[gnu::noinline]] Answer read_loaded(const Probe& sought, Part& shard, OnItem& on_item) {
    Answer answer{};
    Miss<CacheCore> miss(*this, shard, sought, Purpose::read);
    miss.prepare();
    miss.run([&](Node* node) {
      if (node != nullptr && node->second.visible()) {
        answer = on_item(std::as_const(node->second).item());
      }
      return Step::done;
    });
    return answer;
  }

  /// The part of change that asks the store, or waits for a slot.
  template <class OnEntry>
  [[gnu::noinline]] void change_later(const Probe& sought, Part& shard, Purpose purpose,
                                      bool missed, OnEntry& on_entry) {
    SlotWait wait;
    Miss<CacheCore> miss(*this, shard, sought, purpose);
    if (missed) {
      miss.prepare();
    } else {
      wait_for_slot(shard, wait);
    }
    const auto enter = [&](Node* node) {
      shard.mutex.assert_held();
      require_open(shard);
      return write_with_slot(shard, wait, [&] { return on_entry(shard, sought, node); });
    };
    while (miss.run(enter) == Step::needs_slot)
      wait_for_slot(shard, wait);
  }

  const CacheConfig config_;
  ShardSet<Item> shards_;
  Store store_;
  std::function<void()> wake_flusher_ = [] {};
  std::function<void()> wake_pruner_ = [] {};
  /// Set after the flag of every shard: for waits only; a write asks its shard.
  std::atomic<bool> closed_{false};
  std::mutex closed_mutex_;
  std::condition_variable closed_changed_;
  std::atomic<std::uint64_t> loads_{0};
  std::atomic<std::uint64_t> load_failures_{0};
};

}  // namespace lazywriter::detail
