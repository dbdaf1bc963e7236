// What the log hears of the store: each change of its state once, never each retry.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lazywriter::detail {

/// Whether two errors are the same but for numbers in them (process ids, counts, positions).
inline bool same_error(std::string_view a, std::string_view b) noexcept {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      while (i < a.size() && digit(a[i]))
        ++i;
      while (j < b.size() && digit(b[j]))
        ++j;
    } else if (a[i++] != b[j++]) {
      return false;
    }
  }
  return i == a.size() && j == b.size();
}

/// Turns verdicts into log lines. Used by the holder of the flush token only. Calls the adapter's
/// log, so no lock of a shard may be held. Throws: std::bad_alloc.
template <class Store>
class StoreMonitor {
 public:
  StoreMonitor(Store& store, std::size_t max_dirty) : store_(store), max_dirty_(max_dirty) {}

  /// A pass failed for a reason that is not one item's.
  void failed(const std::string& error) {
    if (failing_ && detail::same_error(error, error_)) return;
    failing_ = true;
    error_ = error;
    store_.warn("the store does not take writes, they are kept and tried again: " + error);
  }

  /// A pass committed something, and nothing in it spoke against the store.
  void recovered() {
    if (!failing_) return;
    failing_ = false;
    error_.clear();
    store_.info("the store takes writes again");
  }

  /// An item failed alone, and the store is not to blame.
  void isolated(const std::string& key, const std::string& error) {
    store_.warn(key + " failed alone, it is kept and tried again apart from the others: " + error);
  }
  /// `count` further items did.
  void more_isolated(std::size_t count) {
    store_.warn(
        std::to_string(count) +
        " more failed alone, they are kept and tried again apart from the others; failing() "
        "lists them");
  }

  /// An item was parked.
  void parked(const std::string& key, const std::string& error) {
    store_.warn("parked " + key + ", the store rejects it: " + error);
  }

  /// `unsaved` entries hold a slot now.
  void backlog(std::size_t unsaved) {
    if (max_dirty_ == 0) return;
    if (!crowded_ && unsaved > max_dirty_ / 2) {
      crowded_ = true;
      store_.warn(std::to_string(unsaved) + " entries are unsaved, more than half of max_dirty (" +
                  std::to_string(max_dirty_) + ")");
    } else if (crowded_ && unsaved < max_dirty_ / 4) {
      crowded_ = false;
      store_.info("the backlog is below a quarter of max_dirty again");
    }
  }

 private:
  Store& store_;
  const std::size_t max_dirty_;
  bool failing_ = false;
  std::string error_;
  bool crowded_ = false;
};

}  // namespace lazywriter::detail
