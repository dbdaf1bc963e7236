// How long to wait before trying again.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

namespace lazywriter::detail {

/// Exponential, capped and jittered, so that many caches that lost one store do not come back as
/// one.
class Backoff {
 public:
  Backoff(std::chrono::milliseconds least, std::chrono::milliseconds most) noexcept
      : least_(least), most_(most), random_(seed()) {}

  /// Returns: the wait after the `failures`-th failure in a row (1 = the first): least doubled for
  /// each further one, at most `most`, of which a random half to whole is taken. Never less than a
  /// millisecond, whatever least and most are: a loop that fails must not spin. 0 failures: no
  /// wait.
  std::chrono::nanoseconds after(unsigned failures) noexcept {
    if (failures == 0) return {};
    constexpr unsigned no_more_doublings = 30;
    constexpr std::int64_t no_less = 1'000'000;
    const std::int64_t most = std::max(std::chrono::nanoseconds{most_}.count(), no_less);
    std::int64_t wait = std::max(std::chrono::nanoseconds{least_}.count(), no_less);
    for (unsigned i = 1; i < std::min(failures, no_more_doublings) && wait < most; ++i)
      wait *= 2;
    wait = std::min(wait, most);
    return std::chrono::nanoseconds{
        std::uniform_int_distribution<std::int64_t>{std::max(wait / 2, no_less), wait}(random_)};
  }

  /// As it was given.
  [[nodiscard]] std::chrono::milliseconds most() const noexcept { return most_; }

 private:
  /// Different for caches that start at once on many machines, without std::random_device, which
  /// can throw.
  static std::minstd_rand::result_type seed() noexcept {
    const auto now = std::chrono::system_clock::now().time_since_epoch().count();
    return static_cast<std::minstd_rand::result_type>(now ^ (now >> 32));
  }

  std::chrono::milliseconds least_;
  std::chrono::milliseconds most_;
  std::minstd_rand random_;
};

}  // namespace lazywriter::detail
