// The text form of points in time: timestamps in UTC with microseconds.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <limits>
#include <ratio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "lazywriter/pqxx/codec.hpp"

namespace lazywriter::pg {

namespace detail {

inline constexpr std::int64_t microseconds_per_second = 1'000'000;
inline constexpr std::int64_t microseconds_per_day = 86'400 * microseconds_per_second;
// The Gregorian calendar repeats after this; std::chrono::year alone ends at 32767, PostgreSQL at
// 294276.
inline constexpr std::int64_t days_per_cycle = 146'097;
inline constexpr std::int64_t years_per_cycle = 400;

constexpr std::int64_t floor_divide(std::int64_t dividend, std::int64_t divisor) {
  const std::int64_t quotient = dividend / divisor;
  return dividend % divisor < 0 ? quotient - 1 : quotient;
}

/// `number` with leading zeros up to `width` digits; not negative.
inline void append_padded(std::int64_t number, std::size_t width, std::string& out) {
  const std::string digits = std::to_string(number);
  if (digits.size() < width) out.append(width - digits.size(), '0');
  out.append(digits);
}

/// Appends "2024-02-29 23:59:59.123456+00", with " BC" for years before 1.
inline void append_timestamp(std::int64_t microseconds_since_1970, std::string& out) {
  const std::int64_t day = detail::floor_divide(microseconds_since_1970, microseconds_per_day);
  std::int64_t rest = microseconds_since_1970 % microseconds_per_day;
  if (rest < 0) rest += microseconds_per_day;  // the day's beginning may lie before all 64 bits
  const std::int64_t cycle = detail::floor_divide(day, days_per_cycle);
  const std::chrono::year_month_day date{
      std::chrono::sys_days{std::chrono::days{static_cast<int>(day - cycle * days_per_cycle)}}};
  const std::int64_t year = int{date.year()} + cycle * years_per_cycle;

  detail::append_padded(year > 0 ? year : 1 - year, 4, out);
  out.push_back('-');
  detail::append_padded(unsigned{date.month()}, 2, out);
  out.push_back('-');
  detail::append_padded(unsigned{date.day()}, 2, out);
  out.push_back(' ');
  detail::append_padded(rest / (3600 * microseconds_per_second), 2, out);
  rest %= 3600 * microseconds_per_second;
  out.push_back(':');
  detail::append_padded(rest / (60 * microseconds_per_second), 2, out);
  rest %= 60 * microseconds_per_second;
  out.push_back(':');
  detail::append_padded(rest / microseconds_per_second, 2, out);
  out.push_back('.');
  detail::append_padded(rest % microseconds_per_second, 6, out);
  out.append(year > 0 ? "+00" : "+00 BC");
}

/// Reads what append_timestamp writes and what PostgreSQL sends for date, timestamp and
/// timestamptz.
class TimestampParser {
 public:
  explicit TimestampParser(std::string_view text) : text_(text), rest_(text) {}

  /// Returns: microseconds since 1970. Throws std::invalid_argument, std::out_of_range.
  std::int64_t parse() {
    std::int64_t year = digits(4, 6);
    expect('-');
    const auto month = static_cast<unsigned>(digits(2, 2));
    expect('-');
    const auto day_of_month = static_cast<unsigned>(digits(2, 2));
    std::int64_t within_day = 0;
    std::int64_t offset_seconds = 0;
    if (!rest_.empty() && rest_ != " BC") {
      expect(' ');
      within_day = time_of_day();
      offset_seconds = offset();
    }
    if (rest_ == " BC") {
      year = 1 - year;
      rest_ = {};
    }
    if (!rest_.empty()) fail();

    const std::int64_t cycle = detail::floor_divide(year, years_per_cycle);
    const std::chrono::year_month_day date{
        std::chrono::year{static_cast<int>(year - cycle * years_per_cycle)},
        std::chrono::month{month}, std::chrono::day{day_of_month}};
    if (!date.ok()) fail();
    const std::int64_t days =
        std::chrono::sys_days{date}.time_since_epoch().count() + cycle * days_per_cycle;
    // One day of slack covers the time of day and the offset.
    constexpr std::int64_t most =
        std::numeric_limits<std::int64_t>::max() / microseconds_per_day - 1;
    if (days > most || days < -most) {
      throw std::out_of_range("the time " + std::string(text_) + " is out of range");
    }
    return days * microseconds_per_day + within_day - offset_seconds * microseconds_per_second;
  }

 private:
  [[noreturn]] void fail() const {
    throw std::invalid_argument("\"" + std::string(text_) + "\" is not a time in ISO form");
  }

  std::int64_t digits(std::size_t least, std::size_t most) {
    std::int64_t value = 0;
    std::size_t count = 0;
    while (count < most && count < rest_.size() && rest_[count] >= '0' && rest_[count] <= '9') {
      value = value * 10 + (rest_[count] - '0');
      ++count;
    }
    if (count < least) fail();
    rest_.remove_prefix(count);
    return value;
  }

  bool accept(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  void expect(char c) {
    if (!accept(c)) fail();
  }

  std::int64_t time_of_day() {
    const std::int64_t hours = digits(2, 2);
    expect(':');
    const std::int64_t minutes = digits(2, 2);
    expect(':');
    const std::int64_t seconds = digits(2, 2);
    std::int64_t fraction = 0;
    if (accept('.')) {
      const std::size_t before = rest_.size();
      fraction = digits(1, 6);
      for (std::size_t places = before - rest_.size(); places < 6; ++places)
        fraction *= 10;
    }
    return ((hours * 60 + minutes) * 60 + seconds) * microseconds_per_second + fraction;
  }

  std::int64_t offset() {
    const bool west = rest_.starts_with('-');
    if (!west && !rest_.starts_with('+')) return 0;
    rest_.remove_prefix(1);
    std::int64_t seconds = digits(2, 2) * 3600;
    if (accept(':')) seconds += digits(2, 2) * 60;
    if (accept(':')) seconds += digits(2, 2);
    return west ? -seconds : seconds;
  }

  const std::string_view text_;
  std::string_view rest_;
};

}  // namespace detail

/// A point in time as timestamptz; columns of type timestamp and date work too, as UTC. What is
/// below a microsecond is truncated (towards the past). The largest and the smallest time point of
/// the type stand for PostgreSQL's infinity and -infinity.
template <std::integral Count, class Period>
struct codec<
    std::chrono::time_point<std::chrono::system_clock, std::chrono::duration<Count, Period>>> {
  using Duration = std::chrono::duration<Count, Period>;
  using Time = std::chrono::time_point<std::chrono::system_clock, Duration>;
  using Microseconds = std::chrono::duration<std::int64_t, std::micro>;

  static constexpr std::string_view sql_type = "timestamptz";
  /// Whether two values can be stored as one.
  static constexpr bool truncates = std::ratio_less_v<Period, std::micro>;

  static void encode(Time value, std::string& out) {
    if (value == Time::max()) {
      out.append("infinity");
    } else if (value == Time::min()) {
      out.append("-infinity");
    } else {
      const Duration since_epoch = value.time_since_epoch();
      if constexpr (coarse) {
        if (since_epoch > std::chrono::floor<Wide>(Microseconds::max()) ||
            since_epoch < std::chrono::ceil<Wide>(Microseconds::min())) {
          throw std::out_of_range("the time is beyond what PostgreSQL can store");
        }
      }
      detail::append_timestamp(std::chrono::floor<Microseconds>(since_epoch).count(), out);
    }
  }

  static Time decode(std::string_view text) {
    if (text == "infinity") return Time::max();
    if (text == "-infinity") return Time::min();
    const Microseconds parsed{detail::TimestampParser{text}.parse()};
    if constexpr (coarse) {
      const auto count = std::chrono::floor<Wide>(parsed).count();
      if (!std::in_range<Count>(count)) throw_out_of_range(text);
      return Time{Duration{static_cast<Count>(count)}};
    } else {
      if (parsed > std::chrono::floor<Microseconds>(Duration::max()) ||
          parsed < std::chrono::ceil<Microseconds>(Duration::min())) {
        throw_out_of_range(text);
      }
      return Time{std::chrono::duration_cast<Duration>(parsed)};
    }
  }

 private:
  static constexpr bool coarse = std::ratio_greater_equal_v<Period, std::micro>;
  using Wide = std::chrono::duration<std::int64_t, Period>;

  [[noreturn]] static void throw_out_of_range(std::string_view text) {
    throw std::out_of_range("the time " + std::string(text) + " is out of range");
  }
};

}  // namespace lazywriter::pg
