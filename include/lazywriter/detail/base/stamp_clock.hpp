// The write clock: orders writes against flushes, and tells how old an unsaved write is.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>

#include "lazywriter/detail/base/clock.hpp"

namespace lazywriter::detail {

/// A clock that stands still between ticks, so that a write reads it for the price of a load. It
/// ticks at every flush: writes before the call have an older stamp than writes after it. Stamps
/// are times of the steady clock, pushed ahead where needed so that each tick is new.
class StampClock {
 public:
  /// Returns: the current stamp; never no_stamp.
  [[nodiscard]] Stamp now() const noexcept { return now_.load(std::memory_order_relaxed); }

  /// Effect: ticks. Returns: the stamp before: whatever was written by then has that one or an
  /// older one.
  Stamp tick() noexcept {
    Stamp before = now_.load();
    while (!now_.compare_exchange_weak(before, std::max(before + 1, time()))) {
    }
    return before;
  }

  /// Returns: how long ago `stamp` was.
  [[nodiscard]] static std::chrono::nanoseconds age(Stamp stamp) noexcept {
    return std::chrono::nanoseconds{std::max<Stamp>(time() - stamp, 0)};
  }

 private:
  static Stamp time() noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
        .count();
  }

  std::atomic<Stamp> now_{std::max<Stamp>(time(), 1)};
};

}  // namespace lazywriter::detail
