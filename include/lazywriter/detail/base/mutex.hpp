// The lock of a shard, known to Clang's thread-safety analysis.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#if defined(__clang__)
#define LAZYWRITER_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define LAZYWRITER_THREAD_ANNOTATION(x)
#endif

#define LAZYWRITER_CAPABILITY(x) LAZYWRITER_THREAD_ANNOTATION(capability(x))
#define LAZYWRITER_SCOPED_CAPABILITY LAZYWRITER_THREAD_ANNOTATION(scoped_lockable)
#define LAZYWRITER_GUARDED_BY(x) LAZYWRITER_THREAD_ANNOTATION(guarded_by(x))
#define LAZYWRITER_REQUIRES(...) LAZYWRITER_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define LAZYWRITER_ASSERT_HELD(...) LAZYWRITER_THREAD_ANNOTATION(assert_capability(__VA_ARGS__))
#define LAZYWRITER_ACQUIRE(...) LAZYWRITER_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define LAZYWRITER_RELEASE(...) LAZYWRITER_THREAD_ANNOTATION(release_capability(__VA_ARGS__))

namespace lazywriter::detail {

/// Tells the processor that this thread is spinning.
inline void spin_pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Where threads sleep that wait for a Mutex. Apart from it, so that what is needed in every call
/// lies together.
struct SleepingPlace {
  std::mutex mutex;
  std::condition_variable freed;
};

/// A mutex that spins briefly and then sleeps. Shard locks are held for some ten nanoseconds, so
/// that a short spin nearly always ends well; but functions of the user run under them too, and the
/// holder can be preempted, so a waiter must be able to sleep.
///
/// unlock() is a plain store: a locked instruction would keep the processor from beginning the next
/// look-up before this one is over. That has two prices. A thread that takes the lock again at once
/// would do so before another processor has even seen it free; so loops use unlock_to_waiters().
/// And a thread that falls asleep just then can be missed, since unlock() may see `sleepers_` as it
/// was before its own store; so who sleeps looks again after longest_sleep.
class LAZYWRITER_CAPABILITY("mutex") Mutex {
 public:
  /// `place`: this mutex's own, which must live as long; it need not live yet.
  explicit Mutex(SleepingPlace& place) noexcept : place_(place) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // Inlined always: they are hardly longer than calls of them.
  [[gnu::always_inline]] void lock() noexcept LAZYWRITER_ACQUIRE() {
    if (held_.exchange(true, std::memory_order_acquire)) [[unlikely]] {
      lock_contended();
    }
  }

  [[gnu::always_inline]] void unlock() noexcept LAZYWRITER_RELEASE() {
    held_.store(false, std::memory_order_release);
    if (sleepers_.load(std::memory_order_relaxed)) [[unlikely]] {
      wake_sleepers();
    }
  }

  /// Effect: unlocks and, if another thread waits, lets it go first: for who will lock again at
  /// once. It misses no sleeper that it saw waiting: of its exchange and the sleeper's, the later
  /// sees what was written before the earlier. Who comes too late to be seen is the next to go.
  void unlock_to_waiters() noexcept LAZYWRITER_RELEASE() {
    if (!waited_for()) return unlock();
    held_.exchange(false);
    if (sleepers_.load()) wake_sleepers();
    for (int spin = 0; spin < spins_before_sleep && !held_.load(std::memory_order_relaxed) &&
                       waiters_.load(std::memory_order_relaxed) != 0;
         ++spin) {
      detail::spin_pause();
    }
  }

  /// Whether another thread waits just now, as far as the holder sees.
  [[nodiscard]] bool waited_for() const noexcept {
    return waiters_.load(std::memory_order_relaxed) != 0;
  }

  /// Tells the analysis, inside a function object, that its caller holds the lock.
  void assert_held() const noexcept LAZYWRITER_ASSERT_HELD(this) {}

 private:
  static constexpr int spins_before_sleep = 400;
  static constexpr std::chrono::milliseconds longest_sleep{1};

  bool try_lock() noexcept {
    return !held_.load(std::memory_order_relaxed) &&
           !held_.exchange(true, std::memory_order_acquire);
  }

  [[gnu::cold, gnu::noinline]] void lock_contended() noexcept {
    waiters_.fetch_add(1);
    bool locked = false;
    for (int spin = 0; spin < spins_before_sleep && !locked; ++spin) {
      detail::spin_pause();
      locked = try_lock();
    }
    if (!locked) sleep_until_locked();
    waiters_.fetch_sub(1);
  }

  void sleep_until_locked() noexcept {
    std::unique_lock lock(place_.mutex);
    for (;;) {
      sleepers_.store(true);
      if (!held_.exchange(true)) return;
      place_.freed.wait_for(lock, longest_sleep);
    }
  }

  [[gnu::cold, gnu::noinline]] void wake_sleepers() noexcept {
    {
      // Who set the flag before either has not looked at held_ yet, or sleeps, or holds the lock.
      const std::lock_guard lock(place_.mutex);
      sleepers_.store(false, std::memory_order_relaxed);
    }
    place_.freed.notify_all();
  }

  std::atomic<bool> held_{false};
  /// Somebody sleeps, or is about to. Written under place_.mutex; may stay set without need.
  std::atomic<bool> sleepers_{false};
  /// Threads in lock_contended.
  std::atomic<std::uint32_t> waiters_{0};
  SleepingPlace& place_;
};

/// Holds a Mutex for a scope.
class LAZYWRITER_SCOPED_CAPABILITY MutexLock {
 public:
  [[gnu::always_inline]] explicit MutexLock(Mutex& mutex) noexcept LAZYWRITER_ACQUIRE(mutex)
      : mutex_(mutex) {
    mutex_.lock();
  }
  [[gnu::always_inline]] ~MutexLock() LAZYWRITER_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

/// Holds a Mutex for a scope that is one of many in a row: whoever waits goes before the next.
class LAZYWRITER_SCOPED_CAPABILITY YieldingLock {
 public:
  explicit YieldingLock(Mutex& mutex) noexcept LAZYWRITER_ACQUIRE(mutex) : mutex_(mutex) {
    mutex_.lock();
  }
  ~YieldingLock() LAZYWRITER_RELEASE() { mutex_.unlock_to_waiters(); }
  YieldingLock(const YieldingLock&) = delete;
  YieldingLock& operator=(const YieldingLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace lazywriter::detail
