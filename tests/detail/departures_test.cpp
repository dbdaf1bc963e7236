// CTEST_THREADS: none
#include "lazywriter/detail/table/departures.hpp"

#include <gtest/gtest.h>

#include <cstddef>

#include "lazywriter/detail/base/hash_seed.hpp"

namespace lazywriter::detail {
namespace {

std::size_t departed(std::size_t number) {
  return static_cast<std::size_t>(HashSeed::known().mix(number));
}

TEST(Departures, NothingIsRememberedForNobody) {
  Departures departures;
  departures.remember(departed(1));
  EXPECT_FALSE(departures.watched());
  EXPECT_EQ(departures.count(), 0U);
  departures.end(departures.begin());
  departures.remember(departed(2));
  EXPECT_EQ(departures.count(), 0U);
}

TEST(Departures, EachReadingKnowsWhatLeftSinceItBegan) {
  Departures departures;
  const auto first = departures.begin();
  departures.remember(departed(1));
  const auto second = departures.begin();
  departures.remember(departed(2));
  EXPECT_TRUE(departures.may_be_old(departed(1), first));
  EXPECT_TRUE(departures.may_be_old(departed(2), first));
  EXPECT_FALSE(departures.may_be_old(departed(3), first));
  EXPECT_FALSE(departures.may_be_old(departed(1), second));
  EXPECT_TRUE(departures.may_be_old(departed(2), second));

  departures.remember(departed(1));  // once more
  EXPECT_TRUE(departures.may_be_old(departed(1), second));
  EXPECT_TRUE(departures.may_be_old(departed(1), first));
  EXPECT_EQ(departures.count(), 2U);
  departures.end(first);
  EXPECT_TRUE(departures.may_be_old(departed(2), second));
  departures.end(second);
  EXPECT_EQ(departures.count(), 0U);
}

TEST(Departures, WhatNoReadingNeedsMakesRoom) {
  constexpr std::size_t most = 100'000;
  Departures departures(most);
  // There is always one that lives, as where several threads read in turns.
  auto living = departures.begin();
  std::size_t number = 0;
  for (int round = 0; round < 20; ++round) {
    for (std::size_t i = 0; i < most / 4; ++i)
      departures.remember(departed(++number));
    ASSERT_FALSE(departures.overflowed(living)) << "round " << round;
    const auto next = departures.begin();
    departures.end(living);
    living = next;
  }
  EXPECT_LE(departures.count(), most);
  departures.end(living);
  EXPECT_EQ(departures.count(), 0U);
}

TEST(Departures, MoreThanThereIsRoomForOverflow) {
  constexpr std::size_t most = 10;
  Departures departures(most);
  const auto first = departures.begin();
  for (std::size_t i = 0; i < most; ++i)
    departures.remember(departed(i));
  departures.remember(departed(0));  // which is known
  EXPECT_FALSE(departures.overflowed(first));
  EXPECT_EQ(departures.count(), most);
  departures.remember(departed(most));
  EXPECT_TRUE(departures.overflowed(first));
  EXPECT_TRUE(departures.useless(first));
  EXPECT_TRUE(departures.may_be_old(departed(most), first));
  EXPECT_TRUE(departures.may_be_old(departed(most + 1), first));
  EXPECT_FALSE(departures.watched());
  EXPECT_EQ(departures.count(), most);

  // The next one has all of the room.
  const auto second = departures.begin();
  for (std::size_t i = 0; i < most; ++i)
    departures.remember(departed(100 + i));
  EXPECT_FALSE(departures.overflowed(second));
  EXPECT_FALSE(departures.may_be_old(departed(0), second));
  EXPECT_TRUE(departures.may_be_old(departed(100), second));
  EXPECT_TRUE(departures.overflowed(first));
  departures.end(first);
  EXPECT_TRUE(departures.may_be_old(departed(100), second));
  departures.end(second);
  EXPECT_EQ(departures.count(), 0U);
}

TEST(Departures, AllThatIsForgottenIsForgottenForThoseWhoHadBegun) {
  Departures departures;
  const auto first = departures.begin();
  departures.remember(departed(1));
  const auto newest = departures.last_begun();
  const auto second = departures.begin();
  departures.remember_all(newest);
  EXPECT_TRUE(departures.may_be_old(departed(7), first));
  EXPECT_TRUE(departures.useless(first));
  EXPECT_FALSE(departures.overflowed(first));
  EXPECT_FALSE(departures.useless(second));
  EXPECT_FALSE(departures.may_be_old(departed(7), second));
  EXPECT_TRUE(departures.watched());
  departures.remember_all(departures.last_begun());
  EXPECT_FALSE(departures.watched());
  departures.end(second);
  departures.end(first);
}

}  // namespace
}  // namespace lazywriter::detail
