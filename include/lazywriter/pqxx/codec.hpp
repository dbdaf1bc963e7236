// How a C++ value becomes the text that PostgreSQL reads, and back. Both directions are exact,
// except that time below a microsecond is truncated.
#pragma once

#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

namespace lazywriter::pg {

/// The text form of a C++ type. There is one for bool, integers, float, double, std::string, time
/// points of std::chrono::system_clock, std::vector<std::byte>, and std::optional of all these.
/// Specialise it to store a type of your own:
///
///     template <>
///     struct lazywriter::pg::codec<Colour> {
///       static constexpr std::string_view sql_type = "text";
///       static void encode(Colour value, std::string& out);  // appends the text
///       static Colour decode(std::string_view text);         // throws when it does not know it
///     };
///
/// - `sql_type` is the PostgreSQL type this is sent as, unless the mapping names another one.
/// - `encode` appends the text form to `out`. It may throw; then the item counts as rejected.
/// - `decode` reads the text form that the server sends (dates are ISO, times UTC, bytea hex). It
///   throws any std::exception when the text does not fit.
/// - For a type with a value that stands for SQL's NULL there are two more, both or none:
///   `static bool is_null(const T&)` and `static T null()`.
///
/// Every function may be called from several threads at once, and must not block.
template <class T>
struct codec;

/// Whether `T` has a codec.
template <class T>
concept HasCodec = requires(const T& value, std::string& out, std::string_view text) {
  { codec<T>::sql_type } -> std::convertible_to<std::string_view>;
  codec<T>::encode(value, out);
  { codec<T>::decode(text) } -> std::convertible_to<T>;
};

/// Whether a `T` can stand for NULL.
template <class T>
concept Nullable = HasCodec<T> && requires(const T& value) {
  { codec<T>::is_null(value) } -> std::convertible_to<bool>;
  { codec<T>::null() } -> std::convertible_to<T>;
};

namespace detail {

template <class T, class... Others>
inline constexpr bool is_one_of = (std::is_same_v<T, Others> || ...);

// char and its wide relatives are characters, not numbers: they have no codec.
template <class T>
concept StoredInteger = is_one_of<T, signed char, unsigned char, short, unsigned short, int,
                                  unsigned int, long, unsigned long, long long, unsigned long long>;

template <class T>
concept StoredFloat = is_one_of<T, float, double>;

/// The whole text as a number. Throws std::invalid_argument or std::out_of_range.
template <class Number>
Number parse_number(std::string_view text) {
  Number value{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::result_out_of_range) {
    throw std::out_of_range("the number " + std::string(text) + " is out of range");
  }
  if (error != std::errc{} || stop != end) {
    throw std::invalid_argument("\"" + std::string(text) +
                                "\" is not a number of the expected kind");
  }
  return value;
}

/// Appends the shortest text that reads back as the same number.
template <class Number>
void append_number(Number value, std::string& out) {
  std::array<char, 64> buffer;
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  if (error != std::errc{})
    throw std::logic_error("lazywriter: a number needs more than 64 digits");
  out.append(buffer.data(), end);
}

template <class Integer>
constexpr std::string_view integer_sql_type() {
  // The narrowest type that holds every value.
  constexpr int digits = std::numeric_limits<Integer>::digits;
  return digits <= 15 ? "smallint" : digits <= 31 ? "integer" : digits <= 63 ? "bigint" : "numeric";
}

}  // namespace detail

/// A bool as boolean.
template <>
struct codec<bool> {
  static constexpr std::string_view sql_type = "boolean";
  static void encode(bool value, std::string& out) { out.push_back(value ? 't' : 'f'); }
  static bool decode(std::string_view text) {
    if (text == "t") return true;
    if (text == "f") return false;
    throw std::invalid_argument("\"" + std::string(text) + "\" is not a boolean");
  }
};

/// An integer as the narrowest of smallint, integer, bigint and numeric that holds every value.
template <detail::StoredInteger T>
struct codec<T> {
  static constexpr std::string_view sql_type = detail::integer_sql_type<T>();
  static void encode(T value, std::string& out) { detail::append_number(value, out); }
  static T decode(std::string_view text) { return detail::parse_number<T>(text); }
};

/// A float as real, a double as double precision: the shortest text that reads back as the same.
template <detail::StoredFloat T>
struct codec<T> {
  static constexpr std::string_view sql_type =
      std::is_same_v<T, float> ? "real" : "double precision";
  static void encode(T value, std::string& out) {
    if (std::isnan(value)) {
      out.append("NaN");
    } else if (std::isinf(value)) {
      out.append(value < 0 ? "-Infinity" : "Infinity");
    } else {
      detail::append_number(value, out);
    }
  }
  static T decode(std::string_view text) {
    if (text == "NaN") return std::numeric_limits<T>::quiet_NaN();
    if (text == "Infinity") return std::numeric_limits<T>::infinity();
    if (text == "-Infinity") return -std::numeric_limits<T>::infinity();
    return detail::parse_number<T>(text);
  }
};

/// Any text without a NUL byte, in UTF-8. With an SQL type in the mapping also json, jsonb, uuid, a
/// PostgreSQL enum and everything else whose text form the program handles itself.
template <>
struct codec<std::string> {
  static constexpr std::string_view sql_type = "text";
  static void encode(std::string_view value, std::string& out) { out.append(value); }
  static std::string decode(std::string_view text) { return std::string(text); }
};

/// nullopt is NULL.
template <HasCodec T>
struct codec<std::optional<T>> {
  static_assert(
      !Nullable<T>,
      "lazywriter::pg: an optional of a type that can be NULL by itself would have two ways to "
      "say NULL");
  static constexpr std::string_view sql_type = codec<T>::sql_type;
  static bool is_null(const std::optional<T>& value) { return !value.has_value(); }
  static std::optional<T> null() { return std::nullopt; }
  static void encode(const std::optional<T>& value, std::string& out) {
    codec<T>::encode(value.value(), out);
  }
  static std::optional<T> decode(std::string_view text) { return codec<T>::decode(text); }
};

/// Bytes as bytea.
template <>
struct codec<std::vector<std::byte>> {
  static constexpr std::string_view sql_type = "bytea";
  static void encode(const std::vector<std::byte>& value, std::string& out) {
    constexpr std::string_view digits = "0123456789abcdef";
    out.append("\\x");
    for (const std::byte byte : value) {
      const auto number = std::to_integer<unsigned>(byte);
      out.push_back(digits[number >> 4]);
      out.push_back(digits[number & 15]);
    }
  }
  static std::vector<std::byte> decode(std::string_view text) {
    if (text.size() % 2 != 0 || !text.starts_with("\\x")) {
      throw std::invalid_argument("the bytes do not come in hex form");
    }
    std::vector<std::byte> bytes;
    bytes.reserve(text.size() / 2 - 1);
    for (std::size_t at = 2; at < text.size(); at += 2) {
      bytes.push_back(static_cast<std::byte>(digit(text[at]) << 4 | digit(text[at + 1])));
    }
    return bytes;
  }

 private:
  static unsigned digit(char c) {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
    if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
    throw std::invalid_argument("the bytes hold a character that is no hex digit");
  }
};

}  // namespace lazywriter::pg
