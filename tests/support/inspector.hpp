// Whether what a cache holds fits together: for tests, between two operations.
#pragma once

#include <utility>

#include "lazywriter/detail/base/mutex.hpp"

namespace lazywriter::detail {

struct CacheInspector {
  /// Returns: whether the invariants of every table hold. Takes one shard's lock at a time.
  template <class Cache>
  static bool fits(Cache& cache) {
    for (const auto& shard : cache.core_.shards()) {
      const MutexLock lock(shard->mutex);
      if (!std::as_const(shard->table).check_invariants()) return false;
    }
    return true;
  }
};

}  // namespace lazywriter::detail
