// A background loop: runs a job when its time comes or when it is woken.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "lazywriter/detail/entry.hpp"

namespace lazywriter::detail {

/// Runs `job` in a thread of its own, again and again. The job returns when it wants to run next;
/// wake() runs it earlier. The job must not throw. All members may be called from any thread; none
/// but join and join_unless_inside blocks.
class PeriodicWorker {
 public:
  using Job = std::function<Clock::time_point()>;

  explicit PeriodicWorker(Job job) : job_(std::move(job)) {}

  /// Effect: starts the thread, once; the job runs first at `first`. Without it, nothing ever runs.
  /// Throws: std::system_error when no thread can be started.
  void start(Clock::time_point first) {
    next_ = first;
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }

  ~PeriodicWorker() { request_stop(); }

  PeriodicWorker(const PeriodicWorker&) = delete;
  PeriodicWorker& operator=(const PeriodicWorker&) = delete;

  /// Effect: the job runs soon, once however often this is called before it does.
  void wake() noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (woken_) return;
      woken_ = true;
    }
    changed_.notify_all();
  }

  /// Effect: no run begins any more.
  void request_stop() noexcept {
    thread_.request_stop();
    { const std::lock_guard lock(mutex_); }
    changed_.notify_all();
  }

  /// Effect: request_stop, then blocks until the run under way has ended.
  void join() {
    request_stop();
    if (thread_.joinable()) thread_.join();
  }

  /// Effect: as join; but in its own thread, whose run under way will never end, it lets go of it.
  void join_unless_inside() {
    if (thread_.get_id() != std::this_thread::get_id()) return join();
    request_stop();
    thread_.detach();
  }

 private:
  // Waits on a plain condition variable: request_stop notifies it.
  void run(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
      changed_.wait_until(lock, next_, [&] { return woken_ || stop.stop_requested(); });
      if (stop.stop_requested()) return;
      woken_ = false;
      lock.unlock();
      const Clock::time_point next = job_();
      lock.lock();
      next_ = next;
    }
  }

  Job job_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Clock::time_point next_{};
  bool woken_ = false;
  // Last: it uses all of the above, so it must start after them and be joined before they go.
  std::jthread thread_;
};

}  // namespace lazywriter::detail
