// What leaves a table under the lock, kept until the lock is released.
#pragma once

#include <utility>
#include <vector>

namespace lazywriter::detail {

/// Takes in what leaves a table under the lock, to be destroyed after the lock is released.
template <class Removed>
class Graveyard {
 public:
  void operator()(Removed&& removed) noexcept {
    if (removed.empty()) return;
    try {
      buried_.push_back(std::move(removed));
    } catch (...) {  // NOLINT(bugprone-empty-catch)
      // No memory to keep it, so it is destroyed here and now.
    }
  }
  void clear() noexcept { buried_.clear(); }

 private:
  std::vector<Removed> buried_;
};

}  // namespace lazywriter::detail
