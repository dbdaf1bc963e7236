// The end of all transactions: none begins any more, and the one under way can be waited for.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "lazywriter/detail/base/clock.hpp"

namespace lazywriter::detail {

/// Whether transactions may begin, and whether one is under way. All members may be called from any
/// thread.
class TransactionHalt {
 public:
  /// Marks, for its lifetime, that a transaction is under way: from before begin_tx until the
  /// entries know its outcome, and no longer: the log can block. False once halted, and then no
  /// transaction may begin.
  class UnderWay {
   public:
    explicit UnderWay(TransactionHalt& halt) noexcept : halt_(halt) {
      const std::lock_guard lock(halt_.mutex_);
      allowed_ = !halt_.halted();
      if (allowed_) ++halt_.under_way_;
    }
    ~UnderWay() {
      if (!allowed_) return;
      {
        const std::lock_guard lock(halt_.mutex_);
        --halt_.under_way_;
      }
      halt_.ended_.notify_all();
    }
    UnderWay(const UnderWay&) = delete;
    UnderWay& operator=(const UnderWay&) = delete;

    explicit operator bool() const noexcept { return allowed_; }

   private:
    TransactionHalt& halt_;
    bool allowed_ = false;
  };

  /// Effect: no transaction begins from now on.
  void halt() noexcept {
    const std::lock_guard lock(mutex_);
    halted_.store(true);
  }
  [[nodiscard]] bool halted() const noexcept { return halted_.load(); }

  /// Blocks until no transaction is under way (after halt(), none ever will be), or until
  /// `deadline`. Returns: whether there is none.
  bool wait_for_the_last(Clock::time_point deadline) noexcept {
    std::unique_lock lock(mutex_);
    return ended_.wait_until(lock, deadline, [this] { return under_way_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  std::atomic<bool> halted_{false};
  unsigned under_way_ = 0;
};

}  // namespace lazywriter::detail
