// A key in a log line.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

namespace lazywriter::detail {

/// Returns: the key as text: strings and numbers as they are, tuples and pairs part by part; other
/// types have none and say so. Throws: std::bad_alloc.
template <class Key>
std::string key_text(const Key& key) {
  if constexpr (std::convertible_to<const Key&, std::string_view>) {
    return '"' + std::string(std::string_view(key)) + '"';
  } else if constexpr (std::integral<Key> || std::floating_point<Key>) {
    return std::to_string(key);
  } else if constexpr (requires { std::tuple_size<Key>::value; }) {
    std::string text;
    std::apply(
        [&](const auto&... part) { ((text += (text.empty() ? "(" : ", ") + key_text(part)), ...); },
        key);
    return text + ')';
  } else {
    return "(a key without a text form)";
  }
}

}  // namespace lazywriter::detail
