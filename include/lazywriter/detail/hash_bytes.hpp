// A hash of a string that costs less than the look-up it is for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string_view>

namespace lazywriter::detail {

#if defined(__SIZEOF_INT128__)

/// Both halves of the full product, folded: every bit of either factor reaches every bit of the
/// result.
inline std::uint64_t fold_multiply(std::uint64_t a, std::uint64_t b) noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

inline std::uint64_t load_bytes(const char* from, std::size_t count) noexcept {
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, from, count);
  return bytes;
}

/// Hashes 16 bytes a step by multiply and fold; about half the instructions of std::hash on keys of
/// some twenty characters. Not for use against an adversary who chooses keys to collide, as
/// std::hash is not.
inline std::size_t hash_bytes(std::string_view text) noexcept {
  constexpr std::uint64_t first = 0x9E3779B97F4A7C15ULL;
  constexpr std::uint64_t second = 0xD1B54A32D192ED03ULL;
  const std::size_t size = text.size();
  const char* at = text.data();
  const char* const end = at + size;
  std::uint64_t hash = first;
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  for (; end - at > 16; at += 16) {
    hash = fold_multiply(load_bytes(at, 8) ^ second, load_bytes(at + 8, 8) ^ hash);
  }
  // The last 1 to 16 bytes, by two loads that may overlap each other and what was taken before.
  if (size >= 16) {
    a = load_bytes(end - 16, 8);
    b = load_bytes(end - 8, 8);
  } else if (size >= 8) {
    a = load_bytes(at, 8);
    b = load_bytes(end - 8, 8);
  } else if (size >= 4) {
    a = load_bytes(at, 4);
    b = load_bytes(end - 4, 4);
  } else if (size > 0) {
    a = load_bytes(at, 1) << 16 | load_bytes(at + size / 2, 1) << 8 | load_bytes(end - 1, 1);
  }
  return static_cast<std::size_t>(fold_multiply(second ^ static_cast<std::uint64_t>(size),
                                                fold_multiply(a ^ second, b ^ hash)));
}

#else

inline std::size_t hash_bytes(std::string_view text) noexcept {
  return std::hash<std::string_view>{}(text);
}

#endif

}  // namespace lazywriter::detail
