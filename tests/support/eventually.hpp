// Waiting for what can be observed.
#pragma once

#include <chrono>
#include <thread>

namespace lazywriter::testing {

/// Blocks until `holds()`, looking again and again. Returns: false if it does not within two
/// minutes, so that a failed test ends.
template <class Condition>
[[nodiscard]] bool eventually(const Condition& holds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes{2};
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  return true;
}

}  // namespace lazywriter::testing
