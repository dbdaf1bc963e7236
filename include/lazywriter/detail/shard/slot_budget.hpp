// The bound on unsaved entries: one exact number for the whole cache, dealt out in small credits.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

namespace lazywriter::detail {

/// The slots of max_dirty that no shard holds. Shards draw a few at a time (one shared counter
/// touched by every write would cost more than the write) and note that they have some left, so
/// that a writer that finds none collects them before it waits, and the bound is exact. Where there
/// are few slots for so many shards, none is kept in reserve.
///
/// Writers that wait stand in a queue. A slot that comes free goes to the first of them, which
/// alone is woken; no other thread takes one as long as somebody waits.
///
/// Lock order: a shard's lock may be held when calling anything but wait_until.
class SlotBudget {
 public:
  /// `limit`: all slots; 0 = unlimited. `shards`: how many draw from it. Throws: std::bad_alloc.
  SlotBudget(std::size_t limit, std::size_t shards)
      : unlimited_(limit == 0),
        credit_(std::min<std::size_t>(limit / (shards * 8), 32)),
        free_(limit),
        spare_((shards + shards_per_word - 1) / shards_per_word) {}

  [[nodiscard]] bool unlimited() const noexcept { return unlimited_; }
  /// How many a shard draws at once, and keeps at most twice of. 0: it draws single ones, and keeps
  /// none.
  [[nodiscard]] std::size_t credit() const noexcept { return credit_; }

  /// Effect: takes up to `wanted` slots, none while somebody waits. Returns: how many it got.
  std::size_t take(std::size_t wanted) noexcept {
    return waiters_.load() != 0 ? 0 : take_free(wanted);
  }

  /// Effect: returns slots: to those who wait, one each, the rest to all.
  void give(std::size_t slots) noexcept {
    if (slots == 0) return;
    free_.fetch_add(slots);
    serve();
  }

  /// Holds back, for its lifetime, what is given: those who wait are served at its end, all in one
  /// go. Otherwise the first of them would be back for its next slot before the last has its first,
  /// and every single slot would cost a thread its sleep.
  class GivingMany {
   public:
    explicit GivingMany(SlotBudget& budget) noexcept : budget_(budget) {
      budget_.giving_many_.fetch_add(1);
    }
    ~GivingMany() {
      budget_.giving_many_.fetch_sub(1);
      budget_.serve();
    }
    GivingMany(const GivingMany&) = delete;
    GivingMany& operator=(const GivingMany&) = delete;

   private:
    SlotBudget& budget_;
  };

  /// Whether somebody waits: then spare credits go back at once.
  [[nodiscard]] bool wanted() const noexcept { return waiters_.load() != 0; }

  /// How many waiters were woken so far.
  [[nodiscard]] std::uint64_t wakes() const noexcept { return wakes_.load(); }

  /// Effect: wakes all who wait, to ask again whether to stop.
  void wake_all() noexcept {
    const std::lock_guard lock(mutex_);
    for (Waiter* waiter = first_; waiter != nullptr; waiter = waiter->next_)
      waiter->changed_.notify_one();
  }

  // ---- which shards have spare credits

  /// Effect: notes whether the shard with that number has any. Under its lock, when that changes.
  void note_spare(std::size_t shard, bool any) noexcept {
    std::atomic<std::uint64_t>& word = spare_[shard / shards_per_word];
    const std::uint64_t bit = std::uint64_t{1} << (shard % shards_per_word);
    any ? word.fetch_or(bit) : word.fetch_and(~bit);
  }

  /// Effect: calls collect(shard) for every shard that has some. Complexity: linear in the number
  /// of those, and in a 64th of the number of shards.
  template <class Collect>
  void for_each_spare(Collect&& collect) const {
    for (std::size_t word = 0; word < spare_.size(); ++word) {
      for (std::uint64_t bits = spare_[word].load(); bits != 0; bits &= bits - 1)
        collect(word * shards_per_word + static_cast<std::size_t>(std::countr_zero(bits)));
    }
  }

  /// A place in the queue. It must be left, by destroying it, before the budget goes; a slot that
  /// it got and nobody took goes on to the next.
  class Waiter {
   public:
    /// Effect: stands at the end of the queue, or gets a slot at once.
    explicit Waiter(SlotBudget& budget) noexcept : budget_(budget) {
      const std::lock_guard lock(budget_.mutex_);
      budget_.enqueue(*this);
      budget_.hand_out();
    }
    ~Waiter() {
      {
        const std::lock_guard lock(budget_.mutex_);
        if (queued_) budget_.dequeue(*this);
      }
      if (granted_) budget_.give(1);
    }
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    /// Blocks until it has a slot, `stop()` holds or `deadline` has passed. Returns: whether it has
    /// one.
    template <class Stop>
    bool wait_until(std::chrono::steady_clock::time_point deadline, Stop stop) {
      std::unique_lock lock(budget_.mutex_);
      changed_.wait_until(lock, deadline, [&] { return granted_ || stop(); });
      return granted_;
    }

    [[nodiscard]] bool has_slot() const noexcept {
      const std::lock_guard lock(budget_.mutex_);
      return granted_;
    }

    /// Effect: hands over the slot it got, if any. Returns: whether it did. By the waiting thread.
    bool take_slot() noexcept {
      const std::lock_guard lock(budget_.mutex_);
      return std::exchange(granted_, false);
    }

   private:
    friend class SlotBudget;
    SlotBudget& budget_;
    std::condition_variable changed_;
    // All guarded by budget_.mutex_.
    Waiter* next_ = nullptr;
    Waiter* previous_ = nullptr;
    bool queued_ = false;
    bool granted_ = false;
  };

 private:
  static constexpr std::size_t shards_per_word = 64;

  std::size_t take_free(std::size_t wanted) noexcept {
    std::size_t available = free_.load();
    while (available != 0) {
      const std::size_t taken = std::min(wanted, available);
      if (free_.compare_exchange_weak(available, available - taken)) return taken;
    }
    return 0;
  }

  void serve() noexcept {
    if (waiters_.load() == 0) return;
    const std::lock_guard lock(mutex_);
    hand_out();
  }

  // Under mutex_:

  /// Effect: the first in the queue get what is free. A slot that is given and a waiter that comes
  /// do not miss each other: each first says that it is there, and then looks for the other.
  void hand_out() noexcept {
    while (first_ != nullptr && giving_many_.load() == 0 && take_free(1) == 1) {
      Waiter& waiter = *first_;
      dequeue(waiter);
      waiter.granted_ = true;
      wakes_.fetch_add(1);
      waiter.changed_.notify_one();
    }
  }
  void enqueue(Waiter& waiter) noexcept {
    waiter.queued_ = true;
    waiter.previous_ = last_;
    (last_ == nullptr ? first_ : last_->next_) = &waiter;
    last_ = &waiter;
    waiters_.fetch_add(1);
  }
  void dequeue(Waiter& waiter) noexcept {
    waiter.queued_ = false;
    (waiter.previous_ == nullptr ? first_ : waiter.previous_->next_) = waiter.next_;
    (waiter.next_ == nullptr ? last_ : waiter.next_->previous_) = waiter.previous_;
    waiter.next_ = waiter.previous_ = nullptr;
    waiters_.fetch_sub(1);
  }

  const bool unlimited_;
  const std::size_t credit_;
  std::atomic<std::size_t> free_;
  /// Those in the queue.
  std::atomic<std::size_t> waiters_{0};
  /// A bit for each shard: whether it has spare credits.
  std::vector<std::atomic<std::uint64_t>> spare_;
  std::atomic<std::uint64_t> wakes_{0};
  /// GivingMany that live.
  std::atomic<unsigned> giving_many_{0};
  std::mutex mutex_;
  // Guarded by mutex_: the queue.
  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
};

}  // namespace lazywriter::detail
