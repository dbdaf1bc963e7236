// What makes the hashes of one cache unlike those of every other.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <random>

namespace lazywriter::detail {

/// Both halves of the full product, folded: every bit of either factor reaches every bit of the
/// result. For compilers without a type of 128 bits.
constexpr std::uint64_t fold_multiply_by_halves(std::uint64_t a, std::uint64_t b) noexcept {
  constexpr std::uint64_t half = 0xFFFFFFFFU;
  const std::uint64_t low = (a & half) * (b & half);
  const std::uint64_t cross = (a >> 32) * (b & half) + (low >> 32);
  const std::uint64_t other = (a & half) * (b >> 32) + (cross & half);
  const std::uint64_t high = (a >> 32) * (b >> 32) + (cross >> 32) + (other >> 32);
  return (other << 32 | (low & half)) ^ high;
}

/// The same, quicker where the processor does it at once.
constexpr std::uint64_t fold_multiply(std::uint64_t a, std::uint64_t b) noexcept {
#if defined(__SIZEOF_INT128__)
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
#else
  return detail::fold_multiply_by_halves(a, b);
#endif
}

/// Two words that enter every hash, one in each factor of its products: without knowing both,
/// nobody can choose keys whose hashes, or buckets, are the same. Nothing that depends on them
/// leaves the process.
struct HashSeed {
  std::uint64_t mask;
  /// Odd, and large.
  std::uint64_t factor;

  /// Known to everybody, for hashes that have no table of their own.
  static constexpr HashSeed known() noexcept {
    return {0xD1B54A32D192ED03ULL, 0xA43F6A8885A308D3ULL};
  }

  /// Of any two numbers, also such as would make weak words.
  static constexpr HashSeed of(std::uint64_t one, std::uint64_t other) noexcept {
    return {known().mix(one), known().mix(other) | 1U | std::uint64_t{1} << 63};
  }

  /// Returns: random words; where `Device` has none, what is hard to guess: the time and where the
  /// stack lies. A FixedHashSeed of this thread comes before both.
  template <class Device = std::random_device>
  static HashSeed fresh() noexcept;

  /// Returns: `hash`, which may be weak (std::hash of an integer is the integer) or chosen by
  /// somebody, spread over all bits.
  [[nodiscard]] constexpr std::uint64_t mix(std::uint64_t hash) const noexcept {
    return detail::fold_multiply(hash ^ mask, factor);
  }

  friend constexpr bool operator==(const HashSeed&, const HashSeed&) = default;
};

/// For tests that must run the same again: while it lives, every cache that its thread makes has
/// this seed.
class FixedHashSeed {
 public:
  explicit FixedHashSeed(std::uint64_t number) noexcept
      : seed_(HashSeed::of(number, ~number)), outer_(current_) {
    current_ = &seed_;
  }
  ~FixedHashSeed() { current_ = outer_; }
  FixedHashSeed(const FixedHashSeed&) = delete;
  FixedHashSeed& operator=(const FixedHashSeed&) = delete;

  /// Returns: the innermost one of this thread; nullptr if there is none.
  [[nodiscard]] static const HashSeed* current() noexcept { return current_; }

 private:
  static constinit inline thread_local const HashSeed* current_ = nullptr;

  HashSeed seed_;
  const HashSeed* outer_;
};

template <class Device>
HashSeed HashSeed::fresh() noexcept {
  if (const HashSeed* const fixed = FixedHashSeed::current(); fixed != nullptr) return *fixed;
  std::array<std::uint64_t, 2> words{};
  const auto wall = std::chrono::system_clock::now().time_since_epoch().count();
  const auto since_boot = std::chrono::steady_clock::now().time_since_epoch().count();
  words[0] = static_cast<std::uint64_t>(wall);
  words[1] = static_cast<std::uint64_t>(since_boot) ^
             reinterpret_cast<std::uintptr_t>(words.data());  // NOLINT
  try {
    Device device;
    for (std::uint64_t& word : words) {
      const auto high = static_cast<std::uint64_t>(device());
      word ^= high << 32 | static_cast<std::uint32_t>(device());
    }
  } catch (...) {  // NOLINT(bugprone-empty-catch)
    // A cache whose hashes can be guessed, with some luck, is better than none.
  }
  return of(words[0], words[1]);
}

}  // namespace lazywriter::detail
