// One seed per run, printed, and replayed with LAZYWRITER_SEED.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>

namespace lazywriter::testing {

/// Returns: LAZYWRITER_SEED, or a fresh one; prints it.
inline std::uint64_t test_seed() {
  const char* const given = std::getenv("LAZYWRITER_SEED");
  const std::uint64_t seed =
      given != nullptr ? std::stoull(given)
                       : (std::uint64_t{std::random_device{}()} << 32U) | std::random_device{}();
  std::cout << "LAZYWRITER_SEED=" << seed << std::endl;
  return seed;
}

/// A small generator with the questions a test asks.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}

  /// Returns: a number from 0 to below `bound`.
  std::size_t below(std::size_t bound) {
    return std::uniform_int_distribution<std::size_t>{0, bound - 1}(random_);
  }
  bool chance(double probability) { return std::bernoulli_distribution{probability}(random_); }
  std::uint64_t seed() { return random_(); }

 private:
  std::mt19937_64 random_;
};

}  // namespace lazywriter::testing
