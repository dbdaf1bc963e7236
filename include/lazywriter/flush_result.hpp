// What flush, close and parked report.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lazywriter/cache_item.hpp"

namespace lazywriter {

/// The verdict of a flush.
struct FlushResult {
  /// Items that this call committed.
  std::size_t written = 0;
  /// Erases that this call committed.
  std::size_t erased = 0;
  /// Keys written before the call of which no version at least that new is committed yet. They are
  /// dirty and will be tried again.
  std::size_t pending = 0;
  /// All parked keys: the store rejects them, and they wait for retry_parked, discard_parked or a
  /// new write.
  std::size_t parked = 0;
  /// The last error of the store during the call; empty when there was none.
  std::string error;

  /// Returns: whether everything that was written before the call is in the store. Never throws or
  /// blocks; constant time.
  [[nodiscard]] bool ok() const noexcept { return pending == 0 && parked == 0; }
};

/// A write that is not known to be in the store.
template <CacheItem Item>
struct UnsavedItem {
  /// The key that was written or erased.
  key_type_t<Item> key;
  /// The value to be saved; nullopt: the key was erased.
  std::optional<Item> item;
  /// Why the store did not take it the last time; from close(), of an item that was not tried, the
  /// store's last error; empty when there was none.
  std::string error;
  /// Counted rejections of this version.
  unsigned attempts = 0;
};

/// What close() leaves behind.
template <CacheItem Item>
struct CloseResult {
  /// The verdict of the last flush.
  FlushResult flush;
  /// Everything not known to be in the store: dirty and parked items, and erases.
  std::vector<UnsavedItem<Item>> unsaved;
};

}  // namespace lazywriter
