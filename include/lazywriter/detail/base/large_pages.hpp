// Memory for what is read at random, on large pages where the system has them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#if __has_include(<sys/mman.h>)
#include <sys/mman.h>
#endif

namespace lazywriter::detail {

/// One piece of memory that many share, since a large page is more than each of them needs. Where
/// there is much of it, a read at an address of its own waits for the page tables first, and then
/// for the memory; a large page spares it the first wait. Without memory there is nothing to take.
/// Knows no locks.
class LargePages {
 public:
  static constexpr std::size_t large_page = std::size_t{2} << 20;

  /// Never throws.
  explicit LargePages(std::size_t bytes) noexcept
      : memory_(allocate(bytes), Release{alignment_for(bytes)}),
        left_(memory_ == nullptr ? 0 : bytes) {}

  /// Returns: the next `bytes` of it, for as long as this lives; nullptr if fewer are left. Aligned
  /// to a cache line if all that were taken before were multiples of one.
  [[nodiscard]] void* take(std::size_t bytes) noexcept {
    if (bytes > left_) return nullptr;
    left_ -= bytes;
    return std::exchange(next_, next_ + bytes);
  }

  /// Returns: how much of `bytes`, from the beginning, is to lie on large pages. The last one may
  /// be taken for a part of it, since small pages for that part would be seen in every look-up, but
  /// not for little.
  static std::size_t bytes_on_large_pages(std::size_t bytes) noexcept {
    constexpr std::size_t most_unused = large_page / 8 * 3;
    return (bytes + most_unused) / large_page * large_page;
  }

 private:
  static constexpr std::size_t cache_line = 64;

  struct Release {
    std::align_val_t alignment;
    void operator()(std::byte* memory) const noexcept { ::operator delete(memory, alignment); }
  };

  static std::align_val_t alignment_for(std::size_t bytes) noexcept {
    return std::align_val_t{bytes_on_large_pages(bytes) == 0 ? cache_line : large_page};
  }

  static std::byte* allocate(std::size_t bytes) noexcept {
    if (bytes == 0) return nullptr;
    const std::size_t on_large = bytes_on_large_pages(bytes);
    void* const memory =
        ::operator new(std::max(bytes, on_large), alignment_for(bytes), std::nothrow);
#if defined(MADV_HUGEPAGE)
    // Advice: where it is not heard, the pages are small.
    if (memory != nullptr && on_large != 0) madvise(memory, on_large, MADV_HUGEPAGE);
#endif
    return static_cast<std::byte*>(memory);
  }

  std::unique_ptr<std::byte, Release> memory_;
  std::byte* next_ = memory_.get();
  std::size_t left_;
};

}  // namespace lazywriter::detail
