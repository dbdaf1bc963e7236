// How long a transaction may wait for a lock that another session holds.
#pragma once

#include <algorithm>
#include <chrono>

namespace lazywriter::pg::detail {

/// After a wait in vain the next transactions wait a fiftieth as long, so that finding the row
/// that is locked, by halves, costs milliseconds, while all others are stored. Not thread-safe. No
/// member throws or blocks; all are of constant time.
class LockTimeout {
 public:
  using Clock = std::chrono::steady_clock;

  explicit LockTimeout(std::chrono::milliseconds usual)
      : usual_(usual), brief_(std::max(usual / 50, std::chrono::milliseconds{1})) {}

  /// Effect: a transaction has waited in vain; the next ten lock timeouts are brief times. `alone`:
  /// it held one row only, so that nothing was to be halved. What is alone does not prolong a brief
  /// time: it gets a whole wait now and then, without which a row that is always in use would never
  /// be stored.
  void waited_in_vain(Clock::time_point now, bool alone) {
    if (alone && is_brief(now)) return;
    brief_until_ = now + 10 * usual_;
  }

  /// Returns: whether a transaction that begins now waits for the brief time only.
  [[nodiscard]] bool is_brief(Clock::time_point now) const { return now < brief_until_; }

  /// Returns: that brief time, at least a millisecond: 0 would be no limit at all.
  [[nodiscard]] std::chrono::milliseconds brief() const { return brief_; }

 private:
  const std::chrono::milliseconds usual_;
  const std::chrono::milliseconds brief_;
  Clock::time_point brief_until_ = Clock::time_point::min();
};

}  // namespace lazywriter::pg::detail
