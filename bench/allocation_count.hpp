// Counts what this program allocates. It replaces the global operator new: include it in the one
// source of a program that wants to know.
#pragma once

#include <malloc.h>

#include <cstddef>
#include <cstdlib>
#include <new>

namespace bench {

namespace allocation_detail {
inline thread_local std::size_t calls = 0;
inline thread_local std::ptrdiff_t bytes = 0;

/// What malloc spends on a block: its usable size and the word in front of it.
inline std::ptrdiff_t size_of(void* block) noexcept {
  return static_cast<std::ptrdiff_t>(malloc_usable_size(block) + sizeof(std::size_t));
}
inline void* count(void* block) {
  if (block == nullptr) throw std::bad_alloc();
  ++calls;
  bytes += size_of(block);
  return block;
}
// Not inlined: GCC would see free meet operator new and warn of a mismatch.
[[gnu::noinline]] inline void release(void* block) noexcept {
  if (block == nullptr) return;
  bytes -= size_of(block);
  std::free(block);
}
}  // namespace allocation_detail

/// Calls of operator new by this thread so far.
inline std::size_t allocations() noexcept {
  return allocation_detail::calls;
}
/// Bytes allocated and not freed by this thread, with what malloc adds to each block.
inline std::ptrdiff_t allocated_bytes() noexcept {
  return allocation_detail::bytes;
}

}  // namespace bench

void* operator new(std::size_t size) {
  return bench::allocation_detail::count(std::malloc(size));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  const auto step = static_cast<std::size_t>(alignment);
  return bench::allocation_detail::count(std::aligned_alloc(step, (size + step - 1) / step * step));
}
void operator delete(void* block) noexcept {
  bench::allocation_detail::release(block);
}
void operator delete(void* block, std::size_t) noexcept {
  bench::allocation_detail::release(block);
}
void operator delete(void* block, std::align_val_t) noexcept {
  bench::allocation_detail::release(block);
}
void operator delete(void* block, std::size_t, std::align_val_t) noexcept {
  bench::allocation_detail::release(block);
}
