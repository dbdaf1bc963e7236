// What the fuzz targets share: a claim that must hold, and bytes read as choices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

/// The entry point of every target: libFuzzer's, or replay.cpp's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace lazywriter::fuzz {

/// Ends the process when `holds` is false, which is how libFuzzer learns of a finding.
inline void claim(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "this does not hold: %s\n", what);
  std::abort();
}

/// An input, read from its beginning. What is asked beyond its end is 0.
class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size)
      : rest_(reinterpret_cast<const char*>(data), size) {}

  [[nodiscard]] bool empty() const { return rest_.empty(); }

  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto first = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return first;
  }

  /// A value of a type that any bytes make.
  template <class Value>
  Value value() {
    static_assert(std::is_arithmetic_v<Value> && !std::is_same_v<Value, bool>);
    char raw[sizeof(Value)] = {};
    for (char& one : raw)
      one = static_cast<char>(byte());
    Value made;
    std::memcpy(&made, raw, sizeof made);
    return made;
  }

  /// Up to 255 bytes, whose number stands in front of them.
  std::string_view text() { return take(byte()); }
  /// Everything that is left.
  std::string_view all() { return take(rest_.size()); }

  // The questions of a Dice.
  std::size_t below(std::size_t bound) { return byte() % bound; }
  bool chance(double probability) { return byte() >= 256 * (1 - probability); }

 private:
  std::string_view take(std::size_t size) {
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(taken.size());
    return taken;
  }

  std::string_view rest_;
};

}  // namespace lazywriter::fuzz
