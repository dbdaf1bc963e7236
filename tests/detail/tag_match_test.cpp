// CTEST_THREADS: none
#include "lazywriter/detail/table/tag_match.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <random>

#include "support/seed.hpp"

namespace lazywriter::detail {
namespace {

TaggedWords& word_at(TaggedWords& words, std::size_t i, std::uint64_t tag, std::uint64_t rest) {
  words[i] = tag << 48 | rest;
  return words;
}

TEST(TagMatch, FindsATagInEachPlaceWhateverTheOtherBitsAre) {
  constexpr std::uint64_t all = 0xFFFF'FFFF'FFFF;
  for (const std::uint16_t tag : std::initializer_list<std::uint16_t>{1, 0x7FFF, 0x8000, 0xFFFF}) {
    for (std::size_t i = 0; i < 8; ++i) {
      for (const std::uint64_t rest : {std::uint64_t{0}, all}) {
        alignas(16) TaggedWords words{};
        word_at(words, i, tag, rest);
        EXPECT_EQ(match_tags(words, tag), 1U << i);
        EXPECT_EQ(match_tags_one_by_one(words, tag), 1U << i);
      }
    }
  }
}

TEST(TagMatch, BothWaysFindTheSame) {
  std::mt19937_64 random{testing::test_seed()};
  for (int round = 0; round < 100'000; ++round) {
    alignas(16) TaggedWords words{};
    for (std::size_t i = 0; i < 8; ++i)
      word_at(words, i, 0x8000U + random() % 4, random() >> 16);
    const auto tag = static_cast<std::uint16_t>(0x8000U + random() % 4);
    ASSERT_EQ(match_tags(words, tag), match_tags_one_by_one(words, tag));
  }
}

}  // namespace
}  // namespace lazywriter::detail
