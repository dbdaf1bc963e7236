// A store in memory whose failures can be scripted: for tests of code that uses a cache, and of the
// cache.
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lazywriter/cache_item.hpp"
#include "lazywriter/cache_reader_writer.hpp"
#include "lazywriter/store_faults.hpp"

namespace lazywriter {

/// A map as the store. Copies share it, so that a test keeps one copy and gives the other to the
/// cache:
///
///     lazywriter::MemoryReaderWriter<Account> store;
///     lazywriter::LazyWriterCache cache{store, {.flush_interval = std::chrono::milliseconds{0}}};
///     cache.put({.login = "ann"});
///     store.fail_next(lazywriter::StoreCall::commit_tx);
///     cache.flush();                     // pending == 1, the item is still there and dirty
///     cache.flush();                     // written == 1
///     store.row("ann");                  // the row
///
/// Writes are buffered in the transaction, applied by commit_tx as one, and dropped with a
/// transaction that is not committed. All members may be called from any thread. Unless said
/// otherwise they take constant time, throw only std::bad_alloc and what the item's members throw,
/// and block only for each other.
template <CacheItem Item>
class MemoryReaderWriter {
 public:
  /// The item.
  using item_type = Item;
  /// The type of its key.
  using key_type = key_type_t<Item>;

  /// The changes of one transaction. Destroying it uncommitted drops them.
  class transaction_type {
   public:
    /// An empty transaction.
    transaction_type() = default;

   private:
    friend class MemoryReaderWriter;
    // nullopt: an erase.
    std::unordered_map<key_type, std::optional<Item>, key_hash<key_type>> changes_;
  };

  /// @name What the cache calls
  /// @{

  /// Returns: a copy of the row, or nullopt. Throws and blocks: as scripted. Complexity: constant.
  std::optional<Item> find(const key_type& key) {
    step(StoreCall::find, FaultTime::before_effect);
    auto found = row(key);
    step(StoreCall::find, FaultTime::after_effect);
    return found;
  }

  /// Returns: an empty transaction. Throws and blocks: as scripted.
  transaction_type begin_tx() {
    step(StoreCall::begin_tx, FaultTime::before_effect);
    step(StoreCall::begin_tx, FaultTime::after_effect);
    return {};
  }

  /// Effect, throws, blocks: as save_batch with one item.
  void save(Item& item, transaction_type& transaction) { save_batch({&item, 1}, transaction); }

  /// Effect: each item takes over the key data of the row it replaces (copy_key_data_from), goes
  /// through the on_save function and is buffered. Throws: StoreRejected for a key that reject()
  /// names; else and blocks: as scripted. Complexity: linear in the number of items.
  void save_batch(std::span<Item> items, transaction_type& transaction) {
    step(StoreCall::save, FaultTime::before_effect);
    {
      const std::lock_guard lock(state_->mutex);
      for (Item& item : items) {
        throw_if_rejected(item.key(), StoreCall::save);
        if (const Item* stored = replaced_row(item.key(), transaction)) {
          item.copy_key_data_from(*stored);
        }
        if (state_->on_save) state_->on_save(item);
        transaction.changes_.insert_or_assign(item.key(), item);
      }
    }
    step(StoreCall::save, FaultTime::after_effect);
  }

  /// Effect, throws, blocks: as erase_batch with one key.
  void erase(const key_type& key, transaction_type& transaction) {
    erase_batch({&key, 1}, transaction);
  }

  /// Effect: buffers the erase of each key; a key without row is no error. Throws and blocks: as
  /// save_batch. Complexity: linear in the number of keys.
  void erase_batch(std::span<const key_type> keys, transaction_type& transaction) {
    step(StoreCall::erase, FaultTime::before_effect);
    {
      const std::lock_guard lock(state_->mutex);
      for (const key_type& key : keys) {
        throw_if_rejected(key, StoreCall::erase);
        transaction.changes_.insert_or_assign(key, std::nullopt);
      }
    }
    step(StoreCall::erase, FaultTime::after_effect);
  }

  /// Effect: applies the transaction, all of it or nothing. Throws: StoreRejected for a key that
  /// reject() names for this call; else and blocks: as scripted. Complexity: linear in the number
  /// of changes.
  void commit_tx(transaction_type& transaction) {
    step(StoreCall::commit_tx, FaultTime::before_effect);
    {
      const std::lock_guard lock(state_->mutex);
      for (const auto& [key, item] : transaction.changes_) {
        throw_if_rejected(key, StoreCall::commit_tx);
      }
      apply(transaction);
    }
    step(StoreCall::commit_tx, FaultTime::after_effect);
  }

  /// Returns: rejected for StoreRejected, unavailable for StoreUnavailable, in_doubt for
  /// StoreInDoubt, transient for everything else. Throws and blocks: as
  /// scripted.
  WriteFailure classify(const std::exception& error) {
    step(StoreCall::classify, FaultTime::before_effect);
    WriteFailure failure = WriteFailure::transient;
    if (dynamic_cast<const StoreRejected*>(&error)) failure = WriteFailure::rejected;
    if (dynamic_cast<const StoreUnavailable*>(&error)) failure = WriteFailure::unavailable;
    if (dynamic_cast<const StoreInDoubt*>(&error)) failure = WriteFailure::in_doubt;
    step(StoreCall::classify, FaultTime::after_effect);
    return failure;
  }

  /// Effect: a hanging begin_tx, save, erase or commit_tx, and every later one, throws StoreDown,
  /// until recover(). Never throws.
  void interrupt() noexcept { state_->script.interrupt(); }

  /// Effect: keeps the text for infos(). Throws and blocks: as scripted.
  void info(std::string_view text) { log(StoreCall::info, state_->infos, text); }
  /// Effect: keeps the text for warnings(). Throws and blocks: as scripted.
  void warn(std::string_view text) { log(StoreCall::warn, state_->warnings, text); }

  /// @}
  /// @name What a test scripts
  /// @{

  /// Effect: the next `times` calls of this kind fail as `fault` says, after those that earlier
  /// calls of fail_next ask for.
  void fail_next(StoreCall call, std::size_t times = 1, StoreFault fault = StoreFault::transient,
                 FaultTime when = FaultTime::before_effect) {
    state_->script.fail_next(call, times, fault, when);
  }

  /// Effect: every call of this kind fails as `fault` says, until recover().
  void fail_always(StoreCall call, StoreFault fault = StoreFault::transient,
                   FaultTime when = FaultTime::before_effect) {
    fail_next(call, std::numeric_limits<std::size_t>::max(), fault, when);
  }

  /// Effect: the store is down: find, begin_tx, save, erase and commit_tx fail, until recover().
  void fail_always(StoreFault fault = StoreFault::transient) {
    using enum StoreCall;
    for (const auto call : {find, begin_tx, save, erase, commit_tx})
      fail_always(call, fault);
  }

  /// Effect: forgets what fail_next, fail_always and interrupt did; hanging calls go on. Keys that
  /// reject() named stay rejected.
  void recover() { state_->script.recover(); }

  /// Effect: until accept(), a transaction with this key fails in the call `at`: in save when the
  /// key is to be saved, in erase when it is to be erased, in commit_tx in both cases. It throws
  /// StoreRejected with `message`. With `as` = StoreFault::transient it throws StoreDown instead: a
  /// store that stumbles over an item without saying which; with StoreFault::unavailable
  /// StoreUnavailable: an item that breaks the store.
  void reject(const key_type& key, std::string message = "rejected by the store",
              StoreCall at = StoreCall::save, StoreFault as = StoreFault::rejected) {
    const std::lock_guard lock(state_->mutex);
    state_->rejections.insert_or_assign(key, Rejection{std::move(message), at, as});
  }

  /// Effect: the key is taken again.
  void accept(const key_type& key) {
    const std::lock_guard lock(state_->mutex);
    state_->rejections.erase(key);
  }

  /// Effect: `f(call, time)` runs at the start and before the end of every call, on its thread and
  /// without any lock; it may block, throw, and call this store. An empty function ends it.
  void on_call(std::function<void(StoreCall, FaultTime)> f) {
    state_->script.set_hook(std::move(f));
  }

  /// Effect: `f(item)` runs for every item saved, to fill in what a database would generate; the
  /// item has taken over the key data of the row it replaces before. It must not call this store.
  void on_save(std::function<void(Item&)> f) {
    const std::lock_guard lock(state_->mutex);
    state_->on_save = std::move(f);
  }

  /// Effect: `f(key, item)` runs for every row that a commit writes (item == nullptr: erases), in
  /// the order of the commits. It must not call this store and must not throw.
  void on_commit(std::function<void(const key_type&, const Item*)> f) {
    const std::lock_guard lock(state_->mutex);
    state_->on_commit = std::move(f);
  }

  /// @}
  /// @name What a test looks at
  /// @{

  /// Effect: writes a row past the cache, in place of one with that key. Not counted, does not
  /// fail.
  void insert(Item item) {
    const std::lock_guard lock(state_->mutex);
    key_type key = item.key();
    state_->rows.insert_or_assign(std::move(key), std::move(item));
  }

  /// Effect: erases a row past the cache. Not counted, does not fail.
  void remove(const key_type& key) {
    const std::lock_guard lock(state_->mutex);
    state_->rows.erase(key);
  }

  /// Returns: a copy of the committed row, or nullopt. Not counted, does not fail.
  [[nodiscard]] std::optional<Item> row(const key_type& key) const {
    const std::lock_guard lock(state_->mutex);
    const auto at = state_->rows.find(key);
    return at == state_->rows.end() ? std::nullopt : at->second;
  }

  /// Returns: copies of all committed rows, in no order. Complexity: linear.
  [[nodiscard]] std::vector<Item> rows() const {
    const std::lock_guard lock(state_->mutex);
    std::vector<Item> all;
    for (const auto& [key, item] : state_->rows) {
      if (item) all.push_back(*item);
    }
    return all;
  }

  /// Returns: the number of committed rows. Complexity: linear.
  [[nodiscard]] std::size_t size() const { return rows().size(); }

  /// Returns: how many calls of this kind began.
  [[nodiscard]] std::size_t calls(StoreCall call) const { return state_->script.calls(call); }

  /// Blocks until `count` calls of this kind began, for instance until a scripted one hangs; for
  /// ever, if they never do.
  void wait_for_calls(StoreCall call, std::size_t count) const {
    state_->script.wait_for_calls(call, count);
  }

  /// Returns: whether the cache has interrupted the store, and nobody called recover() since.
  [[nodiscard]] bool interrupted() const { return state_->script.interrupted(); }

  /// Returns: what the cache told info(), oldest first. Complexity: linear.
  [[nodiscard]] std::vector<std::string> infos() const {
    const std::lock_guard lock(state_->mutex);
    return state_->infos;
  }
  /// Returns: what the cache told warn(), oldest first. Complexity: linear.
  [[nodiscard]] std::vector<std::string> warnings() const {
    const std::lock_guard lock(state_->mutex);
    return state_->warnings;
  }
  /// @}

 private:
  struct Rejection {
    std::string message;
    StoreCall at;
    StoreFault as;
  };

  struct State {
    detail::CallScript script;
    // Guards everything below; never held while a hook runs or a call hangs.
    std::mutex mutex;
    // nullopt: erased.
    std::unordered_map<key_type, std::optional<Item>, key_hash<key_type>> rows;
    std::unordered_map<key_type, Rejection, key_hash<key_type>> rejections;
    std::vector<std::string> infos;
    std::vector<std::string> warnings;
    std::function<void(Item&)> on_save;
    std::function<void(const key_type&, const Item*)> on_commit;
  };

  void step(StoreCall call, FaultTime time) { state_->script.step(call, time); }

  // The lock is held.
  void throw_if_rejected(const key_type& key, StoreCall at) const {
    const auto found = state_->rejections.find(key);
    if (found == state_->rejections.end() || found->second.at != at) return;
    const std::string& message = found->second.message;
    if (found->second.as == StoreFault::rejected) throw StoreRejected(message);
    if (found->second.as == StoreFault::unavailable) throw StoreUnavailable(message);
    throw StoreDown(message);
  }

  // The row that a save of `key` would replace, as the transaction sees it; the lock is held.
  const Item* replaced_row(const key_type& key, const transaction_type& transaction) const {
    const auto visible = [](const auto& rows, auto at) {
      return at != rows.end() && at->second ? std::addressof(*at->second) : nullptr;
    };
    const auto& changes = transaction.changes_;
    if (const auto at = changes.find(key); at != changes.end()) return visible(changes, at);
    return visible(state_->rows, std::as_const(state_->rows).find(key));
  }

  // The lock is held. All or nothing: what can throw (making room) comes first and changes no row.
  void apply(transaction_type& transaction) {
    std::vector<std::pair<const key_type*, std::optional<Item>*>> slots;
    slots.reserve(transaction.changes_.size());
    for (const auto& [key, item] : transaction.changes_) {
      const auto slot = state_->rows.try_emplace(key).first;
      slots.emplace_back(std::addressof(slot->first), &slot->second);
    }
    auto slot = slots.begin();
    for (auto& [key, item] : transaction.changes_)
      *(slot++)->second = std::move(item);
    transaction.changes_.clear();
    if (!state_->on_commit) return;
    for (const auto& [key, item] : slots)
      state_->on_commit(*key, *item ? std::addressof(**item) : nullptr);
  }

  void log(StoreCall call, std::vector<std::string>& lines, std::string_view text) {
    step(call, FaultTime::before_effect);
    {
      const std::lock_guard lock(state_->mutex);
      lines.emplace_back(text);
    }
    step(call, FaultTime::after_effect);
  }

  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace lazywriter
