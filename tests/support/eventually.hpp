// Waiting for what can be observed.
#pragma once

#include <chrono>
#include <cstdlib>
#include <thread>

namespace lazywriter::testing {

/// How long a test waits for what is sure to come, before it fails: two minutes, so that a busy
/// machine fails nothing. What breaks the library on purpose sets LAZYWRITER_PATIENCE_SECONDS.
inline std::chrono::seconds patience() {
  const char* const seconds = std::getenv("LAZYWRITER_PATIENCE_SECONDS");
  return std::chrono::seconds{seconds == nullptr ? 120 : std::atoi(seconds)};
}

/// Blocks until `holds()`, looking again and again. Returns: false if it does not within
/// patience(), so that a failed test ends.
template <class Condition>
[[nodiscard]] bool eventually(const Condition& holds) {
  const auto deadline = std::chrono::steady_clock::now() + patience();
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  return true;
}

}  // namespace lazywriter::testing
