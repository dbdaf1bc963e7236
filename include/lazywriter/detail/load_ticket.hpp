// Single-flight loads: who loads a key on a miss, who waits for it, and whose result is too old to
// use.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "lazywriter/detail/entry.hpp"

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

/// One call of find. The loader owns it together with those who wait.
template <class Key>
class LoadTicket {
 public:
  LoadTicket(std::size_t hash, const Key& key) : hash_(hash), key_(key) {}

  [[nodiscard]] const Key& key() const noexcept { return key_; }

  /// Blocks until the load ended or its result became useless. Does not throw.
  [[nodiscard]] LoadState wait() const noexcept {
    state_.wait(LoadState::loading, std::memory_order_acquire);
    return state_.load(std::memory_order_acquire);
  }

  /// Precondition: wait() returned LoadState::failed. Throws: what find threw.
  [[noreturn]] void rethrow() const { std::rethrow_exception(error_); }

 private:
  template <class>
  friend class LoadTickets;

  void finish(LoadState state) noexcept {
    state_.store(state, std::memory_order_release);
    state_.notify_all();
  }

  const std::size_t hash_;
  const Key key_;
  // Written before state_ leaves `loading`, read after.
  std::exception_ptr error_;
  // Leaves `loading` once.
  std::atomic<LoadState> state_{LoadState::loading};
};

/// The loads under way in one shard; guarded by the shard's lock. There are few at a time: a
/// vector.
template <class Key>
class LoadTickets {
 public:
  using Ticket = LoadTicket<Key>;

  /// Returns: the load of the key whose result can still be used, or nullptr.
  /// Throws: what comparing keys throws.
  template <class View>
  std::shared_ptr<Ticket> join(const KeyProbe<View>& probe) const {
    const auto at = std::find_if(tickets_.begin(), tickets_.end(), [&](const auto& ticket) {
      return is_for(*ticket, probe) &&
             ticket->state_.load(std::memory_order_relaxed) == LoadState::loading;
    });
    return at == tickets_.end() ? nullptr : *at;
  }

  /// Effect: adds a ticket, made by the caller outside of the lock. Throws: std::bad_alloc.
  void open(std::shared_ptr<Ticket> ticket) { tickets_.push_back(std::move(ticket)); }

  /// Effect: the load of `ticket` is over. Returns: false if its result came too late to be used;
  /// then those who waited start again. Otherwise they learn `state` (and `error`).
  bool close(const std::shared_ptr<Ticket>& ticket, LoadState state,
             std::exception_ptr error = nullptr) noexcept {
    const auto at = std::find(tickets_.begin(), tickets_.end(), ticket);
    if (at == tickets_.end()) return false;
    *at = std::move(tickets_.back());
    tickets_.pop_back();
    if (ticket->state_.load(std::memory_order_relaxed) != LoadState::loading) return false;
    ticket->error_ = std::move(error);
    ticket->finish(state);
    return true;
  }

  /// Effect: the key was written or forgotten: no load of it that began before may be cached or
  /// joined, and who waits for one need not wait longer. Throws: what comparing keys throws.
  template <class View>
  void make_stale(const KeyProbe<View>& probe) {
    for (const auto& ticket : tickets_) {
      if (is_for(*ticket, probe) &&
          ticket->state_.load(std::memory_order_relaxed) == LoadState::loading) {
        ticket->finish(LoadState::stale);
      }
    }
  }

  /// Effect: make_stale for every key.
  void make_all_stale() noexcept {
    for (const auto& ticket : tickets_) {
      if (ticket->state_.load(std::memory_order_relaxed) == LoadState::loading) {
        ticket->finish(LoadState::stale);
      }
    }
  }

 private:
  template <class View>
  static bool is_for(const Ticket& ticket, const KeyProbe<View>& probe) {
    return ticket.hash_ == probe.hash && ticket.key_ == probe.key;
  }

  std::vector<std::shared_ptr<Ticket>> tickets_;
};

}  // namespace lazywriter::detail
