// Single-flight loads: who loads a key on a miss, who waits for it, and what became of the key
// meanwhile.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "lazywriter/cache_item.hpp"
#include "lazywriter/detail/table/key.hpp"

namespace lazywriter::detail {

/// How a load ended, for those who waited for it.
enum class LoadState : std::uint32_t {
  loading,
  /// The item is in the cache (or was, a moment ago).
  found,
  /// The store has no such row.
  absent,
  /// find threw; the ticket holds what.
  failed,
  /// Something wrote or forgot the key meanwhile: start again.
  stale,
};

/// What is known of a key that no entry stands for, apart from what find returned.
enum class Since : std::uint8_t {
  /// No entry stood there since the load began: nothing of this process is newer than its result.
  nothing,
  /// An entry came in. Where it is gone, it left as the tombstone of a committed erase: while a
  /// ticket is open, nothing else leaves without a word to it.
  entry,
  /// The clean entry was forgotten on demand; the ticket has a copy, which is what the store holds.
  copy,
  /// An entry was given up unsaved: only the store can tell.
  unknown,
};

/// One call of find, and what the call that makes it must know of the key until it is over. That
/// call owns it together with those who wait for the load.
template <class Item>
class LoadTicket {
 public:
  using Key = key_type_t<Item>;

  LoadTicket(std::size_t hash, const Key& key) : hash_(hash), key_(key) {}

  [[nodiscard]] const Key& key() const noexcept { return key_; }

  /// Throws: what comparing keys throws.
  template <class View>
  [[nodiscard]] bool is_for(const KeyProbe<View>& probe) const {
    return hash_ == probe.hash && key_ == probe.key;
  }

  /// Blocks until the load ended or its result became useless. Does not throw.
  [[nodiscard]] LoadState wait() const noexcept {
    state_.wait(LoadState::loading, std::memory_order_acquire);
    return state_.load(std::memory_order_acquire);
  }

  /// Precondition: wait() returned LoadState::failed. Throws: what find threw.
  [[noreturn]] void rethrow() const { std::rethrow_exception(error_); }

  // Under the lock of the shard:

  [[nodiscard]] Since since() const noexcept { return since_; }
  /// What is there with Since::copy.
  [[nodiscard]] std::optional<Item>& copy() noexcept { return copy_; }

 private:
  template <class>
  friend class LoadTickets;

  [[nodiscard]] bool loading() const noexcept {
    return state_.load(std::memory_order_relaxed) == LoadState::loading;
  }
  void finish(LoadState state) noexcept {
    if (!loading()) return;
    state_.store(state, std::memory_order_release);
    state_.notify_all();
  }

  const std::size_t hash_;
  const Key key_;
  // Written before state_ leaves `loading`, read after.
  std::exception_ptr error_;
  // Leaves `loading` once.
  std::atomic<LoadState> state_{LoadState::loading};
  // The rest is guarded by the lock of the shard.
  Since since_ = Since::nothing;
  /// An entry for the key is about to come in.
  bool expecting_ = false;
  std::optional<Item> copy_;
};

/// The tickets that are open in one shard; guarded by its lock. There are few at a time: a vector.
template <class Item>
class LoadTickets {
 public:
  using Ticket = LoadTicket<Item>;

  /// Returns: the load of the key whose result can still be used, or nullptr.
  /// Throws: what comparing keys throws.
  template <class View>
  std::shared_ptr<Ticket> join(const KeyProbe<View>& probe) const {
    const auto at = std::find_if(tickets_.begin(), tickets_.end(), [&](const auto& ticket) {
      return ticket->is_for(probe) && ticket->loading();
    });
    return at == tickets_.end() ? nullptr : *at;
  }

  /// Effect: adds a ticket, made by the caller outside of the lock. Throws: std::bad_alloc.
  void open(std::shared_ptr<Ticket> ticket) { tickets_.push_back(std::move(ticket)); }

  /// Effect: the find of `ticket`, which stays open, is over; those who wait for it learn `state`
  /// (and `error`). Returns: false if the key was written or forgotten meanwhile, so that the
  /// result must not be cached; those who waited know that already.
  static bool settle(Ticket& ticket, LoadState state, std::exception_ptr error = nullptr) noexcept {
    if (!ticket.loading()) return false;
    ticket.error_ = std::move(error);
    ticket.finish(state);
    return true;
  }

  /// Effect: the call that opened the ticket needs it no more.
  void close(const std::shared_ptr<Ticket>& ticket) noexcept {
    const auto at = std::find(tickets_.begin(), tickets_.end(), ticket);
    if (at == tickets_.end()) return;
    *at = std::move(tickets_.back());
    tickets_.pop_back();
  }

  /// Whether an entry with that hash must not be evicted: a call relies on finding it.
  [[nodiscard]] bool watched(std::size_t hash) const noexcept {
    return std::any_of(tickets_.begin(), tickets_.end(),
                       [&](const auto& ticket) { return ticket->hash_ == hash; });
  }

  /// Effect: an entry comes in for a key that had none, and entry_came() follows once it is there:
  /// no load of the key that began before may be cached or joined, and those who wait for one need
  /// not wait longer. Throws: what comparing keys throws.
  template <class View>
  void entry_comes(const KeyProbe<View>& probe) {
    for (const auto& ticket : tickets_) {
      ticket->expecting_ = ticket->is_for(probe);
      if (ticket->expecting_) ticket->finish(LoadState::stale);
    }
  }
  void entry_came() noexcept {
    for (const auto& ticket : tickets_) {
      if (std::exchange(ticket->expecting_, false)) ticket->since_ = Since::entry;
    }
  }

  /// Effect: the key is forgotten, so that calls that begin later ask the store. Throws: what
  /// comparing keys throws.
  template <class View>
  void forget(const KeyProbe<View>& probe) {
    for (const auto& ticket : tickets_) {
      if (ticket->is_for(probe)) ticket->finish(LoadState::stale);
    }
  }
  /// Effect: forget for every key.
  void forget_all() noexcept {
    for (const auto& ticket : tickets_)
      ticket->finish(LoadState::stale);
  }

  /// Effect: the clean entry of the key is about to be forgotten on demand. Throws: what comparing
  /// keys and copying the item throws; then it must stay.
  template <class View>
  void entry_leaves(const KeyProbe<View>& probe, const Item& item) {
    for (const auto& ticket : tickets_) {
      if (!ticket->is_for(probe)) continue;
      ticket->copy_ = item;
      ticket->since_ = Since::copy;
    }
  }

  /// Effect: what the entries with that hash held is given up unsaved.
  void entry_is_given_up(std::size_t hash) noexcept {
    for (const auto& ticket : tickets_) {
      if (ticket->hash_ == hash) ticket->since_ = Since::unknown;
    }
  }

 private:
  std::vector<std::shared_ptr<Ticket>> tickets_;
};

}  // namespace lazywriter::detail
