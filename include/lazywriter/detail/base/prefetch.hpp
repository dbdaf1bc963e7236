// Memory that will be needed in a moment.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace lazywriter::detail {

// Always inlined: GCC takes a function that only prefetches for one without effect and leaves out
// its calls.

/// Effect: has the processor fetch `size` bytes, but no more than it can have under way at once:
/// of a large item nobody knows which parts will be asked for. Reads nothing: harmless without a
/// lock.
template <std::size_t size>
[[gnu::always_inline]] inline void prefetch_bytes(std::uintptr_t begin) noexcept {
#if defined(__GNUC__)
  constexpr std::size_t cache_line = 64;
  constexpr std::size_t end = std::min<std::size_t>(size, 5 * cache_line);
  for (std::size_t at = 0; at < end; at += cache_line)
    __builtin_prefetch(reinterpret_cast<const void*>(begin + at));     // NOLINT
  __builtin_prefetch(reinterpret_cast<const void*>(begin + end - 1));  // NOLINT
#else
  static_cast<void>(begin);
#endif
}

/// How much of a node is worth fetching ahead.
template <class Node>
struct Touched {
  /// Bytes right before a node that usually belong to it.
  static constexpr std::size_t before = 0;
  /// From its beginning: what a hit touches, what a write does, and what a flush does.
  static constexpr std::size_t by_read = sizeof(Node);
  static constexpr std::size_t by_write = sizeof(Node);
  static constexpr std::size_t by_flush = sizeof(Node);
};

/// Effect: has the processor fetch the first `size` bytes of a node, and what lies before it.
template <std::size_t size, class Node>
[[gnu::always_inline]] inline void prefetch_with_key(const Node* node) noexcept {
  constexpr std::size_t before = Touched<Node>::before;
  detail::prefetch_bytes<before + size>(reinterpret_cast<std::uintptr_t>(node) - before);  // NOLINT
}

/// Effect: has the processor fetch a node, if there is one, for a flush that comes to it.
template <class Node>
[[gnu::always_inline]] inline void prefetch_for_flush(const Node* node) noexcept {
  if (node != nullptr) detail::prefetch_with_key<Touched<Node>::by_flush>(node);
}

/// Effect: has the processor fetch a node, if there is one, for a flush that has copied it.
template <class Node>
[[gnu::always_inline]] inline void prefetch_for_completion(const Node* node) noexcept {
  if (node == nullptr) return;
  detail::prefetch_bytes<Touched<Node>::by_write>(
      reinterpret_cast<std::uintptr_t>(node));  // NOLINT
}

}  // namespace lazywriter::detail
