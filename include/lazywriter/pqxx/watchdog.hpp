// Ends calls that the server does not answer, by shutting down their sockets.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "lazywriter/pqxx/errors.hpp"

namespace lazywriter::pg::detail {

/// A second descriptor for a socket that libpq owns. libpq may close its own at any moment of a
/// call, and the number may then name something else; this one names the same socket until it is
/// closed here.
class SocketHandle {
 public:
  /// `descriptor` < 0, or one that cannot be duplicated, gives a handle that does nothing.
  explicit SocketHandle(int descriptor) noexcept
      : descriptor_(descriptor < 0 ? -1 : ::fcntl(descriptor, F_DUPFD_CLOEXEC, 3)) {}
  ~SocketHandle() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  SocketHandle(const SocketHandle&) = delete;
  SocketHandle& operator=(const SocketHandle&) = delete;

  /// Returns: whether there is a socket.
  bool valid() const noexcept { return descriptor_ >= 0; }

  /// Effect: every read and write on the socket, under way or later, ends at once. Never blocks.
  void shut_down() const noexcept {
    if (descriptor_ >= 0) ::shutdown(descriptor_, SHUT_RDWR);
  }

 private:
  const int descriptor_;
};

/// One thread that shuts down the socket of every call that lasts longer than the limit, or, after
/// interrupt(), of every call that is interruptible. All members are thread-safe.
class Watchdog {
 public:
  /// One call in progress; it lives on the stack of the caller for as long as the call lasts.
  class Call {
   public:
    /// Throws NotSent when the watchdog was interrupted and the call is interruptible.
    Call(Watchdog& watchdog, const SocketHandle& socket, bool interruptible)
        : watchdog_(watchdog), socket_(socket), interruptible_(interruptible) {
      watchdog_.enter(*this);
    }
    ~Call() { watchdog_.leave(*this); }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    /// Returns: whether the socket was shut down because of the time limit.
    bool timed_out() const {
      const std::lock_guard lock{watchdog_.mutex_};
      return timed_out_;
    }

   private:
    friend class Watchdog;
    Watchdog& watchdog_;
    const SocketHandle& socket_;
    const bool interruptible_;
    std::chrono::steady_clock::time_point deadline_{};  // constant once entered
    bool timed_out_ = false;                            // guarded by the watchdog's mutex_
  };

  /// Effect: starts the thread. Throws: std::system_error when there can be no thread.
  explicit Watchdog(std::chrono::milliseconds limit)
      : limit_(limit), thread_([this] { watch(); }) {}

  /// No call may be in progress.
  ~Watchdog() {
    {
      const std::lock_guard lock{mutex_};
      stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// Effect: ends interruptible calls, those under way and all later ones, for good. Waits for no
  /// call.
  void interrupt() noexcept {
    const std::lock_guard lock{mutex_};
    interrupted_ = true;
    for (const Call* const call : calls_) {
      if (call->interruptible_) call->socket_.shut_down();
    }
  }

  /// Returns: whether interrupt() was called.
  bool interrupted() const {
    const std::lock_guard lock{mutex_};
    return interrupted_;
  }

 private:
  using Clock = std::chrono::steady_clock;

  void enter(Call& call) {
    bool too_late_asleep = false;
    {
      const std::lock_guard lock{mutex_};
      if (interrupted_ && call.interruptible_) {
        throw NotSent("lazywriter: nothing is written any more, the adapter was interrupted");
      }
      call.deadline_ = Clock::now() + limit_;
      calls_.push_back(&call);
      too_late_asleep = call.deadline_ < wakes_at_;
    }
    if (too_late_asleep) wake_.notify_one();
  }

  void leave(Call& call) {
    const std::lock_guard lock{mutex_};
    calls_.erase(std::find(calls_.begin(), calls_.end(), &call));
  }

  void watch() {
    std::unique_lock lock{mutex_};
    while (!stopping_) {
      // With no call in progress it sleeps for one limit more, so that a busy adapter never has to
      // wake it, and only then until it is woken.
      const Clock::time_point now = Clock::now();
      const bool idle = calls_.empty();
      Clock::time_point next = now + limit_;
      for (Call* const call : calls_) {
        if (call->timed_out_) continue;
        if (call->deadline_ <= now) {
          call->timed_out_ = true;
          call->socket_.shut_down();
        } else {
          next = std::min(next, call->deadline_);
        }
      }
      if (idle && was_idle_) {
        wakes_at_ = Clock::time_point::max();
        was_idle_ = false;
        wake_.wait(lock, [this] { return stopping_ || !calls_.empty(); });
      } else {
        wakes_at_ = next;
        was_idle_ = idle;
        wake_.wait_until(lock, next);
      }
    }
  }

  const std::chrono::milliseconds limit_;
  mutable std::mutex mutex_;  // guards everything below but thread_; nothing slow happens under it
  std::condition_variable wake_;
  std::vector<Call*> calls_;      // in progress; few
  Clock::time_point wakes_at_{};  // when the thread looks next, unless it is woken
  bool was_idle_ = false;
  bool interrupted_ = false;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses everything above
};

}  // namespace lazywriter::pg::detail
