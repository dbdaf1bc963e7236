// A key in a log line.
#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

namespace lazywriter::detail {

/// Returns: the text in quotes. Of a long one only the beginning, cut between characters of UTF-8,
/// and its size: a key too long for its index would drown the reason it is logged with.
inline std::string quoted_text(std::string_view text) {
  constexpr std::size_t longest = 200;
  if (text.size() <= longest) return '"' + std::string(text) + '"';
  std::size_t end = longest;
  while (end > longest - 3 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U)
    --end;
  return '"' + std::string(text.substr(0, end)) + "...\" (" + std::to_string(text.size()) +
         " bytes)";
}

/// Returns: the key as text: strings (long ones cut) and numbers as they are, tuples and pairs part
/// by part; other types have none and say so. Throws: std::bad_alloc.
template <class Key>
std::string key_text(const Key& key) {
  if constexpr (std::convertible_to<const Key&, std::string_view>) {
    return detail::quoted_text(std::string_view(key));
  } else if constexpr (std::integral<Key> || std::floating_point<Key>) {
    return std::to_string(key);
  } else if constexpr (requires { std::tuple_size<Key>::value; }) {
    std::string text;
    std::apply(
        [&](const auto&... part) {
          ((text += (text.empty() ? "(" : ", ") + detail::key_text(part)), ...);
        },
        key);
    return text + ')';
  } else {
    return "(a key without a text form)";
  }
}

}  // namespace lazywriter::detail
