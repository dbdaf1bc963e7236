// Values into text and back, and any text into values: a codec gives back what it was given, and
// refuses what it cannot read by an exception.
#include <bit>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "fuzz/fuzz.hpp"
#include "lazywriter/pqxx/codec.hpp"
#include "lazywriter/pqxx/time_codec.hpp"

namespace {

using lazywriter::fuzz::Bytes;
using lazywriter::fuzz::claim;
using lazywriter::pg::codec;

template <class Count, class Period>
using Time =
    std::chrono::time_point<std::chrono::system_clock, std::chrono::duration<Count, Period>>;

template <class T>
bool same(const T& a, const T& b) {
  if constexpr (std::floating_point<T>) {
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    return std::bit_cast<Bits>(a) == std::bit_cast<Bits>(b) || (a != a && b != b);
  } else {
    return a == b;
  }
}

template <class T>
std::string text_of(const T& value) {
  std::string text = "kept";
  codec<T>::encode(value, text);
  claim(text.starts_with("kept"), "encode appends");
  return text.substr(4);
}

/// A value survives the way there and back.
template <class T>
void send(const T& value) {
  claim(same(codec<T>::decode(text_of(value)), value), "a value comes back");
}

using Micro = std::chrono::duration<std::int64_t, std::micro>;

/// The last two days of 64 bits on either side, far beyond what the server holds, may be refused.
bool at_the_end_of_time(Micro since_epoch) {
  constexpr std::chrono::days margin{2};
  return since_epoch > Micro::max() - margin || since_epoch < Micro::min() + margin;
}

/// What is below a microsecond is cut off; what cannot be told in microseconds is refused.
template <class Count, class Period>
void send(const Time<Count, Period>& value) {
  using Type = Time<Count, Period>;
  if (value == Type::min() || value == Type::max()) {
    claim(codec<Type>::decode(text_of(value)) == value, "infinity comes back");
    return;
  }
  std::string text;
  try {
    text = text_of(value);
  } catch (const std::out_of_range&) {
    claim(std::ratio_greater_v<Period, std::micro>, "only coarse times reach beyond");
    return;
  }
  const auto stored = std::chrono::floor<Micro>(value.time_since_epoch());
  if (at_the_end_of_time(stored)) return;
  if constexpr (std::ratio_less_v<Period, std::micro>) {
    // The microsecond may have begun before the type does.
    if (stored < std::chrono::ceil<Micro>(Type::min().time_since_epoch())) return;
    const auto cut = std::chrono::duration_cast<typename Type::duration>(stored);
    claim(codec<Type>::decode(text) == Type{cut}, "a time comes back to the microsecond");
  } else {
    claim(codec<Type>::decode(text) == value, "a time comes back");
  }
}

/// A text is refused, or read as a value that survives.
template <class T>
void receive(std::string_view text) {
  std::optional<T> value;
  try {
    value = codec<T>::decode(text);
  } catch (const std::exception&) {
    return;
  }
  send(*value);
}

template <class... Numbers>
void send_numbers(Bytes bytes) {
  (send(Bytes(bytes).value<Numbers>()), ...);
}

template <class Count, class Period>
void send_time(Bytes bytes) {
  send(Time<Count, Period>{std::chrono::duration<Count, Period>{bytes.value<Count>()}});
}

template <class... Types>
void receive_all(std::string_view text) {
  (receive<Types>(text), ...);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes(data, size);
  using Days = std::chrono::days::period;
  send_numbers<signed char, unsigned char, short, unsigned short, int, unsigned, long,
               unsigned long, long long, float, double>(bytes);
  send_time<std::int64_t, std::nano>(bytes);
  send_time<std::int64_t, std::micro>(bytes);
  send_time<std::int64_t, std::milli>(bytes);
  send_time<std::int64_t, std::ratio<1>>(bytes);
  send_time<std::int32_t, std::ratio<1>>(bytes);
  send_time<std::int32_t, Days>(bytes);

  const std::string_view text = Bytes(bytes).all();
  send(std::string(text));
  send(std::vector<std::byte>(reinterpret_cast<const std::byte*>(text.data()),
                              reinterpret_cast<const std::byte*>(text.data()) + text.size()));
  receive_all<bool, short, unsigned, long long, float, double, std::optional<int>, std::string,
              std::vector<std::byte>, Time<std::int64_t, std::nano>, Time<std::int64_t, std::micro>,
              Time<std::int64_t, std::milli>, Time<std::int32_t, std::ratio<1>>,
              Time<std::int32_t, Days>>(text);
  return 0;
}
