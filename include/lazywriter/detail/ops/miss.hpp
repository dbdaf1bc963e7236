// One call's way through a miss: it asks the store at most once, whatever happens to the key
// meanwhile.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "lazywriter/detail/base/call_scope.hpp"
#include "lazywriter/detail/base/mutex.hpp"
#include "lazywriter/detail/ops/slot_reservation.hpp"
#include "lazywriter/detail/shard/load_ticket.hpp"
#include "lazywriter/errors.hpp"

namespace lazywriter::detail {

/// What a call wants of a key.
enum class Purpose : std::uint8_t {
  /// To look at the item. A value that it held at any time during the call will do.
  read,
  /// To change the item there is, the newest one.
  update,
  /// To decide what there is; so that it is absent must be settled under the lock.
  compute,
};

/// The miss of one key by one call.
///
/// The first thread that misses a key opens a ticket, releases the lock and calls find; another one
/// that misses it meanwhile joins that ticket and waits. It does so twice at most, then it makes a
/// find of its own; within an adapter call it does so at once, since the thread it waited for could
/// wait for it.
///
/// What a call knows of the key after its find is enough for it to end, whatever happened
/// meanwhile. The ticket stays open until the call is over, also while it waits for a slot. As long
/// as it is open, an entry of the key is not evicted; if it is invalidated, the ticket gets a copy;
/// if it leaves as a committed tombstone, the key is absent. So a change never starts from a value
/// that is older than one this process has written. Only where an entry was given up unsaved
/// (discard_parked, or an erase by discard_dirty) the ticket cannot tell what the store holds, and
/// a change asks once more.
template <class Core>
class Miss {
 public:
  using Part = typename Core::Part;
  using Probe = typename Core::Probe;
  using Node = typename Core::Node;
  using Table = typename Core::Table;
  using Ticket = typename Core::Ticket;
  using Item = typename Core::Item;

  Miss(Core& core, Part& shard, const Probe& sought, Purpose purpose) noexcept
      : core_(core), shard_(shard), sought_(sought), purpose_(purpose) {}
  ~Miss() {
    if (!open_) return;
    const MutexLock lock(shard_.mutex);
    close();
  }
  Miss(const Miss&) = delete;
  Miss& operator=(const Miss&) = delete;

  /// Effect: makes the ticket, for a key that is likely to need it. No lock may be held. Throws:
  /// std::bad_alloc, what copying the key throws.
  void prepare() {
    ticket_ = std::make_shared<Ticket>(sought_.hash, typename Core::Key(sought_.key));
  }

  /// Effect: runs on_entry(node) under the lock once the key is settled: node is its entry or
  /// tombstone, or nullptr. Not for an update or read of a key that another thread found absent.
  /// Returns: what on_entry returned, done if it was not called. It can be called again after
  /// Step::needs_slot. Throws: what find and on_entry throw; ReentrantUse.
  template <class OnEntry>
  Step run(OnEntry&& on_entry) {
    for (;;) {
      switch (look(on_entry)) {
        case Next::done:
          return Step::done;
        case Next::needs_slot:
          return Step::needs_slot;
        case Next::prepare:
          prepare();
          break;
        case Next::find:
          find();
          break;
        case Next::wait:
          if (wait_for_other() == LoadState::absent && purpose_ != Purpose::compute)
            return Step::done;
          break;
      }
    }
  }

 private:
  enum class Next : std::uint8_t { done, needs_slot, prepare, find, wait };

  static constexpr unsigned most_joins = 2;

  /// One look at the key under the lock.
  template <class OnEntry>
  Next look(OnEntry& on_entry) {
    typename Core::Insertion insertion(core_);
    const MutexLock lock(shard_.mutex);
    if (answered_) settle();
    Node* const node = shard_.table.find(sought_);
    if (node != nullptr) return end(on_entry(node));  // a write meanwhile is the answer
    if (!answered_) {
      return core_.may_load(shard_) ? ask() : end(on_entry(nullptr));
    }
    if (error_ != nullptr) std::rethrow_exception(error_);
    switch (ticket_->since()) {
      case Since::nothing:
        return end(cacheable_ ? install(on_entry, insertion) : lend(found_, on_entry, insertion));
      case Since::entry:
        return end(on_entry(nullptr));
      case Since::copy:
        return end(lend(ticket_->copy(), on_entry, insertion));
      case Since::unknown:
        break;
    }
    if (purpose_ == Purpose::read) return end(lend(found_, on_entry, insertion));
    begin_anew();
    return Next::prepare;
  }

  Next end(Step step) noexcept {
    shard_.mutex.assert_held();
    if (step == Step::needs_slot) return Next::needs_slot;
    close();
    return Next::done;
  }

  /// Returns: whether to wait for another thread's load or to make one.
  Next ask() {
    shard_.mutex.assert_held();
    if (AdapterScope::active(&core_)) {
      const auto same = [&](const void* ticket) {
        return static_cast<const Ticket*>(ticket)->is_for(sought_);
      };
      if (FindScope::any(&core_, same)) {
        throw ReentrantUse("find asked its own cache for the key that it is looking up");
      }
    } else if (joins_ < most_joins) {
      other_ = shard_.tickets.join(sought_);
      if (other_ != nullptr) return Next::wait;
    }
    if (ticket_ == nullptr) return Next::prepare;
    shard_.tickets.open(ticket_);
    open_ = true;
    return Next::find;
  }

  LoadState wait_for_other() {
    ++joins_;
    const auto other = std::exchange(other_, nullptr);
    const LoadState state = other->wait();
    if (state == LoadState::failed) other->rethrow();
    return state;
  }

  void find() noexcept {
    try {
      const FindScope scope(&core_, ticket_.get());
      found_ = core_.store().find(ticket_->key());
      if (found_.has_value() && !(found_->key() == ticket_->key())) {
        throw StoreContractError("find returned an item with another key than the one asked for");
      }
    } catch (...) {
      error_ = std::current_exception();
    }
    core_.count_load(error_ == nullptr);
    answered_ = true;
  }

  /// Effect: tells those who wait what find said, once.
  void settle() noexcept {
    shard_.mutex.assert_held();
    if (std::exchange(settled_, true)) return;
    const LoadState state = error_ != nullptr    ? LoadState::failed
                            : found_.has_value() ? LoadState::found
                                                 : LoadState::absent;
    cacheable_ = shard_.tickets.settle(*ticket_, state, error_);
  }

  /// Effect: what find said is cached.
  template <class OnEntry>
  Step install(OnEntry& on_entry, typename Core::Insertion& insertion) {
    shard_.mutex.assert_held();
    if (!found_.has_value()) return on_entry(nullptr);
    shard_.tickets.entry_comes(sought_);
    Node& node = shard_.table.insert_item(sought_.hash, std::move(*found_));
    shard_.tickets.entry_came();
    insertion.done(shard_);
    return on_entry(&node);
  }

  /// Effect: on_entry runs on an item that must not be cached: its entry stays only if it was
  /// changed.
  template <class OnEntry>
  Step lend(std::optional<Item>& item, OnEntry& on_entry, typename Core::Insertion& insertion) {
    shard_.mutex.assert_held();
    if (!item.has_value()) return on_entry(nullptr);
    if (purpose_ != Purpose::read) shard_.tickets.entry_comes(sought_);
    Node& node = shard_.table.insert_item(sought_.hash, std::move(*item));
    const Loan loan{*this, node, *item, insertion};
    return on_entry(&node);
  }

  /// Takes an item that was lent back, unless it was changed.
  struct Loan {
    Miss& miss;
    Node& node;
    Item& item;
    typename Core::Insertion& insertion;
    ~Loan() {
      miss.shard_.mutex.assert_held();
      if (node.second.pinned()) {
        miss.shard_.tickets.entry_came();
        insertion.done(miss.shard_);
        return;
      }
      item = std::move(node.second.item());
      miss.emptied_ = miss.shard_.table.remove(node);
    }
  };

  void begin_anew() noexcept {
    shard_.mutex.assert_held();
    close();
    ticket_ = nullptr;
    answered_ = settled_ = cacheable_ = false;
  }

  void close() noexcept {
    shard_.mutex.assert_held();
    if (std::exchange(open_, false)) shard_.tickets.close(ticket_);
  }

  Core& core_;
  Part& shard_;
  const Probe sought_;
  const Purpose purpose_;
  unsigned joins_ = 0;
  /// The ticket stands in the shard.
  bool open_ = false;
  /// find has returned, or thrown.
  bool answered_ = false;
  bool settled_ = false;
  bool cacheable_ = false;
  std::shared_ptr<Ticket> ticket_;
  std::shared_ptr<Ticket> other_;
  std::optional<Item> found_;
  std::exception_ptr error_;
  /// Outlives the lock, to be destroyed after it.
  typename Core::Removed emptied_;
};

}  // namespace lazywriter::detail
