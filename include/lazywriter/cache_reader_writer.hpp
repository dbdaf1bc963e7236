// The store as the cache sees it: one required concept and six optional refinements.
#pragma once

#include <concepts>
#include <exception>
#include <optional>
#include <span>
#include <string_view>

#include "lazywriter/cache_item.hpp"

namespace lazywriter {

/// What a failed write means for what to do next.
enum class WriteFailure {
  /// The store could not do it now, perhaps because of one of the items. The batch is halved until
  /// what fails stands alone; that is tried again, apart from the others and at its own pace, for
  /// as long as it takes. It is never parked.
  transient,
  /// The store will not take an item as it is. The batch is halved until that item stands alone; it
  /// is parked after CacheConfig::park_after counted rejections.
  rejected,
  /// The store as a whole is away or cannot take anything. The pass ends, everything stays dirty,
  /// and after the backoff the next pass tries a single item first. If that is saved and a batch
  /// fails like this once more, it is halved as if it were transient: an item can break a store,
  /// too.
  unavailable,
  /// The answer to the commit was lost. As transient, but what was erased and then put again is not
  /// erased for a second time: the row that is there may be the new one.
  in_doubt,
};

namespace detail {

// The parts of CacheReaderWriter, apart so that a static_assert can name the one that is missing.
template <class RW>
concept HasTransactionType = requires {
  typename RW::transaction_type;
}
&&std::move_constructible<typename RW::transaction_type>;

template <class RW, class Item>
concept HasFind = requires(RW& rw, const key_type_t<Item>& key) {
  { rw.find(key) } -> std::convertible_to<std::optional<Item>>;
};

template <class RW>
concept HasBeginTx = requires(RW& rw) {
  { rw.begin_tx() } -> std::same_as<typename RW::transaction_type>;
};

template <class RW, class Item>
concept HasSave = requires(RW& rw, Item& item, typename RW::transaction_type& transaction) {
  rw.save(item, transaction);
};

template <class RW>
concept HasCommitTx = requires(RW& rw, typename RW::transaction_type& transaction) {
  rw.commit_tx(transaction);
};

template <class RW>
concept HasLog = requires(RW& rw, std::string_view message) {
  rw.info(message);
  rw.warn(message);
};

}  // namespace detail

/// A store the cache can read from and write to.
///
/// - `typename RW::transaction_type` is movable; destroying one that was not committed rolls it
///   back.
/// - `typename RW::item_type` is the item. Not required; with it `LazyWriterCache cache{store}`
///   finds out by itself what it holds.
/// - `rw.find(key)` returns the stored item with exactly that key, or nullopt when there is none.
///   It throws when it cannot know.
/// - `rw.begin_tx()` returns a new transaction.
/// - `rw.save(item, transaction)` inserts or updates, and may fill in what the store generated.
/// - `rw.commit_tx(transaction)` returns only once the writes are in the store.
/// - `rw.info(text)` and `rw.warn(text)` take what the cache has to tell.
///
/// All of these may block and throw: the cache calls them without holding a lock that readers or
/// writers need. What find throws reaches the caller that missed; after any other exception the
/// transaction is destroyed, and its writes are tried again.
///
/// Threads: the calls from begin_tx to commit_tx are never concurrent with each other, but may come
/// from different threads (the flush loop, a caller of flush or close). find, info, warn, classify
/// and interrupt may be concurrent with anything.
///
/// When the answer to a commit is lost, the next begin_tx must not succeed until the old
/// transaction can no longer take effect.
///
/// Example:
///
///     struct MyStore {
///       using item_type = Account;
///       struct transaction_type { std::map<std::string, Account> rows; };
///       std::optional<Account> find(const std::string& login);
///       transaction_type begin_tx();
///       void save(Account& account, transaction_type& transaction);
///       void commit_tx(transaction_type& transaction);
///       void info(std::string_view text);
///       void warn(std::string_view text);
///     };
///     static_assert(lazywriter::CacheReaderWriter<MyStore, Account>);
template <class RW, class Item>
concept CacheReaderWriter = std::movable<RW> && detail::HasTransactionType<RW> &&
    detail::HasFind<RW, Item> && detail::HasBeginTx<RW> && detail::HasSave<RW, Item> &&
    detail::HasCommitTx<RW> && detail::HasLog<RW>;

/// Optional: `rw.save_batch(items, transaction)` saves many items at once, in place of one save for
/// each. All of them are saved, with generated fields filled in, or it throws. Each item stays in
/// its place: an adapter that wants another order sorts pointers to them.
///
///     void save_batch(std::span<Account> accounts, transaction_type& transaction);
template <class RW, class Item>
concept BatchSaver = requires(RW& rw, std::span<Item> items,
                              typename RW::transaction_type& transaction) {
  rw.save_batch(items, transaction);
};

/// Optional: `rw.erase(key, transaction)` deletes the row of a key; that there is none is no error.
/// Makes LazyWriterCache::erase compile, and lets compute empty an item.
///
///     void erase(const std::string& login, transaction_type& transaction);
template <class RW, class Item>
concept Eraser = requires(RW& rw, const key_type_t<Item>& key,
                          typename RW::transaction_type& transaction) {
  rw.erase(key, transaction);
};

/// Optional: `rw.erase_batch(keys, transaction)` deletes many rows at once, in place of one erase
/// for each. It is enough for LazyWriterCache::erase.
///
///     void erase_batch(std::span<const std::string> logins, transaction_type& transaction);
template <class RW, class Item>
concept BatchEraser = requires(RW& rw, std::span<const key_type_t<Item>> keys,
                               typename RW::transaction_type& transaction) {
  rw.erase_batch(keys, transaction);
};

/// Optional: `rw.classify(error)` says what an exception means that a call from begin_tx to
/// commit_tx threw. Without it every failure is WriteFailure::transient.
///
///     lazywriter::WriteFailure classify(const std::exception& error);
template <class RW>
concept FailureClassifier = requires(RW& rw, const std::exception& error) {
  { rw.classify(error) } -> std::same_as<WriteFailure>;
};

/// Optional: `rw.interrupt()` is called from another thread, once and for good. The call from
/// begin_tx to commit_tx that is under way, and every later one, then throws soon; find is not
/// touched. With it close() keeps its timeout also while the store hangs.
///
///     void interrupt() noexcept;
template <class RW>
concept Interruptible = requires(RW& rw) {
  { rw.interrupt() }
  noexcept;
};

/// Optional: `store.name()` is the name of what is stored, a table's for example. A cache without a
/// CacheConfig::name has this one in every line of its log. Called once, by the constructor.
///
///     std::string_view name() const;
template <class RW>
concept NamedStore = requires(const RW& rw) {
  { rw.name() } -> std::convertible_to<std::string_view>;
};

}  // namespace lazywriter
