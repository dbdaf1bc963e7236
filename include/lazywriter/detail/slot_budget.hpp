// The bound on unsaved entries: one exact number for the whole cache, dealt out in small credits.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace lazywriter::detail {

/// The slots of max_dirty that no shard holds. Shards draw a few at a time (one shared counter
/// touched by every write would cost more than the write); a writer that finds none collects the
/// shards' spare ones before it waits, so that the bound is exact. Lock order: a shard's lock may
/// be held when calling take and give, but not wait.
class SlotBudget {
 public:
  /// `limit`: all slots; 0 = unlimited. `shards`: how many draw from it.
  SlotBudget(std::size_t limit, std::size_t shards) noexcept
      : unlimited_(limit == 0),
        credit_(std::clamp<std::size_t>(limit / (shards * 8), 1, 32)),
        free_(limit) {}

  [[nodiscard]] bool unlimited() const noexcept { return unlimited_; }
  /// How many a shard draws at once, and keeps at most twice of.
  [[nodiscard]] std::size_t credit() const noexcept { return credit_; }

  /// Effect: takes up to `wanted` slots. Returns: how many it got.
  std::size_t take(std::size_t wanted) noexcept {
    std::size_t available = free_.load();
    while (available != 0) {
      const std::size_t taken = std::min(wanted, available);
      if (free_.compare_exchange_weak(available, available - taken)) return taken;
    }
    return 0;
  }

  /// Effect: returns slots and wakes who waits for one.
  void give(std::size_t slots) noexcept {
    if (slots == 0) return;
    free_.fetch_add(slots);
    if (waiters_.load() != 0) wake();
  }

  /// Whether somebody waits: then spare credits go back at once.
  [[nodiscard]] bool wanted() const noexcept { return waiters_.load() != 0; }

  /// Effect: wakes all who wait, to look again.
  void wake() noexcept {
    // Taking the mutex orders this after a waiter's look at its condition.
    { const std::lock_guard lock(mutex_); }
    freed_.notify_all();
  }

  /// Registers a waiter before it collects spare credits, so that none is hidden from it
  /// afterwards.
  class Waiter {
   public:
    explicit Waiter(SlotBudget& budget) noexcept : budget_(budget) {
      budget_.waiters_.fetch_add(1);
    }
    ~Waiter() { budget_.waiters_.fetch_sub(1); }
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    /// Blocks until a slot becomes free, `stop()` holds or `deadline` has passed. Somebody else may
    /// have taken that slot: whoever waits is told all the same, since the writer who waits is the
    /// one who asks for the next flush. Returns: false when the deadline passed.
    template <class Stop>
    bool wait_until(std::chrono::steady_clock::time_point deadline, Stop stop) {
      std::unique_lock lock(budget_.mutex_);
      const auto over = [&] { return budget_.free_.load() != 0 || stop(); };
      return over() || budget_.freed_.wait_until(lock, deadline) == std::cv_status::no_timeout ||
             over();
    }

   private:
    SlotBudget& budget_;
  };

 private:
  const bool unlimited_;
  const std::size_t credit_;
  std::atomic<std::size_t> free_;
  std::atomic<std::size_t> waiters_{0};
  std::mutex mutex_;
  std::condition_variable freed_;
};

}  // namespace lazywriter::detail
