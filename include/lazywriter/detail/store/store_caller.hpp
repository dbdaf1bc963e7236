// The adapter as the loops see it: every call marked, every exception caught and judged.
#pragma once

#include <cstddef>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "lazywriter/cache_reader_writer.hpp"
#include "lazywriter/detail/base/call_scope.hpp"

namespace lazywriter::detail {

/// How a transaction ended.
enum class Outcome {
  committed,
  /// The store refuses something in it.
  rejected,
  /// It failed for now, perhaps because of something in it.
  transient,
  /// It failed, and the store as a whole is the cause.
  unavailable,
  /// The answer to the commit was lost: nobody can tell whether it took effect.
  in_doubt,
  /// It could not even begin: nothing can be written at the moment.
  not_begun,
  /// It was given up before the commit because time was up; says nothing of the store.
  stopped,
};

/// What a transaction is about to call.
enum class Before { write, commit };

/// A verdict with the text of the error that led to it.
struct Verdict {
  Outcome outcome = Outcome::committed;
  std::string error;
};

/// Returns: the text without the line ends that PostgreSQL's messages end with.
inline std::string_view without_line_end(std::string_view text) noexcept {
  while (text.ends_with('\n'))
    text.remove_suffix(1);
  return text;
}

/// Returns: what the exception being handled says; never throws (a text that cannot be copied is
/// dropped).
inline std::string current_error_text() noexcept {
  try {
    try {
      throw;
    } catch (const std::exception& error) {
      return std::string(detail::without_line_end(error.what()));
    } catch (...) {
      return "an exception that is not a std::exception";
    }
  } catch (...) {
    return {};
  }
}

/// Calls the adapter. No lock of the cache may be held by the caller. Blocks as long as the adapter
/// does.
template <class Item, class ReaderWriter>
class StoreCaller {
 public:
  using Key = key_type_t<Item>;
  static constexpr bool can_erase = Eraser<ReaderWriter, Item> || BatchEraser<ReaderWriter, Item>;

  /// `cache`: in whose name the calls are marked (CallScope). `name`: of the cache, for the log.
  StoreCaller(const void* cache, ReaderWriter&& store, const std::string& name)
      : cache_(cache), store_(std::move(store)), log_prefix_(prefix(name, store_)) {}

  [[nodiscard]] ReaderWriter& adapter() noexcept { return store_; }

  /// Throws: what the adapter's find throws.
  std::optional<Item> find(const Key& key) {
    const AdapterScope scope(cache_);
    return store_.find(key);
  }

  /// Effect: one transaction: `erases`, then `saves`, then commit. Never throws. An item that was
  /// saved carries what the store generated. `stop(Before)` is asked before every further call of
  /// the adapter: true gives the transaction up.
  template <class Stop>
  Verdict write(std::span<const Key> erases, std::span<Item> saves, Stop&& stop) noexcept {
    const AdapterScope scope(cache_);
    std::optional<typename ReaderWriter::transaction_type> transaction;
    Verdict verdict;
    try {
      transaction.emplace(store_.begin_tx());
    } catch (...) {
      return {Outcome::not_begun, detail::current_error_text()};
    }
    try {
      if (erase_all(erases, *transaction, stop) && save_all(saves, *transaction, stop) &&
          !stop(Before::commit)) {
        store_.commit_tx(*transaction);
      } else {
        verdict = {Outcome::stopped, "the time was up before the transaction was complete"};
      }
    } catch (...) {
      verdict = judge();
    }
    // A rollback that throws changes nothing: the verdict stands already.
    try {
      transaction.reset();
    } catch (...) {  // NOLINT(bugprone-empty-catch)
    }
    return verdict;
  }

  /// Effect: tells the adapter's log, in a line that begins with the name of the cache. Never
  /// throws.
  void info(std::string_view text) noexcept {
    const AdapterScope scope(cache_);
    try {
      store_.info(log_prefix_ + std::string(text));
    } catch (...) {  // NOLINT(bugprone-empty-catch): a log that fails must not stop the writing
    }
  }
  void warn(std::string_view text) noexcept {
    const AdapterScope scope(cache_);
    try {
      store_.warn(log_prefix_ + std::string(text));
    } catch (...) {  // NOLINT(bugprone-empty-catch)
    }
  }

  /// Effect: from now on every call of the adapter but find ends soon, if it is able to.
  void interrupt() noexcept {
    if constexpr (Interruptible<ReaderWriter>) {
      const AdapterScope scope(cache_);
      store_.interrupt();
    }
  }

 private:
  /// Returns: false if it was stopped.
  template <class Stop>
  bool erase_all(std::span<const Key> keys, typename ReaderWriter::transaction_type& transaction,
                 Stop& stop) {
    if (keys.empty()) return true;
    if constexpr (BatchEraser<ReaderWriter, Item>) {
      if (stop(Before::write)) return false;
      store_.erase_batch(keys, transaction);
    } else if constexpr (Eraser<ReaderWriter, Item>) {
      for (const Key& key : keys) {
        if (stop(Before::write)) return false;
        store_.erase(key, transaction);
      }
    }
    return true;
  }

  template <class Stop>
  bool save_all(std::span<Item> items, typename ReaderWriter::transaction_type& transaction,
                Stop& stop) {
    if (items.empty()) return true;
    if constexpr (BatchSaver<ReaderWriter, Item>) {
      if (stop(Before::write)) return false;
      store_.save_batch(items, transaction);
    } else {
      for (Item& item : items) {
        if (stop(Before::write)) return false;
        store_.save(item, transaction);
      }
    }
    return true;
  }

  static Outcome outcome_of(WriteFailure failure) noexcept {
    switch (failure) {
      case WriteFailure::rejected:
        return Outcome::rejected;
      case WriteFailure::unavailable:
        return Outcome::unavailable;
      case WriteFailure::in_doubt:
        return Outcome::in_doubt;
      case WriteFailure::transient:
        break;
    }
    return Outcome::transient;
  }

  /// The exception being handled, by what to do about it.
  Verdict judge() noexcept {
    Verdict verdict{Outcome::transient, detail::current_error_text()};
    if constexpr (FailureClassifier<ReaderWriter>) {
      try {
        throw;
      } catch (const std::exception& error) {
        try {
          verdict.outcome = outcome_of(store_.classify(error));
        } catch (...) {  // NOLINT(bugprone-empty-catch)
          // Unclassified is transient, which loses nothing.
        }
      } catch (...) {  // NOLINT(bugprone-empty-catch)
      }
    }
    return verdict;
  }

  /// What a line of the log begins with: the name of the cache, else the adapter's, else the
  /// library's.
  static std::string prefix(const std::string& name, const ReaderWriter& store) {
    if (!name.empty()) return name + ": ";
    if constexpr (NamedStore<ReaderWriter>) {
      if (const std::string_view named = store.name(); !named.empty()) {
        return std::string(named) + ": ";
      }
    }
    return "lazywriter: ";
  }

  const void* cache_;
  ReaderWriter store_;
  const std::string log_prefix_;
};

}  // namespace lazywriter::detail
