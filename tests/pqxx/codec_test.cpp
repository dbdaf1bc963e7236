// CTEST_THREADS: none
#include <gtest/gtest.h>

#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <lazywriter/pqxx/codec.hpp>
#include <lazywriter/pqxx/time_codec.hpp>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "support/seed.hpp"

namespace {

namespace pg = lazywriter::pg;
using lazywriter::testing::test_seed;
using namespace std::chrono;

template <class T>
std::string text_of(const T& value) {
  std::string text;
  pg::codec<T>::encode(value, text);
  return text;
}

template <class T>
T round_trip(const T& value) {
  return pg::codec<T>::decode(text_of(value));
}

template <class T>
void expect_limits_survive() {
  for (const T value : {std::numeric_limits<T>::min(), std::numeric_limits<T>::max(), T{0}, T{1}}) {
    EXPECT_EQ(round_trip(value), value);
  }
}

template <class T>
bool has_codec() {
  return pg::HasCodec<T>;
}

TEST(Codec, IntegersOfAllWidthsSurvive) {
  expect_limits_survive<signed char>();
  expect_limits_survive<unsigned char>();
  expect_limits_survive<short>();
  expect_limits_survive<unsigned short>();
  expect_limits_survive<int>();
  expect_limits_survive<unsigned>();
  expect_limits_survive<long>();
  expect_limits_survive<unsigned long>();
  expect_limits_survive<long long>();
  expect_limits_survive<unsigned long long>();
}

TEST(Codec, SqlTypesHoldEveryValue) {
  EXPECT_EQ(pg::codec<std::uint8_t>::sql_type, "smallint");
  EXPECT_EQ(pg::codec<std::int16_t>::sql_type, "smallint");
  EXPECT_EQ(pg::codec<std::uint16_t>::sql_type, "integer");
  EXPECT_EQ(pg::codec<std::int32_t>::sql_type, "integer");
  EXPECT_EQ(pg::codec<std::uint32_t>::sql_type, "bigint");
  EXPECT_EQ(pg::codec<std::int64_t>::sql_type, "bigint");
  EXPECT_EQ(pg::codec<std::uint64_t>::sql_type, "numeric");
  EXPECT_EQ(pg::codec<std::optional<float>>::sql_type, "real");
}

TEST(Codec, CharactersArePlainlyNotNumbers) {
  EXPECT_FALSE(has_codec<char>());
  EXPECT_FALSE(has_codec<wchar_t>());
  EXPECT_FALSE(has_codec<char8_t>());
}

TEST(Codec, NumbersThatDoNotFitAreRefused) {
  EXPECT_THROW(pg::codec<std::int8_t>::decode("128"), std::out_of_range);
  EXPECT_THROW(pg::codec<std::uint16_t>::decode("-1"), std::invalid_argument);
  EXPECT_THROW(pg::codec<int>::decode("12x"), std::invalid_argument);
  EXPECT_THROW(pg::codec<int>::decode(""), std::invalid_argument);
  EXPECT_THROW(pg::codec<double>::decode("1e999"), std::out_of_range);
}

TEST(Codec, SpecialFloatsSurvive) {
  for (const double value :
       {0.0, -0.0, 0.1, 1e-310, std::numeric_limits<double>::denorm_min(),
        std::numeric_limits<double>::max(), std::numeric_limits<double>::infinity(),
        -std::numeric_limits<double>::infinity()}) {
    EXPECT_EQ(std::bit_cast<std::uint64_t>(round_trip(value)), std::bit_cast<std::uint64_t>(value));
  }
  EXPECT_TRUE(std::isnan(round_trip(std::numeric_limits<double>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(round_trip(std::numeric_limits<float>::quiet_NaN())));
}

TEST(Codec, RandomFloatsSurviveBitForBit) {
  std::mt19937_64 random{test_seed()};
  for (int round = 0; round < 100'000; ++round) {
    const auto bits = random();
    const auto wide = std::bit_cast<double>(bits);
    if (!std::isnan(wide)) {
      ASSERT_EQ(std::bit_cast<std::uint64_t>(round_trip(wide)), bits) << wide;
    }
    const auto narrow = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (!std::isnan(narrow)) {
      ASSERT_EQ(round_trip(narrow), narrow);
    }
  }
}

TEST(Codec, BytesSurvive) {
  std::vector<std::byte> bytes;
  for (int value = 0; value < 256; ++value)
    bytes.push_back(static_cast<std::byte>(value));
  EXPECT_EQ(round_trip(bytes), bytes);
  EXPECT_EQ(text_of(std::vector<std::byte>{}), "\\x");
  EXPECT_EQ(round_trip(std::vector<std::byte>{}), std::vector<std::byte>{});
  EXPECT_THROW(pg::codec<std::vector<std::byte>>::decode("\\x0"), std::invalid_argument);
  EXPECT_THROW(pg::codec<std::vector<std::byte>>::decode("abcd"), std::invalid_argument);
  EXPECT_THROW(pg::codec<std::vector<std::byte>>::decode("\\xzz"), std::invalid_argument);
}

TEST(Codec, BooleansAndOptionals) {
  EXPECT_EQ(text_of(true), "t");
  EXPECT_TRUE(round_trip(true));
  EXPECT_FALSE(round_trip(false));
  EXPECT_THROW(pg::codec<bool>::decode("yes"), std::invalid_argument);
  EXPECT_TRUE(pg::codec<std::optional<int>>::is_null(std::nullopt));
  EXPECT_EQ(round_trip(std::optional<int>{7}), 7);
}

using Micros = sys_time<microseconds>;

TEST(TimeCodec, WritesIso) {
  EXPECT_EQ(text_of(Micros{}), "1970-01-01 00:00:00.000000+00");
  EXPECT_EQ(text_of(Micros{microseconds{-1}}), "1969-12-31 23:59:59.999999+00");
  EXPECT_EQ(text_of(Micros{sys_days{2024y / February / 29}} + 23h + 59min + 58s + 7us),
            "2024-02-29 23:59:58.000007+00");
  EXPECT_EQ(text_of(Micros{sys_days{year{0} / March / 1}}), "0001-03-01 00:00:00.000000+00 BC");
}

TEST(TimeCodec, ReadsWhatPostgresSends) {
  const Micros expected = Micros{sys_days{2024y / May / 6}} + 7h + 8min + 9s;
  EXPECT_EQ(pg::codec<Micros>::decode("2024-05-06 07:08:09+00"), expected);
  EXPECT_EQ(pg::codec<Micros>::decode("2024-05-06 07:08:09"), expected);
  EXPECT_EQ(pg::codec<Micros>::decode("2024-05-06 07:08:09.5"), expected + 500ms);
  EXPECT_EQ(pg::codec<Micros>::decode("2024-05-06 09:08:09+02"), expected);
  EXPECT_EQ(pg::codec<Micros>::decode("2024-05-06 01:38:09-05:30"), expected);
  EXPECT_EQ(pg::codec<Micros>::decode("2024-05-06"), Micros{sys_days{2024y / May / 6}});
  EXPECT_EQ(pg::codec<Micros>::decode("0001-03-01 BC"), Micros{sys_days{year{0} / March / 1}});
  for (const char* const bad : {"", "2024", "2024-05-06 07:08", "2024-13-01", "2024-02-30",
                                "2024-05-06 07:08:09 AD", "2024-05-06T07:08:09", "06/05/2024"}) {
    EXPECT_THROW(pg::codec<Micros>::decode(bad), std::invalid_argument) << bad;
  }
}

TEST(TimeCodec, InfinityIsTheLastAndTheFirstTime) {
  EXPECT_EQ(text_of(Micros::max()), "infinity");
  EXPECT_EQ(text_of(Micros::min()), "-infinity");
  EXPECT_EQ(round_trip(Micros::max()), Micros::max());
  EXPECT_EQ(round_trip(Micros::min()), Micros::min());
}

TEST(TimeCodec, TheFirstAndTheLastMicrosecondsHaveAText) {
  constexpr std::chrono::microseconds one{1};
  EXPECT_EQ(text_of(Micros::min() + one), "290309-12-21 19:59:05.224193+00 BC");
  EXPECT_EQ(text_of(Micros::max() - one), "294247-01-10 04:00:54.775806+00");
}

TEST(TimeCodec, RandomTimesSurvive) {
  std::mt19937_64 random{test_seed()};
  std::uniform_int_distribution<std::int64_t> any{-200'000'000'000'000'000,
                                                  9'000'000'000'000'000'000};
  for (int round = 0; round < 100'000; ++round) {
    const Micros time{microseconds{any(random)}};
    ASSERT_EQ(round_trip(time), time);
  }
}

TEST(TimeCodec, SystemClockIsTruncatedTowardsThePast) {
  using Nanos = sys_time<nanoseconds>;
  EXPECT_EQ(round_trip(Nanos{nanoseconds{1'999}}), Nanos{nanoseconds{1'000}});
  EXPECT_EQ(round_trip(Nanos{nanoseconds{-1}}), Nanos{nanoseconds{-1'000}});
  EXPECT_THROW(pg::codec<Nanos>::decode("2263-01-01 00:00:00+00"), std::out_of_range);
  EXPECT_EQ(round_trip(Nanos::max() - 1us), Nanos{floor<microseconds>(Nanos::max() - 1us)});
}

TEST(TimeCodec, CoarseTimesBeyondPostgresAreRefused) {
  using Seconds = sys_time<seconds>;
  EXPECT_EQ(round_trip(Seconds{seconds{1}}), Seconds{seconds{1}});
  EXPECT_THROW(text_of(Seconds::max() - 1s), std::out_of_range);
  EXPECT_THROW(text_of(Seconds::min() + 1s), std::out_of_range);
  using Days = sys_time<duration<std::int32_t, days::period>>;
  EXPECT_EQ(round_trip(Days{Days::duration{19'000}}), Days{Days::duration{19'000}});
  EXPECT_EQ(pg::codec<Days>::decode("1969-12-31 23:00:00+00"), Days{Days::duration{-1}});
}

}  // namespace
