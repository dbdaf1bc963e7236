// Latencies by the million in a few kilobytes, and their percentiles.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace bench {

/// A histogram with 64 steps per doubling: values are known to 1.6 %. Nanoseconds up to minutes.
class Percentiles {
 public:
  void add(std::uint64_t value) noexcept {
    ++counts_[index_of(value)];
    ++count_;
    worst_ = std::max(worst_, value);
  }
  void add(const Percentiles& other) noexcept {
    for (std::size_t i = 0; i < counts_.size(); ++i)
      counts_[i] += other.counts_[i];
    count_ += other.count_;
    worst_ = std::max(worst_, other.worst_);
  }

  /// Returns: the value that a share of `share` (0 to 1) does not exceed.
  [[nodiscard]] double at(double share) const noexcept {
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(count_));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > wanted) return static_cast<double>(std::min(upper_end(i), worst_));
    }
    return static_cast<double>(worst_);
  }
  [[nodiscard]] double worst() const noexcept { return static_cast<double>(worst_); }
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

 private:
  static constexpr unsigned step_bits = 6;
  static constexpr std::uint64_t steps = 1U << step_bits;

  static std::size_t index_of(std::uint64_t value) noexcept {
    if (value < steps) return static_cast<std::size_t>(value);
    const auto octave = static_cast<unsigned>(std::bit_width(value)) - step_bits - 1;
    return static_cast<std::size_t>((octave + 1) * steps + (value >> octave) - steps);
  }
  static std::uint64_t upper_end(std::size_t index) noexcept {
    if (index < steps) return index;
    const std::uint64_t octave = index / steps - 1;
    return ((index % steps + steps + 1) << octave) - 1;
  }

  std::array<std::uint64_t, steps * 40> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t worst_ = 0;
};

}  // namespace bench
