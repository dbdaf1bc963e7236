// A background loop: runs a job when its time comes or when it is woken.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "lazywriter/detail/base/clock.hpp"

namespace lazywriter::detail {

/// Runs `job` in a thread of its own, again and again. The job returns when it wants to run next;
/// wake() runs it earlier. The job must not throw. All members may be called from any thread; none
/// but wait_until_done, join and join_unless_inside blocks.
class PeriodicWorker {
 public:
  /// When the job runs next.
  struct Turn {
    Turn(Clock::time_point by_itself) : next(by_itself) {}  // NOLINT(google-explicit-constructor)
    Turn(Clock::time_point by_itself, Clock::time_point when_woken)
        : next(by_itself), not_before(when_woken) {}

    Clock::time_point next;
    /// wake() waits until then.
    Clock::time_point not_before = Clock::time_point::min();
  };
  using Job = std::function<Turn()>;

  explicit PeriodicWorker(Job job) : job_(std::move(job)) {}

  /// Effect: starts the thread, once; the job runs first at `first`. Without it, nothing ever runs.
  /// Throws: std::system_error when no thread can be started.
  void start(Clock::time_point first) {
    turn_ = first;
    start_thread(true);
  }
  /// Effect: starts the thread, once, for finish alone: the job never runs. Throws: as start.
  void start_for_finish() { start_thread(false); }

  ~PeriodicWorker() { request_stop(); }

  PeriodicWorker(const PeriodicWorker&) = delete;
  PeriodicWorker& operator=(const PeriodicWorker&) = delete;

  /// Effect: the job runs soon, once however often this is called before it does; not before the
  /// time that its last run returned for that. A load when it has been called already.
  void wake() noexcept {
    if (woken_.load()) return;
    notify([this] { woken_.store(true); });
  }

  /// Effect: as wake, without regard to that time.
  void hurry() noexcept {
    notify([this] { hurried_ = true; });
  }

  /// Effect: no run begins any more.
  void request_stop() noexcept {
    thread_.request_stop();
    notify([] {});
  }

  /// Effect: no run of the job begins any more; `last` runs once, after the one under way, and ends
  /// the thread. It must not throw. Once, and after start.
  void finish(std::function<void()> last) {
    {
      const std::lock_guard lock(mutex_);
      last_ = std::move(last);
    }
    request_stop();
  }

  /// Blocks until the thread has nothing more to do, once it was told to stop or to finish, or
  /// until `deadline`. Returns: whether it has.
  bool wait_until_done(Clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, deadline, [this] { return !running_; });
  }

  /// Effect: request_stop, then blocks until the run under way has ended.
  void join() {
    request_stop();
    if (thread_.joinable()) thread_.join();
  }

  /// Whether this is its own thread.
  [[nodiscard]] bool inside() const noexcept {
    return thread_.get_id() == std::this_thread::get_id();
  }

  /// Effect: as join; but in its own thread, whose run under way will never end, it lets go of it.
  void join_unless_inside() {
    if (!inside()) return join();
    request_stop();
    thread_.detach();
  }

 private:
  template <class Change>
  void notify(Change&& change) noexcept {
    {
      const std::lock_guard lock(mutex_);
      change();
    }
    changed_.notify_all();
  }

  void start_thread(bool with_job) {
    running_ = true;
    try {
      thread_ = std::jthread([this, with_job](const std::stop_token& stop) {
        run(stop, with_job);
        if (last_) last_();
        notify([this] { running_ = false; });
      });
    } catch (...) {
      running_ = false;
      throw;
    }
  }

  // Waits on a plain condition variable: request_stop notifies it.
  void run(const std::stop_token& stop, bool with_job) {
    std::unique_lock lock(mutex_);
    for (;;) {
      while (!stop.stop_requested() && !(with_job && is_due())) {
        if (with_job) {
          changed_.wait_until(lock,
                              woken_.load() ? std::min(turn_.next, turn_.not_before) : turn_.next);
        } else {
          changed_.wait(lock);
        }
      }
      if (stop.stop_requested()) return;
      woken_.store(false);
      hurried_ = false;
      lock.unlock();
      const Turn turn = job_();
      lock.lock();
      turn_ = turn;
    }
  }

  [[nodiscard]] bool is_due() const {
    const Clock::time_point now = Clock::now();
    return hurried_ || now >= turn_.next || (woken_.load() && now >= turn_.not_before);
  }

  Job job_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // The rest is guarded by mutex_; woken_ is read without it.
  Turn turn_{Clock::time_point{}};
  std::atomic<bool> woken_{false};
  bool hurried_ = false;
  /// The thread has something to do, or may come to have.
  bool running_ = false;
  std::function<void()> last_;
  // Last: it uses all of the above, so it must start after them and be joined before they go.
  std::jthread thread_;
};

}  // namespace lazywriter::detail
