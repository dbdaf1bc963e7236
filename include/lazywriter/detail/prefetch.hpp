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

/// Effect: has the processor fetch a node.
template <class Node>
[[gnu::always_inline]] inline void prefetch_node(const Node* node) noexcept {
  if (node == nullptr) return;
  prefetch_bytes<sizeof(Node)>(reinterpret_cast<std::uintptr_t>(node));  // NOLINT
}

/// Effect: has the processor fetch a node, and what the allocator usually put right before it: the
/// characters of its key, since an item is made before the node that it moves into.
template <class Node>
[[gnu::always_inline]] inline void prefetch_with_key(const Node* node) noexcept {
  if (node == nullptr) return;
  constexpr std::size_t key_before = 48;
  prefetch_bytes<key_before + sizeof(Node)>(reinterpret_cast<std::uintptr_t>(node) -  // NOLINT
                                            key_before);
}

}  // namespace lazywriter::detail
