// The right to flush: one holder at a time, and a wait for it that can time out.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>

#include "lazywriter/detail/entry.hpp"

namespace lazywriter::detail {

/// Held by whoever calls the adapter between begin_tx and commit_tx; guards everything the flusher
/// remembers between passes. Taken before any shard's lock, never while holding one.
class FlushToken {
 public:
  using Deadline = std::optional<Clock::time_point>;

  /// Holds the token, or (after a wait that timed out) does not.
  class Hold {
   public:
    Hold(FlushToken& token, const Deadline& deadline) : token_(token) {
      std::unique_lock lock(token_.mutex_);
      const auto free = [this] { return !token_.held_; };
      if (deadline.has_value()) {
        held_ = token_.released_.wait_until(lock, *deadline, free);
      } else {
        token_.released_.wait(lock, free);
        held_ = true;
      }
      if (held_) token_.held_ = true;
    }
    ~Hold() {
      if (!held_) return;
      {
        const std::lock_guard lock(token_.mutex_);
        token_.held_ = false;
      }
      token_.released_.notify_one();
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

    explicit operator bool() const noexcept { return held_; }

   private:
    FlushToken& token_;
    bool held_ = false;
  };

 private:
  std::mutex mutex_;
  std::condition_variable released_;
  bool held_ = false;
};

}  // namespace lazywriter::detail
