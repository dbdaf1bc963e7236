// CTEST_THREADS: none
#include "lazywriter/detail/base/large_pages.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include "support/sanitizer.hpp"

namespace lazywriter::detail {
namespace {

constexpr std::size_t large_page = LargePages::large_page;

std::uintptr_t address_of(const void* memory) {
  return reinterpret_cast<std::uintptr_t>(memory);  // NOLINT
}

TEST(LargePagesTest, PartsFollowEachOtherUntilNothingIsLeft) {
  for (const std::size_t size : {std::size_t{4096}, 2 * large_page + 4096}) {
    LargePages pages(size);
    void* const first = pages.take(64);
    void* const second = pages.take(size - 64);
    ASSERT_NE(first, nullptr);
    ASSERT_NE(second, nullptr);
    EXPECT_EQ(address_of(first) % 64, 0U);
    EXPECT_EQ(address_of(second), address_of(first) + 64);
    std::memset(first, 1, 64);
    std::memset(second, 2, size - 64);
    EXPECT_EQ(static_cast<const char*>(first)[63], 1);
    EXPECT_EQ(pages.take(1), nullptr);
  }
}

TEST(LargePagesTest, WhatIsTooMuchIsNotTaken) {
  LargePages pages(128);
  EXPECT_EQ(pages.take(192), nullptr);
  EXPECT_NE(pages.take(128), nullptr);
}

TEST(LargePagesTest, WithoutMemoryThereIsNothingToTake) {
  LargePages none(0);
  EXPECT_EQ(none.take(64), nullptr);
#if !LAZYWRITER_THREAD_SANITIZER && !LAZYWRITER_ADDRESS_SANITIZER  // they end the program instead
  LargePages too_much(std::numeric_limits<std::size_t>::max() / 4);
  EXPECT_EQ(too_much.take(64), nullptr);
#endif
}

/// Returns: whether the system was asked for large pages at that address: "hg" among the flags of
/// its mapping.
bool is_advised(const void* memory) {
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    char dash = 0;
    if (words >> std::hex >> begin >> dash >> end && dash == '-') {
      inside = begin <= address_of(memory) && address_of(memory) < end;
    } else if (inside && line.starts_with("VmFlags:")) {
      return line.find(" hg") != std::string::npos;
    }
  }
  return false;
}

TEST(LargePagesTest, TakesTheLastPageAsAWholeUnlessMostOfItWouldBeTakenForNothing) {
  constexpr std::size_t most = large_page / 4 * 3;
  constexpr std::size_t half = large_page / 2;
  EXPECT_EQ(LargePages::bytes_on_large_pages(0), 0U);
  EXPECT_EQ(LargePages::bytes_on_large_pages(half), 0U);
  EXPECT_EQ(LargePages::bytes_on_large_pages(most), large_page);
  EXPECT_EQ(LargePages::bytes_on_large_pages(large_page), large_page);
  EXPECT_EQ(LargePages::bytes_on_large_pages(3 * large_page + half), 3 * large_page);
  EXPECT_EQ(LargePages::bytes_on_large_pages(3 * large_page + most), 4 * large_page);
}

TEST(LargePagesTest, AsksTheSystemForLargePagesWhereItHasThem) {
  const bool has_them = std::filesystem::exists("/sys/kernel/mm/transparent_hugepage");
  constexpr std::size_t size = large_page + large_page / 4 * 3;
  LargePages pages(size);
  const auto* const first = static_cast<const std::byte*>(pages.take(size));
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(address_of(first) % large_page, 0U);
  EXPECT_EQ(is_advised(first), has_them);
  EXPECT_EQ(is_advised(first + large_page), has_them);
}

}  // namespace
}  // namespace lazywriter::detail
