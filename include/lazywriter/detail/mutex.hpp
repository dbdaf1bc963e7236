// The lock of a shard, known to Clang's thread-safety analysis.
#pragma once

#include <atomic>
#include <cstdint>

#if defined(__clang__)
#define LAZYWRITER_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define LAZYWRITER_THREAD_ANNOTATION(x)
#endif

#define LAZYWRITER_CAPABILITY(x) LAZYWRITER_THREAD_ANNOTATION(capability(x))
#define LAZYWRITER_SCOPED_CAPABILITY LAZYWRITER_THREAD_ANNOTATION(scoped_lockable)
#define LAZYWRITER_GUARDED_BY(x) LAZYWRITER_THREAD_ANNOTATION(guarded_by(x))
#define LAZYWRITER_REQUIRES(...) LAZYWRITER_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define LAZYWRITER_EXCLUDES(...) LAZYWRITER_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
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

/// A mutex that spins briefly and then sleeps. Shard locks are held for some ten nanoseconds, so
/// that a short spin nearly always ends well; but functions of the user run under them too, and the
/// holder can be preempted, so a waiter must be able to sleep.
class LAZYWRITER_CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() noexcept LAZYWRITER_ACQUIRE() {
    std::uint32_t expected = free;
    if (!state_.compare_exchange_strong(expected, held, std::memory_order_acquire,
                                        std::memory_order_relaxed)) [[unlikely]] {
      lock_contended();
    }
  }

  void unlock() noexcept LAZYWRITER_RELEASE() {
    if (state_.exchange(free, std::memory_order_release) == held_with_sleepers) [[unlikely]] {
      state_.notify_one();
    }
  }

  /// Tells the analysis, inside a function object, that its caller holds the lock.
  void assert_held() const noexcept LAZYWRITER_ASSERT_HELD(this) {}

 private:
  static constexpr std::uint32_t free = 0;
  static constexpr std::uint32_t held = 1;
  static constexpr std::uint32_t held_with_sleepers = 2;
  static constexpr int spins_before_sleep = 100;

  void lock_contended() noexcept {
    for (int spin = 0; spin < spins_before_sleep; ++spin) {
      std::uint32_t expected = free;
      if (state_.load(std::memory_order_relaxed) == free &&
          state_.compare_exchange_weak(expected, held, std::memory_order_acquire,
                                       std::memory_order_relaxed)) {
        return;
      }
      spin_pause();
    }
    // Whoever slept once takes the lock as held_with_sleepers: it cannot know whether others still
    // sleep, and one wake too many is harmless where one too few is not.
    while (state_.exchange(held_with_sleepers, std::memory_order_acquire) != free) {
      state_.wait(held_with_sleepers, std::memory_order_relaxed);
    }
  }

  std::atomic<std::uint32_t> state_{free};
};

/// Holds a Mutex for a scope.
class LAZYWRITER_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) noexcept LAZYWRITER_ACQUIRE(mutex) : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() LAZYWRITER_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace lazywriter::detail
