// LazyWriterCache: objects in memory as the single version of truth, written to a store in the
// background.
//
// WHAT IT IS FOR. A program keeps its objects here, reads and writes them at the speed of memory,
// and what changed reaches a durable store in batches, a little later. Three things count, in this
// order: nothing accepted is lost or reordered; a hit or a put never waits for the store; the code
// can be read.
//
// THE STATES OF AN ENTRY. An entry is a node of a shard's std::unordered_map. What it is follows
// from a few fields (detail/table/entry.hpp), and only EntryTable and its base EntryState change
// them. P1 to P12 are the promises of README.
//
// clang-format off
//     clean       The store holds just this item. May be evicted.
//     dirty       Something in it is unsaved since `unsaved_since`. It holds a slot of max_dirty
//                 and stands in its shard's dirty list.
//     in flight   The flusher has pinned it. A copy is taken together with `unsaved_since = none`;
//                 a write meanwhile sets it again. So "none" at the end says: the store got just
//                 what is here.
//     parked      The store rejects it. It holds its slot, but instead of standing in the list it
//                 waits for a write, retry_parked or discard_parked.
//     tombstone   An erased key that the store may still have: dirty, in flight or parked like an
//                 item, but invisible to readers.
//     erase first Dirty or in flight, and an erase that came before the item is not known to be
//                 committed: one transaction deletes the row and saves the item as a new one.
//     (absent)    Not in the map. A load ticket may stand for the key, see below.
//
//     from        by                              to
//     ---------   -----------------------------   ------------------------------------------------
//     absent      put, compute                    dirty
//     absent      erase                           dirty tombstone
//     absent      load, preload                   clean
//     clean       put, update, compute            dirty
//     clean       erase                           dirty tombstone
//     clean       evict, invalidate               absent
//     dirty       put, update, compute, erase     dirty: its place and `unsaved_since` stay
//     dirty       the flusher pins and copies     in flight
//     dirty       discard_dirty                   clean; a tombstone: absent
//     in flight   committed, not written since    clean; a tombstone: absent
//     in flight   committed, written since        dirty, with the data that the store generated
//     in flight   failed                          dirty, as unsaved as before
//     in flight   rejected often enough           parked
//     any         update that changes the key     parked, under the key that was asked for
//     in flight   discard_dirty                   as from dirty, once the flight has landed
//     tombstone   put, compute                    dirty, erase first; of a parked one: just dirty
//     erase first in flight, commit in doubt      dirty: the row that is there may be the new one
//     parked      a write, retry_parked           dirty
//     parked      discard_parked                  absent
// clang-format on
//
// Invariants (EntryTable::check_invariants asks for them). (1) [P2] Dirty, in-flight and parked
// entries and tombstones are never evicted, and an in-flight node never leaves the map: the flusher
// comes back to it by pointer. (2) [P2, P3] An entry becomes clean only by a committed transaction
// that held what it still holds, or by discard_dirty. (3) [P7] An entry holds a slot just while it
// is dirty, in flight or parked; every change of state gives the slot back or keeps it. (4) [P2,
// P12] Every dirty entry that is not in flight stands in exactly one list, so that it is written,
// and found without a walk.
//
// FLUSHES [P3, P4, P5]. A pass visits what was dirty when it began, and its result counts what of
// that is not committed. What is good goes first; what fails is halved until it stands alone, and
// at most 16 retries of such entries follow each other while anything newer waits. The essay of
// detail/flush/flush_pass.hpp tells the rest.
//
// MISSES [P9, P11]. A thread that misses a key opens a ticket in its shard, releases the lock and
// calls find; another one that misses it meanwhile waits for that ticket. Whatever brings the key
// in, or forgets it, makes the ticket stale: put, erase, preload, invalidate. A stale result is
// never cached and nobody joins a stale ticket, so a load loses to every writer. It is used all the
// same by the call that made the load, so that each call asks the store once: a read returns it, a
// change starts from it. That is safe because the ticket stays open until the call is over, and
// what has been in memory since it was opened is not lost on it: while a ticket is open, the entry
// of its key is not evicted; if it is invalidated, the ticket gets a copy; if it is gone without
// that, it left as the tombstone of a committed erase. Only what is given up unsaved
// (discard_parked, or an erase by discard_dirty) makes a change ask once more. Within an adapter
// call a lookup waits for nobody's load, which might wait for that call: it makes a find of its
// own, beside the other.
//
// READINGS. Rows that were read past the cache can be old when they come to preload. What is in
// memory protects itself. While a Reading lives, whatever takes an entry out of the map notes its
// key, so that preload leaves it out; invalidate does so for a key that is not there. Every write
// is an entry until it is committed: a key that neither stands in the map nor is noted has not been
// written since the Reading began.
//
// LOCKS [P6, P12], in the order in which they may be taken:
// clang-format off
//     1. prune_mutex_ (prune only)
//     2. the flush token: one flusher at a time; held while the store works
//     3. one shard's lock: never two, and never while the store, the log or any adapter code runs.
//        Items' own functions, and those given to visit, update, compute and for_each, run under
//        it.
//     4. leaves: slot budget, worker wake-up, flush counters, closed_mutex_, those of Closing,
//        TransactionHalt and Departures
// clang-format on
// The closed flag is read and set under each shard's lock: a racing write is refused, or close sees
// it. No hold of a shard's lock grows with what the shard holds: walks are made in short holds, and
// what is unsaved stands in lists of its own, so that looking for it walks over nothing else.
//
// SLOTS [P7]. max_dirty is one number for all shards, which draw a few slots at a time. A write
// that finds none stands in a queue; what comes free goes to the first in it, and to nobody else
// before all in it have one. The flush loop goes on while anybody waits, or while a shard holds
// more than wakes it.
//
// THREADS [P8, P10]. The flush loop and the prune loop are two jthreads; every pass can be made by
// hand as well. The thread of the flush loop starts in any case: close lets it make the last flush
// while it keeps the time itself, so that nothing but a transaction under way can hold up close.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "lazywriter/cache_config.hpp"
#include "lazywriter/cache_item.hpp"
#include "lazywriter/cache_reader_writer.hpp"
#include "lazywriter/cache_stats.hpp"
#include "lazywriter/detail/base/periodic_worker.hpp"
#include "lazywriter/detail/cache/closing.hpp"
#include "lazywriter/detail/flush/flusher.hpp"
#include "lazywriter/detail/ops/cache_core.hpp"
#include "lazywriter/detail/ops/edit.hpp"
#include "lazywriter/detail/ops/preload.hpp"
#include "lazywriter/detail/shard/pruner.hpp"
#include "lazywriter/detail/shard/shard_walks.hpp"
#include "lazywriter/detail/store/cache_contract.hpp"
#include "lazywriter/errors.hpp"
#include "lazywriter/flush_result.hpp"
#include "lazywriter/reading.hpp"

/// The cache, its items and its stores.
namespace lazywriter {

namespace detail {
/// Looks inside of a cache; defined by tests alone.
struct CacheInspector;
}  // namespace detail

/// A write-behind cache of `Item` over the store `ReaderWriter`. Not copyable, not movable. All
/// members may be called from any thread; destroy it after every other call has returned.
///
/// Unless its comment says otherwise, a member
///
/// - takes constant time on average;
/// - never waits for the store: it blocks only for other threads that hold the lock of the shard;
/// - throws only std::bad_alloc, what the item's own functions throw, and ReentrantUse when it is
///   called by a function that the cache is running under a lock.
///
/// Where key_type is std::string, keys are passed as std::string_view.
template <class Item, class ReaderWriter>
class LazyWriterCache : private detail::CacheContract<Item, ReaderWriter> {
 public:
  /// The item.
  using item_type = Item;
  /// The type of its key.
  using key_type = key_type_t<Item>;
  /// The adapter.
  using reader_writer_type = ReaderWriter;
  /// How keys are passed: std::string_view for strings, else const key_type&.
  using key_view = detail::KeyView<key_type>;

  /// Effect: takes over the adapter and starts the loops whose interval is not 0, and the thread
  /// that close flushes on. Throws: std::invalid_argument naming field and rule; std::system_error
  /// when a thread cannot start; std::bad_alloc. Complexity: linear in capacity, for which it makes
  /// room (up to some millions of items), and in the number of shards. Does not call the adapter.
  explicit LazyWriterCache(ReaderWriter store, CacheConfig config = {});

  /// Effect: close(); warns through the adapter about what is left. Within an adapter call of this
  /// cache, where std::exit can bring a static one to its end, nothing is written any more: it
  /// warns and leaves; that call must not return. Never throws. Blocks: as close, and for a thread
  /// that sits in the log. Complexity: linear in what is in memory.
  ~LazyWriterCache() { closing_.close_quietly(*this, core_.config().close_timeout); }

  /// A cache is the one owner of its items and threads.
  LazyWriterCache(const LazyWriterCache&) = delete;
  LazyWriterCache& operator=(const LazyWriterCache&) = delete;

  /// @name Reading
  /// @{

  /// Returns: a copy of the item, nullopt if there is none. Throws: on a miss, what the adapter's
  /// find throws, and StoreContractError; ReentrantUse from within a find of the same key. Blocks:
  /// on a miss, for one find of its own at most, whatever is invalidated meanwhile, and before that
  /// for two of other threads.
  std::optional<Item> get(key_view key) {
    return core_.read(key,
                      [](const Item& item) { return std::optional<Item>(std::in_place, item); });
  }

  /// Effect: as get, but assigns to `out`, whose buffers are reused. Returns: false if there is no
  /// item, and then `out` is untouched. Throws and blocks: as get.
  bool get_into(key_view key, Item& out) {
    return core_.read(key, [&](const Item& item) {
      out = item;
      return true;
    });
  }

  /// Effect: calls f(const Item&) on the item in place, without a copy, under the lock of one
  /// shard: f must be short, and must not call this or another cache or wait for another thread.
  /// Returns: false if there is no item. Throws and blocks: as get; also what f throws.
  template <class F>
  bool visit(key_view key, F&& f) {
    return core_.read(key, [&](const Item& item) {
      const detail::VisitorScope scope(&core_);
      std::invoke(f, item);
      return true;
    });
  }

  /// Returns: a copy of the item if it is in memory. Asks no store, counts and marks nothing.
  std::optional<Item> peek(key_view key) const;

  /// Returns: whether the item is in memory. Asks no store, counts and marks nothing.
  bool contains(key_view key) const;

  /// Effect: calls f(const Item&) for every item in memory, under the lock of its shard (see
  /// visit), which is released after a few items. An item that is there throughout is shown once,
  /// one that comes or goes meanwhile once or not at all. f returns void, or bool: false ends it.
  /// Throws: what f throws. Complexity: linear.
  template <class F>
  void for_each(F&& f) const;

  /// @}
  /// @name Writing
  /// All of these throw CacheClosed after close(). A write to a key that has nothing unsaved needs
  /// one of max_dirty slots: when all are taken it waits, and throws CacheFull if none comes free
  /// within backpressure_timeout. When they throw, nothing changed, but for what is said of update.
  /// @{

  /// Effect: inserts or overwrites, and marks the item dirty. Key data of the item it replaces is
  /// kept (`item.copy_key_data_from(resident)`). `item` is moved from, unless this throws. Throws:
  /// CacheClosed, CacheFull. Blocks: for a slot.
  void put(Item&& item) { store(item, true); }
  /// Effect: as put, of a copy.
  void put(const Item& item) { put(Item(item)); }

  /// Effect: as put. Returns: false, instead of waiting for a slot or throwing CacheFull; then
  /// `item` is untouched. Throws: CacheClosed.
  bool try_put(Item&& item) { return store(item, false); }

  /// Effect: calls f(Item&) on the item in place and marks it dirty; loads it first on a miss.
  /// Atomic for this key, under the lock of one shard (see visit). f returns void, or bool (nothing
  /// else compiles): false promises that it changed nothing. Returns: false if there is no item.
  /// Throws: as get; what f throws, and then the item keeps whatever f did and is dirty (parked, if
  /// that changed its key); KeyChanged, and then the item is parked under the key that was asked
  /// for. Blocks: on a miss, and for a slot.
  template <class F>
  bool update(key_view key, F&& f);

  /// Effect: calls f(std::optional<Item>&) on a copy of the item (nullopt if there is none; loaded
  /// first on a miss), and keeps what f made of it: a new item, a changed one, or none, which is an
  /// erase. Atomic for this key, all or nothing, under the lock of one shard (see visit). f returns
  /// void, or bool: false promises that it changed nothing. Returns: whether the item exists
  /// afterwards. Throws: as get; what f throws; KeyChanged; std::logic_error if f empties an
  /// existing item and the adapter cannot erase. Blocks: on a miss, and for a slot.
  template <class F>
  bool compute(key_view key, F&& f);

  /// Effect: the item is gone for readers now, and deleted from the store by the next flush,
  /// whether or not it is in memory. Compiles only with an adapter that is an Eraser or a
  /// BatchEraser. Throws: CacheClosed, CacheFull. Blocks: for a slot.
  void erase(key_view key);

  /// Effect: takes in rows just read from the store and not written since, as clean items. A key
  /// that is in memory, or erased, stays as it is. Returns: how many went in. Throws: CacheClosed,
  /// and what the range throws; the rows before stay in. Complexity: linear.
  template <std::ranges::input_range Range>
  std::size_t preload(Range&& rows) {
    return detail::preload(core_, rows, std::nullopt);
  }

  /// Effect: as preload, of rows that were read since `reading` began, while others write: leaves
  /// out also what was written, erased or forgotten since then and is not in memory any more, and
  /// what find brought in and was evicted again. Once the Reading has overflowed, or after
  /// invalidate_all, it takes nothing more. Returns: how many went in. Throws: as preload;
  /// std::invalid_argument if `reading` is of another cache, or was moved from. Complexity: linear.
  template <std::ranges::input_range Range>
  std::size_t preload(Range&& rows, const Reading& reading) {
    return detail::preload(core_, rows, reading.begun_in(core_.shards().departures()));
  }

  /// Effect: the cache remembers, while the Reading lives, which keys are written, erased or
  /// forgotten, for a preload of rows that are read after this call; see Reading. Returns: it; it
  /// must not outlive the cache. Complexity: linear in the number of shards.
  Reading reading();

  /// @}
  /// @name Persistence
  /// flush, invalidate_all, prune and close throw ReentrantUse when an adapter call of this cache
  /// calls them.
  /// @{

  /// Effect: waits for the flush under way, if any; then one pass over everything that is dirty,
  /// without regard to any backoff, which ends if it goes through. Returns: the verdict on
  /// everything written before the call; an error of the store is in it, not thrown. After close()
  /// nothing is written any more, and the verdict says what is left. Blocks: for the store.
  /// Complexity: linear in what is dirty.
  FlushResult flush();

  /// Effect: as flush(), pass after pass, until everything written before the call is committed or
  /// parked, `timeout` is over, or the cache is closed. An adapter call that is under way then is
  /// waited for. Returns and blocks: as flush().
  FlushResult flush(std::chrono::milliseconds timeout);

  /// Effect: evicts clean items until no more than `capacity` items are left, and those that are
  /// unsaved. Returns: how many it evicted. Blocks: also for the prune under way, if any.
  /// Complexity: linear in the entries it looks at.
  std::size_t prune();

  /// Effect: forgets the copy of a saved item, so that the next read asks the store. Returns: true,
  /// also if there is no copy; false if something of the key is unsaved, and then nothing happens.
  bool invalidate(key_view key);

  /// Effect: flush(), then forgets everything that is clean. Returns: what flush() did. Blocks: for
  /// the store. Complexity: linear.
  FlushResult invalidate_all();

  /// Effect: gives up, on purpose, what is unsaved: dirty items count as saved from now on and stay
  /// readable, unsaved erases are forgotten. Parked entries are left alone. Returns: how many were
  /// given up. Complexity: linear in that.
  std::size_t discard_dirty();

  /// Returns: copies of what the store rejects, with the reason. Complexity: linear in what is
  /// parked or in flight.
  std::vector<UnsavedItem<Item>> parked() const;

  /// Returns: copies of what the store did not take although it was written alone, with the reason:
  /// what is tried again apart from the others, and what is parked. Complexity: linear in what is
  /// unsaved.
  std::vector<UnsavedItem<Item>> failing() const;

  /// Effect: parked entries are dirty again, and the next flush tries them. Those that KeyChanged
  /// parked stay: they would be saved under another key. Returns: how many are dirty again.
  /// Complexity: linear in what is parked or in flight.
  std::size_t retry_parked();

  /// Effect: forgets a parked item or erase, so that the next read asks the store. Returns: false
  /// if the key is not parked, or, after KeyChanged, while an older value of it is being saved.
  bool discard_parked(key_view key);

  /// Effect: close(config().close_timeout).
  CloseResult<Item> close() { return close(core_.config().close_timeout); }
  /// Effect: refuses writes from now on, flushes (if flush_on_close) until all is saved or the time
  /// is over, and ends both loops. Afterwards reads answer from memory alone. Returns: everything
  /// not known to be saved; later calls return the first result, and one whose time is over before
  /// that what is unsaved by then. Throws: std::bad_alloc, or what copying an item throws, if the
  /// unsaved cannot be listed; then it can be called again. Blocks: for `timeout` at most, and the
  /// time to connect if the adapter is connecting; with an adapter that is not Interruptible, for
  /// the one call under way. A thread that sits in the log is left to the destructor. Complexity:
  /// linear in what is unsaved, which is there twice for as long as the result lives.
  CloseResult<Item> close(std::chrono::milliseconds timeout) {
    core_.refuse_callbacks();
    return closing_.close(*this, timeout);
  }

  /// @}
  /// @name Observers
  /// Complexity: linear in the number of shards, but for config and reader_writer.
  /// @{

  /// Returns: how many items in memory readers can see.
  std::size_t size() const;
  /// Returns: how many writes and erases are unsaved, also those being saved now; parked ones are
  /// counted apart.
  std::size_t dirty_count() const;
  /// Returns: whether dirty_count() is not 0.
  bool is_dirty() const { return dirty_count() != 0; }
  /// Returns: how long ago the oldest dirty entry was first written, in nanoseconds; 0 if there is
  /// none. Accurate to one flush interval.
  std::chrono::nanoseconds oldest_dirty_age() const;
  /// Returns: a snapshot of counters and gauges.
  CacheStats stats() const;
  /// Returns: the settings, as given. Never throws.
  const CacheConfig& config() const noexcept { return core_.config(); }
  /// Returns: the adapter. The cache goes on using it: call only what may run beside begin_tx, find
  /// and the others. Never throws.
  ReaderWriter& reader_writer() noexcept { return core_.store().adapter(); }

  /// @}

 private:
  using Core = detail::CacheCore<Item, ReaderWriter>;
  using Flusher = detail::Flusher<Item, ReaderWriter>;
  friend class detail::Closing<LazyWriterCache>;
  friend struct detail::CacheInspector;

  bool store(Item& item, bool may_wait);
  void wake_pruner_if_full();
  enum class Unsaved { all, parked, failing };
  std::vector<UnsavedItem<Item>> list_unsaved(Unsaved wanted) const;

  Core core_;
  Flusher flusher_;
  detail::Pruner<Item> pruner_;
  detail::Closing<LazyWriterCache> closing_;
  // Last, in this order: the loops use everything above, so they start after it and are joined
  // before it goes; and the flush loop wakes the prune loop. It makes the last flush of close.
  detail::PeriodicWorker prune_loop_;
  detail::PeriodicWorker flush_loop_;
};

/// The item is the adapter's: `LazyWriterCache cache{store};`
template <class ReaderWriter>
LazyWriterCache(ReaderWriter) -> LazyWriterCache<typename ReaderWriter::item_type, ReaderWriter>;
/// The item is the adapter's: `LazyWriterCache cache{store, config};`
template <class ReaderWriter>
LazyWriterCache(ReaderWriter, CacheConfig)
    -> LazyWriterCache<typename ReaderWriter::item_type, ReaderWriter>;

}  // namespace lazywriter

#include "lazywriter/detail/cache/lazy_writer_cache_impl.hpp"
