// CTEST_THREADS: none
#include "lazywriter/detail/base/hash_bytes.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <string_view>

namespace lazywriter::detail {
namespace {

std::size_t hash_bytes(std::string_view text) {
  return detail::hash_bytes(text, HashSeed::known());
}

TEST(HashBytesTest, DependsOnEveryByteAndOnTheLength) {
  for (std::size_t length = 0; length <= 70; ++length) {
    const std::string zeros(length, '\0');
    std::set<std::size_t> seen{hash_bytes(zeros), hash_bytes(zeros + '\0')};
    for (std::size_t i = 0; i < length; ++i) {
      std::string changed = zeros;
      changed[i] = '\1';
      seen.insert(hash_bytes(changed));
    }
    EXPECT_EQ(seen.size(), length + 2) << "length " << length;
  }
}

TEST(HashBytesTest, ReadsNothingBeyondTheText) {
  // Under AddressSanitizer: blocks of exactly the length.
  for (std::size_t length = 1; length <= 40; ++length) {
    const auto block = std::make_unique<char[]>(length);
    EXPECT_EQ(hash_bytes({block.get(), length}), hash_bytes(std::string(length, '\0')));
  }
}

TEST(HashBytesTest, SpreadsNumberedKeysEvenly) {
  constexpr std::size_t keys = 100'000;
  std::array<std::size_t, 256> low{};
  std::array<std::size_t, 256> high{};
  for (std::size_t i = 0; i < keys; ++i) {
    const std::size_t hash = hash_bytes("key-" + std::to_string(i));
    ++low[hash & 255];
    ++high[hash >> 56];
  }
  for (const auto& counts : {low, high}) {
    double chi_squared = 0;
    for (const std::size_t count : counts) {
      const double off = static_cast<double>(count) - keys / 256.0;
      chi_squared += off * off / (keys / 256.0);
    }
    EXPECT_LT(chi_squared, 350) << "255 degrees of freedom: one in 20,000 even spreads exceeds it";
  }
}

TEST(HashBytesTest, DependsOnTheSeed) {
  const auto one = HashSeed::of(1, 2);
  const std::array others{HashSeed::of(2, 2), HashSeed::of(1, 4)};
  for (std::size_t length = 0; length <= 40; ++length) {
    const std::string text(length, 'a');
    for (const HashSeed& other : others)
      EXPECT_NE(detail::hash_bytes(text, one), detail::hash_bytes(text, other)) << length;
  }
}

TEST(HashBytesTest, NoPieceOfATextCancelsTheOthersWhateverTheSeed) {
  // Each piece of eight bytes once as the number that a look into the source shows.
  const HashSeed known = HashSeed::known();
  for (const std::uint64_t number :
       {known.mask, known.factor, std::uint64_t{0}, ~std::uint64_t{0}}) {
    std::string piece(sizeof number, '\0');
    std::memcpy(piece.data(), &number, sizeof number);
    for (std::size_t at = 0; at < 4; ++at) {
      std::set<std::size_t> seen;
      for (int i = 0; i < 100; ++i) {
        std::string text(32, static_cast<char>(i));
        text.replace(at * sizeof number, sizeof number, piece);
        seen.insert(detail::hash_bytes(text, HashSeed::of(number * 3, number * 5)));
        seen.insert(detail::hash_bytes(text.substr(0, 31), HashSeed::of(number * 3, number * 5)));
      }
      EXPECT_EQ(seen.size(), 200U) << number << " at " << at;
    }
  }
}

TEST(SameBytesTest, ComparesEveryByteAndTheLength) {
  for (std::size_t length = 0; length <= 40; ++length) {
    const std::string text(length, 'a');
    EXPECT_TRUE(same_bytes(text, std::string(text))) << "length " << length;
    EXPECT_FALSE(same_bytes(text, text + 'a')) << "length " << length;
    for (std::size_t i = 0; i < length; ++i) {
      std::string changed = text;
      changed[i] = 'b';
      EXPECT_FALSE(same_bytes(text, changed)) << "length " << length << ", at " << i;
    }
  }
}

}  // namespace
}  // namespace lazywriter::detail
