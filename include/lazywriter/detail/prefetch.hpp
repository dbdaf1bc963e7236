// Memory that will be needed in a moment.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lazywriter::detail {

/// Effect: has the processor fetch a node, and what the allocator usually put right before it: the
/// characters of its key, since an item is made before the node that it moves into. Reads nothing:
/// harmless without a lock. Always inlined: GCC takes a function that only prefetches for one
/// without effect and leaves out its calls.
template <class Node>
[[gnu::always_inline]] inline void prefetch(const Node* node) noexcept {
#if defined(__GNUC__)
  if (node == nullptr) return;
  constexpr std::size_t cache_line = 64;
  constexpr std::size_t key_before = 48;
  const auto begin = reinterpret_cast<std::uintptr_t>(node) - key_before;  // NOLINT
  constexpr std::size_t size = key_before + sizeof(Node);
  for (std::size_t at = 0; at < size; at += cache_line)
    __builtin_prefetch(reinterpret_cast<const void*>(begin + at));      // NOLINT
  __builtin_prefetch(reinterpret_cast<const void*>(begin + size - 1));  // NOLINT
#endif
}

}  // namespace lazywriter::detail
