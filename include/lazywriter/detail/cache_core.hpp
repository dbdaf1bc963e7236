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
#include "lazywriter/detail/call_scope.hpp"
#include "lazywriter/detail/load_ticket.hpp"
#include "lazywriter/detail/shard.hpp"
#include "lazywriter/detail/slot_hold.hpp"
#include "lazywriter/detail/store_gate.hpp"
#include "lazywriter/errors.hpp"

namespace lazywriter::detail {

/// How keys are passed: a view for strings, so that a look-up allocates nothing.
template <class Key>
using KeyView = std::conditional_t<std::is_same_v<Key, std::string>, std::string_view, const Key&>;

/// What an operation on an entry came to.
enum class Step {
  done,
  /// It changed nothing yet: it needs a slot of max_dirty and there was none.
  needs_slot,
};

/// The entries, the store and the rules between them; no threads. The essay on top of
/// lazy_writer_cache.hpp explains the states it moves entries through. What few calls come to is
/// kept out of line, so that compilers inline what every call does.
template <class Item, class ReaderWriter>
class CacheCore {
 public:
  using Key = key_type_t<Item>;
  using View = KeyView<Key>;
  using Probe = KeyProbe<View>;
  using Part = Shard<Item>;
  using Table = typename Part::Table;
  using Node = typename Part::Node;
  using Removed = typename Part::Removed;
  using Gate = StoreGate<Item, ReaderWriter>;
  using Ticket = LoadTicket<Key>;
  using SlotHold = detail::SlotHold<CacheCore>;
  using Insertion = detail::Insertion<CacheCore>;

  CacheCore(ReaderWriter&& store, const CacheConfig& config)
      : config_((detail::validate(config), config)),
        shards_(config_),
        gate_(this, std::move(store)),
        crowded_at_(crowded_shard(config_, shards_.count())) {}

  [[nodiscard]] const CacheConfig& config() const noexcept { return config_; }
  [[nodiscard]] ShardSet<Item>& shards() noexcept { return shards_; }
  [[nodiscard]] const ShardSet<Item>& shards() const noexcept { return shards_; }
  [[nodiscard]] Gate& gate() noexcept { return gate_; }
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

  /// Effect: no write is accepted from now on; who waits for a slot learns it.
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
    shards_.slots().wake();
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

  /// Whether who waited for another thread's load may take "absent" for its answer, or needs it
  /// settled under the lock.
  enum class AbsentIs { answer, unsettled };

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

  /// Effect: runs on_entry(shard, node) under the lock once it is known what the key holds: node is
  /// the resident entry or tombstone, or nullptr when there is nothing, neither here nor in the
  /// store. Repeats it after a wait if it needs a slot. Throws: CacheClosed, CacheFull, what find
  /// threw.
  /// `absent`: whether "absent" may be another thread's answer; then on_entry is not called.
  template <class OnEntry>
  void change(View key, AbsentIs absent, OnEntry&& on_entry) {
    refuse_visitors();
    const Probe sought = probe(key);
    Part& shard = shards_.of(sought.hash);
    SlotWait wait;
    bool first = true;
    for (;;) {
      {
        const MutexLock lock(shard.mutex);
        require_open(shard);
        Node* const node = shard.table.find(sought);
        if (std::exchange(first, false))
          ++(node != nullptr ? shard.counters.hits : shard.counters.misses);
        if (node != nullptr) Table::touch(*node);
        if (node != nullptr || !config_.lookup_on_miss) {
          if (on_entry(shard, sought, node) == Step::done) return;
        } else {
          wait.load_first = true;
        }
      }
      if (std::exchange(wait.load_first, false)) {
        const Step step = load(sought, shard, absent, [&](Node* node) {
          shard.mutex.assert_held();
          require_open(shard);
          return on_entry(shard, sought, node);
        });
        if (step == Step::done) return;
      }
      wait_for_slot(shard, wait);
    }
  }

  /// Effect: as change, but asks no store: what is not resident is nullptr. `may_wait`: otherwise,
  /// returns false instead of waiting for a slot.
  template <class OnEntry>
  bool overwrite(const Probe& sought, bool may_wait, OnEntry&& on_entry) {
    refuse_visitors();
    Part& shard = shards_.of(sought.hash);
    SlotWait wait;
    for (;;) {
      {
        const MutexLock lock(shard.mutex);
        require_open(shard);
        if (on_entry(shard, shard.table.find(sought)) == Step::done) break;
      }
      if (!may_wait && wait.waiter.has_value()) {
        const MutexLock lock(shard.mutex);
        ++shard.counters.refused_writes;
        return false;
      }
      wait_for_slot(shard, wait);
    }
    return true;
  }

  // ---- what a write tells the loops

  /// Effect: wakes the flusher if a shard has just come to hold much that is unsaved. Under its
  /// lock.
  void slot_granted(const Part& shard) const noexcept {
    shard.mutex.assert_held();
    if (shard.table.slots() == crowded_at_) wake_flusher();
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
      evicted[i] = shard.table.evict(budget);
      if (!evicted[i].empty()) ++shard.counters.evictions;
    }
    shard.publish_clean();
  }

 private:
  struct SlotWait {
    std::optional<SlotBudget::Waiter> waiter;
    Clock::time_point deadline;
    bool counted = false;
    bool load_first = false;
  };

  static std::size_t crowded_shard(const CacheConfig& config, std::size_t shards) noexcept {
    // Ten batches, or half of what is allowed, are worth an early flush.
    const std::size_t by_batch = config.max_batch > 1'000'000 ? 10'000'000 : config.max_batch * 10;
    const std::size_t much =
        config.max_dirty == 0 ? by_batch : std::min(by_batch, config.max_dirty / 2);
    return std::max<std::size_t>(1, much / shards);
  }

  [[noreturn, gnu::cold, gnu::noinline]] static void throw_reentrant() {
    throw ReentrantUse("a function given to visit, update, compute or for_each called its cache");
  }
  [[noreturn, gnu::cold, gnu::noinline]] static void throw_closed() { throw CacheClosed(); }

  void require_open(const Part& shard) const {
    shard.mutex.assert_held();
    if (shard.closed) [[unlikely]]
      throw_closed();
  }

  [[nodiscard]] bool may_load(const Part& shard) const noexcept {
    shard.mutex.assert_held();
    return config_.lookup_on_miss && !shard.closed;
  }

  /// Effect: the first time, collects spare slots; then waits for one. Throws: CacheFull.
  [[gnu::cold, gnu::noinline]] void wait_for_slot(Part& shard, SlotWait& wait) {
    if (!wait.waiter.has_value()) {
      wait.waiter.emplace(shards_.slots());
      wait.deadline = detail::deadline_after(config_.backpressure_timeout);
      shards_.collect_spare_slots();
      return;
    }
    const bool hopeless =
        config_.flush_interval == std::chrono::milliseconds::zero() || AdapterScope::active(this);
    if (!hopeless) {
      wake_flusher();
      if (!std::exchange(wait.counted, true)) {
        const MutexLock lock(shard.mutex);
        ++shard.counters.backpressure_waits;
      }
      if (wait.waiter->wait_until(wait.deadline, [this] { return closed(); })) return;
    }
    {
      const MutexLock lock(shard.mutex);
      ++shard.counters.refused_writes;
    }
    throw CacheFull();
  }

  /// The part of read that asks the store.
  template <class Answer, class OnItem>
  [[gnu::noinline]] Answer read_loaded(const Probe& sought, Part& shard, OnItem& on_item) {
    Answer answer{};
    load(sought, shard, AbsentIs::answer, [&](Node* node) {
      if (node != nullptr && node->second.visible()) {
        answer = on_item(std::as_const(node->second).item());
      }
      return Step::done;
    });
    return answer;
  }

  /// A miss: one find for all who miss the key at once. Runs on_entry(node) under the lock once the
  /// key is settled; node as in change(), and without a call for an absent key that another thread
  /// looked up if `absent` says so. Returns: what on_entry returned, done if it was not called.
  template <class OnEntry>
  Step load(const Probe& sought, Part& shard, AbsentIs absent, OnEntry&& on_entry) {
    for (;;) {
      const auto mine = std::make_shared<Ticket>(sought.hash, Key(sought.key));
      std::shared_ptr<Ticket> ticket;
      {
        const MutexLock lock(shard.mutex);
        Node* const node = shard.table.find(sought);
        if (node != nullptr || !may_load(shard)) return on_entry(node);
        ticket = shard.tickets.join(sought);
        if (ticket == nullptr) shard.tickets.open(mine);
      }
      if (ticket == nullptr) {
        if (const auto step = run_load(sought, shard, mine, on_entry); step.has_value())
          return *step;
        continue;
      }
      // Waiting for another thread's find from within an adapter call could be waiting for oneself.
      if (AdapterScope::active(this)) {
        throw ReentrantUse("an adapter call waited for a load of its own cache");
      }
      switch (ticket->wait()) {
        case LoadState::failed:
          ticket->rethrow();
        case LoadState::absent:
          if (absent == AbsentIs::answer) return Step::done;
          break;
        default:
          break;
      }
    }
  }

  /// Effect: calls find, installs what it returned unless the ticket went stale meanwhile, and runs
  /// on_entry in the same hold of the lock. Returns: nullopt if the key must be looked up again.
  template <class OnEntry>
  std::optional<Step> run_load(const Probe& sought, Part& shard,
                               const std::shared_ptr<Ticket>& ticket, OnEntry& on_entry) {
    std::exception_ptr error;
    std::optional<Item> item;
    try {
      item = gate_.find(ticket->key());
      if (item.has_value() && !(item->key() == ticket->key())) {
        throw StoreContractError("find returned an item with another key than the one asked for");
      }
    } catch (...) {
      error = std::current_exception();
    }
    (error == nullptr ? loads_ : load_failures_).fetch_add(1, std::memory_order_relaxed);

    Insertion insertion(*this);
    const MutexLock lock(shard.mutex);
    const LoadState state = error != nullptr   ? LoadState::failed
                            : item.has_value() ? LoadState::found
                                               : LoadState::absent;
    const bool usable = shard.tickets.close(ticket, state, error);
    Node* node = shard.table.find(sought);
    if (node != nullptr) return on_entry(node);  // somebody wrote it meanwhile: that is the answer
    if (error != nullptr) std::rethrow_exception(error);
    if (!usable) return std::nullopt;
    if (item.has_value()) {
      node = &shard.table.insert_item(sought.hash, std::move(*item));
      insertion.done(shard);
    }
    return on_entry(node);
  }

  const CacheConfig config_;
  ShardSet<Item> shards_;
  Gate gate_;
  const std::size_t crowded_at_;
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
