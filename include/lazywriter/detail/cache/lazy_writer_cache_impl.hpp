// Bodies of LazyWriterCache's members; the declarations say what they do.
#pragma once

#include <utility>

#include "lazywriter/detail/base/clock.hpp"
#include "lazywriter/detail/base/mutex.hpp"
#include "lazywriter/detail/shard/retired.hpp"
#include "lazywriter/detail/shard/shard.hpp"
#include "lazywriter/detail/table/departures.hpp"
#include "lazywriter/lazy_writer_cache.hpp"

namespace lazywriter {

template <class Item, class ReaderWriter>
LazyWriterCache<Item, ReaderWriter>::LazyWriterCache(ReaderWriter store, CacheConfig config)
    : core_(std::move(store), config),
      flusher_(core_.shards(), core_.store(), core_.config(), [this] { flush_loop_.hurry(); }),
      pruner_(core_.shards()),
      prune_loop_([this] {
        pruner_.prune();
        return detail::Clock::now() + core_.config().prune_interval;
      }),
      flush_loop_([this] {
        const detail::PeriodicWorker::Turn next = flusher_.run_loop_pass();
        wake_pruner_if_full();
        return next;
      }) {
  core_.set_wakes([this] { flush_loop_.wake(); }, [this] { prune_loop_.wake(); });
  const CacheConfig& settings = core_.config();
  if (settings.prune_interval.count() != 0)
    prune_loop_.start(detail::deadline_after(settings.prune_interval));
  if (settings.flush_interval.count() != 0) {
    flush_loop_.start(detail::deadline_after(settings.flush_interval));
  } else {
    flush_loop_.start_for_finish();  // close flushes on that thread
  }
}

template <class Item, class ReaderWriter>
void LazyWriterCache<Item, ReaderWriter>::wake_pruner_if_full() {
  if (core_.shards().overshoot() > core_.config().capacity / 10) core_.wake_pruner();
}

// ---------------------------------------------------------------- reading

template <class Item, class ReaderWriter>
std::optional<Item> LazyWriterCache<Item, ReaderWriter>::peek(key_view key) const {
  std::optional<Item> copy;
  core_.look(key, [&](const Item& item) { copy.emplace(item); });
  return copy;
}

template <class Item, class ReaderWriter>
bool LazyWriterCache<Item, ReaderWriter>::contains(key_view key) const {
  return core_.look(key, [](const Item&) {});
}

template <class Item, class ReaderWriter>
template <class F>
void LazyWriterCache<Item, ReaderWriter>::for_each(F&& f) const {
  core_.refuse_visitors();
  const auto show = [&](const typename Core::Node& node) {
    if (!node.second.visible()) return true;
    const detail::VisitorScope scope(&core_);
    return detail::answer_of(f, node.second.item());
  };
  for (const auto& shard : core_.shards()) {
    if (!detail::walk_entries(*shard, show, [] {})) return;
  }
}

// ---------------------------------------------------------------- writing

// Flattened: the better part of a put is moving items about, and GCC would call each step of that.
template <class Item, class ReaderWriter>
[[gnu::flatten]] bool LazyWriterCache<Item, ReaderWriter>::store(Item& item, bool may_wait) {
  // The key lies in the item, which is moved from below: nothing looks at the probe after that.
  const auto& item_key = item.key();
  const auto probe = core_.probe(item_key);
  // Destroyed after the lock is released.
  typename Core::Insertion insertion(core_);
  detail::Leftover<Item> old;
  const auto write = [&](typename Core::Part& shard, typename Core::Node* node) {
    shard.mutex.assert_held();
    typename Core::SlotReservation slot(core_, shard, node);
    if (!slot) return detail::Step::needs_slot;
    if (node == nullptr) {
      shard.tickets.entry_comes(probe);
      node = &shard.table.insert_item(probe.hash, std::move(item));
      shard.tickets.entry_came();
      slot.attach(*node);
      insertion.done(shard);
    } else {
      if (node->second.visible()) item.copy_key_data_from(std::as_const(node->second).item());
      shard.table.replace_item(*node, item, old);
      slot.attach(*node);
    }
    ++shard.counters.puts;
    return detail::Step::done;
  };
  return core_.overwrite(probe, may_wait, write);
}

template <class Item, class ReaderWriter>
template <class F>
bool LazyWriterCache<Item, ReaderWriter>::update(key_view key, F&& f) {
  bool exists = false;
  const auto edit = [&](typename Core::Part& shard, const typename Core::Probe&,
                        typename Core::Node* node) {
    if (node == nullptr || node->second.erased) return detail::Step::done;
    typename Core::SlotReservation slot(core_, shard, node);
    if (!slot) return detail::Step::needs_slot;
    exists = true;
    detail::InPlaceEdit<Core>(core_, shard, *node).run(f, slot);
    return detail::Step::done;
  };
  core_.change(key, detail::Purpose::update, edit);
  return exists;
}

template <class Item, class ReaderWriter>
template <class F>
bool LazyWriterCache<Item, ReaderWriter>::compute(key_view key, F&& f) {
  std::optional<Item> value;
  detail::Leftover<Item> old;  // outlives the lock: what was replaced is destroyed after it
  typename Core::Insertion insertion(core_);
  bool exists = false;
  const auto edit = [&](typename Core::Part& shard, const typename Core::Probe& probe,
                        typename Core::Node* node) {
    shard.mutex.assert_held();
    typename Core::SlotReservation slot(core_, shard, node);
    if (!slot) return detail::Step::needs_slot;
    value.reset();
    exists = node != nullptr && node->second.visible();
    if (exists) value.emplace(std::as_const(node->second).item());
    bool changed = false;
    {
      const detail::VisitorScope scope(&core_);
      changed = detail::answer_of(f, value);
    }
    if (!changed || (!exists && !value.has_value())) return detail::Step::done;
    if (!value.has_value()) {
      if constexpr (!Core::Store::can_erase) {
        throw std::logic_error("lazywriter: compute emptied an item, and the adapter cannot erase");
      }
      shard.table.hide_item(*node, key_type(probe.key), old);
      slot.attach(*node);
      ++shard.counters.erases;
      exists = false;
      return detail::Step::done;
    }
    if (!(value->key() == probe.key)) throw KeyChanged();
    if (node == nullptr) {
      shard.tickets.entry_comes(probe);
      node = &shard.table.insert_item(probe.hash, std::move(*value));
      shard.tickets.entry_came();
      slot.attach(*node);
      insertion.done(shard);
    } else {
      shard.table.replace_item(*node, *value, old);
      slot.attach(*node);
    }
    ++shard.counters.puts;
    exists = true;
    return detail::Step::done;
  };
  core_.change(key, detail::Purpose::compute, edit);
  return exists;
}

template <class Item, class ReaderWriter>
void LazyWriterCache<Item, ReaderWriter>::erase(key_view key) {
  static_assert(
      Core::Store::can_erase,
      "lazywriter: LazyWriterCache::erase needs an adapter with erase(key, transaction) or "
      "erase_batch(keys, transaction)");
  const auto probe = core_.probe(key);
  key_type kept(key);          // copied before the lock, under which nothing may fail
  detail::Leftover<Item> old;  // outlives the lock
  core_.overwrite(probe, true, [&](typename Core::Part& shard, typename Core::Node* node) {
    shard.mutex.assert_held();
    typename Core::SlotReservation slot(core_, shard, node);
    if (!slot) return detail::Step::needs_slot;
    if (node == nullptr) {
      shard.tickets.entry_comes(probe);
      node = &shard.table.insert_tombstone(probe.hash, std::move(kept));
      shard.tickets.entry_came();
    } else {
      shard.table.hide_item(*node, std::move(kept), old);
    }
    slot.attach(*node);
    ++shard.counters.erases;
    return detail::Step::done;
  });
}

template <class Item, class ReaderWriter>
Reading LazyWriterCache<Item, ReaderWriter>::reading() {
  core_.refuse_visitors();
  Reading reading(core_.shards().departures());
  // What leaves a shard from now on is remembered.
  for (const auto& shard : core_.shards()) {
    const detail::MutexLock lock(shard->mutex);
  }
  return reading;
}

// ---------------------------------------------------------------- persistence

template <class Item, class ReaderWriter>
FlushResult LazyWriterCache<Item, ReaderWriter>::flush() {
  core_.refuse_callbacks();
  FlushResult result = flusher_.flush_once(std::nullopt);
  wake_pruner_if_full();
  return result;
}

template <class Item, class ReaderWriter>
FlushResult LazyWriterCache<Item, ReaderWriter>::flush(std::chrono::milliseconds timeout) {
  core_.refuse_callbacks();
  const auto stop = [this] { return core_.closed(); };
  const auto pause = [this](detail::Clock::time_point until) { core_.pause_until(until); };
  FlushResult result = flusher_.flush_until(detail::deadline_after(timeout),
                                            Flusher::Persist::until_all_is_through, stop, pause);
  wake_pruner_if_full();
  return result;
}

template <class Item, class ReaderWriter>
std::size_t LazyWriterCache<Item, ReaderWriter>::prune() {
  core_.refuse_callbacks();
  return pruner_.prune();
}

template <class Item, class ReaderWriter>
bool LazyWriterCache<Item, ReaderWriter>::invalidate(key_view key) {
  core_.refuse_visitors();
  const auto probe = core_.probe(key);
  auto& shard = core_.shards().of(probe.hash);
  typename Core::Removed removed;
  const detail::MutexLock lock(shard.mutex);
  auto* const node = shard.table.find(probe);
  if (node != nullptr && node->second.pinned()) return false;
  shard.tickets.forget(probe);
  if (node == nullptr) {
    // What a Reading has seen of the key may be old as well.
    core_.shards().departures().remember(probe.hash);
    return true;
  }
  shard.tickets.entry_leaves(probe, std::as_const(node->second).item());
  removed = shard.table.remove(*node);
  shard.publish_clean();
  return true;
}

template <class Item, class ReaderWriter>
FlushResult LazyWriterCache<Item, ReaderWriter>::invalidate_all() {
  FlushResult result = flush();
  detail::Departures& departures = core_.shards().departures();
  departures.remember_all(departures.last_begun());
  detail::RetireList<typename Core::Removed> retired;
  for (const auto& shard : core_.shards()) {
    {
      const detail::MutexLock lock(shard->mutex);
      shard->tickets.forget_all();
    }
    const auto forget = [&](typename Core::Node& node) {
      shard->mutex.assert_held();
      if (node.second.pinned()) return true;
      shard->tickets.entry_leaves(Core::Table::probe_of(node), std::as_const(node.second).item());
      retired(shard->table.remove(node));
      shard->publish_clean();
      return true;
    };
    detail::walk_entries(*shard, forget, [&] { retired.clear(); });
  }
  return result;
}

template <class Item, class ReaderWriter>
std::size_t LazyWriterCache<Item, ReaderWriter>::discard_dirty() {
  core_.refuse_visitors();
  detail::RetireList<typename Core::Removed> retired;
  std::size_t discarded = 0;
  for (const auto& shard : core_.shards()) {
    discarded +=
        detail::discard_dirty(*shard, core_.shards().slots(), retired, [&] { retired.clear(); });
  }
  wake_pruner_if_full();
  return discarded;
}

template <class Item, class ReaderWriter>
std::vector<UnsavedItem<Item>> LazyWriterCache<Item, ReaderWriter>::list_unsaved(
    Unsaved wanted) const {
  std::vector<UnsavedItem<Item>> list;
  const auto note = [&](const typename Core::Node& node) {
    const auto& entry = node.second;
    const bool listed = wanted == Unsaved::all       ? entry.holds_slot
                        : wanted == Unsaved::failing ? entry.failed_alone()
                                                     : entry.parked();
    if (!listed) return;
    auto& unsaved = list.emplace_back(
        UnsavedItem<Item>{detail::EntryTable<Item>::key_of(node), std::nullopt, {}, 0});
    if (entry.visible()) unsaved.item.emplace(entry.item());
    if (entry.failure == nullptr) return;
    unsaved.error = entry.failure->error;
    unsaved.attempts = entry.failure->rejections;
  };
  for (const auto& shard : core_.shards()) {
    if (wanted == Unsaved::parked) {
      if (detail::any_parked(*shard)) detail::walk_apart(*shard, note);
      continue;
    }
    const auto before = static_cast<std::ptrdiff_t>(list.size());
    detail::walk_unsaved(*shard, note, [&] { list.erase(list.begin() + before, list.end()); });
  }
  return list;
}

template <class Item, class ReaderWriter>
std::vector<UnsavedItem<Item>> LazyWriterCache<Item, ReaderWriter>::parked() const {
  core_.refuse_visitors();
  return list_unsaved(Unsaved::parked);
}

template <class Item, class ReaderWriter>
std::vector<UnsavedItem<Item>> LazyWriterCache<Item, ReaderWriter>::failing() const {
  core_.refuse_visitors();
  return list_unsaved(Unsaved::failing);
}

template <class Item, class ReaderWriter>
std::size_t LazyWriterCache<Item, ReaderWriter>::retry_parked() {
  core_.refuse_visitors();
  std::size_t retried = 0;
  for (const auto& shard : core_.shards()) {
    if (!detail::any_parked(*shard)) continue;
    detail::walk_apart(*shard, [&](typename Core::Node& node) {
      shard->mutex.assert_held();
      retried += shard->table.unpark(node) ? 1U : 0U;
    });
  }
  if (retried != 0) core_.wake_flusher();
  return retried;
}

template <class Item, class ReaderWriter>
bool LazyWriterCache<Item, ReaderWriter>::discard_parked(key_view key) {
  core_.refuse_visitors();
  const auto probe = core_.probe(key);
  auto& shard = core_.shards().of(probe.hash);
  typename Core::Removed removed;
  const detail::MutexLock lock(shard.mutex);
  auto* const node = shard.table.find(probe);
  if (node == nullptr || !node->second.parked() || node->second.in_flight) return false;
  shard.tickets.entry_is_given_up(probe.hash);
  removed = shard.table.forget_parked(*node);
  shard.return_slots(core_.shards().slots(), 1);
  shard.publish_clean();
  return true;
}

// ---------------------------------------------------------------- looking

template <class Item, class ReaderWriter>
std::size_t LazyWriterCache<Item, ReaderWriter>::size() const {
  core_.refuse_visitors();
  return core_.shards().sum([](const auto& table) { return table.visible(); });
}

template <class Item, class ReaderWriter>
std::size_t LazyWriterCache<Item, ReaderWriter>::dirty_count() const {
  core_.refuse_visitors();
  return core_.shards().sum([](const auto& table) { return table.slots() - table.parked(); });
}

template <class Item, class ReaderWriter>
std::chrono::nanoseconds LazyWriterCache<Item, ReaderWriter>::oldest_dirty_age() const {
  core_.refuse_visitors();
  std::chrono::nanoseconds oldest{0};
  for (const auto& shard : core_.shards()) {
    const detail::MutexLock lock(shard->mutex);
    const detail::Stamp stamp = shard->table.oldest_unsaved();
    if (stamp != detail::no_stamp) oldest = std::max(oldest, detail::StampClock::age(stamp));
  }
  return oldest;
}

template <class Item, class ReaderWriter>
CacheStats LazyWriterCache<Item, ReaderWriter>::stats() const {
  core_.refuse_visitors();
  CacheStats stats;
  for (const auto& shard : core_.shards()) {
    const detail::MutexLock lock(shard->mutex);
    const detail::ShardCounters counters = shard->counters;
    stats.hits += counters.hits;
    stats.misses += counters.misses;
    stats.puts += counters.puts;
    stats.erases += counters.erases;
    stats.preloads += counters.preloads;
    stats.evictions += counters.evictions;
    stats.parkings += counters.parkings;
    stats.refused_writes += counters.refused_writes;
    stats.backpressure_waits += counters.backpressure_waits;
    const auto& table = std::as_const(shard->table);
    stats.resident += table.visible();
    stats.dirty += table.slots() - table.parked();
    stats.in_flight += table.in_flight();
    stats.parked += table.parked();
  }
  stats.loads = core_.loads();
  stats.load_failures = core_.load_failures();
  const detail::FlushCounters flushed = flusher_.counters();
  stats.flushed_items = flushed.flushed_items;
  stats.flushed_erases = flushed.flushed_erases;
  stats.failed_items = flushed.failed_items;
  stats.transactions = flushed.transactions;
  stats.failed_transactions = flushed.failed_transactions;
  stats.retries = flushed.retries;
  stats.parkings += flushed.parkings;
  stats.flush_duration = flushed.duration;
  stats.oldest_dirty_age = oldest_dirty_age();
  return stats;
}

}  // namespace lazywriter
