// How many threads this process has: what proves that none is left behind.
#pragma once

#include <cstddef>
#include <filesystem>
#include <iterator>
#include <thread>

#include "support/eventually.hpp"

namespace lazywriter::testing {

/// Returns: the number of threads of this process. ThreadSanitizer starts one of its own together
/// with the first of the program, so a first one is started here.
inline std::size_t thread_count() {
  [[maybe_unused]] static const bool started = [] {
    std::jthread{[] {}}.join();
    return true;
  }();
  using Tasks = std::filesystem::directory_iterator;
  return static_cast<std::size_t>(std::distance(Tasks("/proc/self/task"), Tasks{}));
}

/// Returns: whether the process has `expected` threads. Waits while it has more: the kernel lists a
/// joined thread for a moment longer.
inline bool comes_down_to(std::size_t expected) {
  return eventually([&] { return thread_count() <= expected; }) && thread_count() == expected;
}

}  // namespace lazywriter::testing
