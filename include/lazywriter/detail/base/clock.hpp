// The clock of everything that waits or ages, and points on the write clock.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace lazywriter::detail {

using Clock = std::chrono::steady_clock;

/// Returns: now + timeout, or ten years from now, or ago, for a timeout beyond that (the clock must
/// not overflow).
inline Clock::time_point deadline_after(std::chrono::milliseconds timeout) noexcept {
  constexpr std::chrono::milliseconds longest = std::chrono::hours{24 * 365 * 10};
  return Clock::now() + std::clamp(timeout, -longest, longest);
}

/// A point on the write clock (StampClock): strictly growing, in nanoseconds. 0 = none.
using Stamp = std::int64_t;
inline constexpr Stamp no_stamp = 0;

}  // namespace lazywriter::detail
