// The right to flush: one holder at a time, and a wait for it that can time out.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>

#include "lazywriter/detail/base/clock.hpp"

namespace lazywriter::detail {

/// Held by the thread that calls the adapter between begin_tx and commit_tx; guards everything the
/// flusher remembers between passes. Taken before any shard's lock, never while holding one. Once
/// it is retired, nobody gets it any more.
class FlushToken {
 public:
  using Deadline = std::optional<Clock::time_point>;

  /// Holds the token, or (after a wait that timed out, or once it is retired) does not.
  class Hold {
   public:
    Hold(FlushToken& token, const Deadline& deadline) : token_(token) {
      std::unique_lock lock(token_.mutex_);
      const auto settled = [this] { return !token_.held_ || token_.retired_; };
      if (deadline.has_value()) {
        token_.released_.wait_until(lock, *deadline, settled);
      } else {
        token_.released_.wait(lock, settled);
      }
      held_ = !token_.held_ && !token_.retired_;
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

  /// Effect: threads that wait for it, and all later ones, go without. For a holder that never
  /// returns.
  void retire() noexcept {
    {
      const std::lock_guard lock(mutex_);
      retired_ = true;
    }
    released_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable released_;
  bool held_ = false;
  bool retired_ = false;
};

}  // namespace lazywriter::detail
