// Memory that will be needed in a moment.
#pragma once

#include <cstddef>

namespace lazywriter::detail {

/// Effect: has the processor fetch a node, and what the allocator usually put right behind it: the
/// characters of its key. Reads nothing: harmless without a lock.
template <class Node>
inline void prefetch(const Node* node) noexcept {
#if defined(__GNUC__)
  if (node == nullptr) return;
  constexpr std::size_t cache_line = 64;
  const auto* const first = reinterpret_cast<const std::byte*>(node);  // NOLINT
  for (std::size_t at = 0; at < sizeof(Node) + cache_line; at += cache_line)
    __builtin_prefetch(first + at);
#endif
}

}  // namespace lazywriter::detail
