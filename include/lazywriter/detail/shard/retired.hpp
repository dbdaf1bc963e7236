// What leaves a table under the lock, kept until the lock is released.
#pragma once

#include <utility>
#include <vector>

namespace lazywriter::detail {

/// Takes in what leaves a table under the lock, to be destroyed after the lock is released.
template <class Removed>
class RetireList {
 public:
  void operator()(Removed&& removed) noexcept {
    if (removed.empty()) return;
    try {
      retired_.push_back(std::move(removed));
    } catch (...) {  // NOLINT(bugprone-empty-catch)
      // No memory to keep it, so it is destroyed here and now.
    }
  }
  void clear() noexcept { retired_.clear(); }

 private:
  std::vector<Removed> retired_;
};

}  // namespace lazywriter::detail
