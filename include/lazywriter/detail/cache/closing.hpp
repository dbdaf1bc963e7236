// The end of a cache: bounded in time, and nothing forgotten.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "lazywriter/cache_item.hpp"
#include "lazywriter/detail/base/call_scope.hpp"
#include "lazywriter/detail/base/clock.hpp"
#include "lazywriter/flush_result.hpp"

namespace lazywriter::detail {

/// The steps of close, once.
///
/// The last flush is made by the thread of the flush loop, while the caller of close keeps the
/// time: nothing that thread can be held up by, a log that blocks among it, holds up the caller. It
/// waits beyond its time only for the end of a transaction, since until then nobody knows what is
/// saved.
template <class Cache>
class Closing {
 public:
  using Item = typename Cache::item_type;

  /// Effect: see LazyWriterCache::close.
  CloseResult<Item> close(Cache& cache, std::chrono::milliseconds timeout) {
    const Clock::time_point deadline = detail::deadline_after(timeout);
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait_until(lock, deadline, [this] { return !under_way_; })) {
        lock.unlock();
        return unsaved_now(cache, "another close() is still saving it");
      }
      if (result_.has_value()) return *result_;
      under_way_ = true;
    }
    const UnderWay until_the_end{*this};
    cache.core_.refuse_writes();
    if (!stopped_) stop(cache, deadline);
    stopped_ = true;
    CloseResult<Item> result = unsaved_now(cache, flush_.error);
    // Both in one look at each shard: what is parked may still be discarded or made dirty again.
    flush_.parked = result.flush.parked;
    flush_.pending = result.flush.pending;
    result.flush = flush_;
    const std::lock_guard lock(mutex_);
    result_ = result;
    return result;
  }

  /// Effect: close without a result, for the destructor. Never throws.
  void close_quietly(Cache& cache, std::chrono::milliseconds timeout) noexcept {
    if (AdapterScope::active(&cache.core_)) return leave(cache, timeout);
    try {
      const bool told = result_.has_value();
      const std::size_t unsaved = told ? 0 : close(cache, timeout).unsaved.size();
      if (unsaved != 0) {
        cache.core_.store().warn("the cache is destroyed with " + std::to_string(unsaved) +
                                 " unsaved entries");
      }
    } catch (...) {
      cache.core_.store().warn("the cache is destroyed, and could not list what is unsaved");
    }
  }

 private:
  /// Effect: close for a thread that is inside of an adapter call, which std::exit has made the end
  /// of: it writes nothing, since the adapter may be in the middle of something, and waits for no
  /// other end of that call. The loops end, but for one that is this thread: it never comes back.
  void leave(Cache& cache, std::chrono::milliseconds timeout) noexcept {
    try {
      cache.core_.refuse_writes();
      cache.flusher_.abandon();
      if (!cache.flush_loop_.inside()) {
        // A call of another thread is waited for, but interrupted when the time is over.
        cache.flush_loop_.request_stop();
        if (!cache.flush_loop_.wait_until_done(detail::deadline_after(timeout))) {
          cache.core_.store().interrupt();
        }
      }
      cache.flush_loop_.join_unless_inside();
      cache.prune_loop_.join_unless_inside();
      cache.core_.store().warn("the cache is destroyed within a call of its adapter, with " +
                               std::to_string(cache.core_.shards().unsaved()) +
                               " unsaved entries; nothing is written any more");
    } catch (...) {
      cache.core_.store().warn("the cache is destroyed within a call of its adapter");
    }
  }

  /// Lets the next caller go on, whatever this one came to.
  struct UnderWay {
    Closing& closing;
    ~UnderWay() {
      {
        const std::lock_guard lock(closing.mutex_);
        closing.under_way_ = false;
      }
      closing.changed_.notify_all();
    }
  };

  /// How long a thread that is in no transaction any more may take to end. It needs some
  /// microseconds, unless it sits in the log.
  static constexpr std::chrono::milliseconds time_to_end{50};

  /// Effect: flushes, and ends both loops; a thread that does not end in time is left to the
  /// destructor. Afterwards no transaction is under way, nor will be.
  void stop(Cache& cache, Clock::time_point deadline) {
    cache.prune_loop_.request_stop();
    cache.flush_loop_.finish([this, &cache, deadline] {
      if (!cache.core_.config().flush_on_close) return;
      const auto halted = [&cache] { return cache.flusher_.halted(); };
      const auto pause = [](Clock::time_point until) { std::this_thread::sleep_until(until); };
      last_flush_ = cache.flusher_.flush_until(
          deadline, Cache::Flusher::Persist::while_others_are_pending, halted, pause);
    });
    bool ended = cache.flush_loop_.wait_until_done(deadline);
    cache.flusher_.halt();
    // Another thread may be flushing, too.
    if (!cache.flusher_.wait_for_transaction(deadline)) {
      cache.core_.store().interrupt();
      cache.flusher_.wait_for_transaction(Clock::time_point::max());
    }
    if (!ended) ended = cache.flush_loop_.wait_until_done(Clock::now() + time_to_end);
    if (ended) {
      cache.flush_loop_.join();
      flush_ = last_flush_;
    } else {
      flush_.error = "the last flush did not come to its end in time";
    }
    cache.prune_loop_.join();
  }

  static CloseResult<Item> unsaved_now(Cache& cache, const std::string& error) {
    CloseResult<Item> result;
    result.flush.pending = cache.core_.shards().sum([&](const auto& table) {
      result.flush.parked += table.parked();
      return table.slots() - table.parked();
    });
    result.flush.error = error;
    result.unsaved = cache.list_unsaved(Cache::Unsaved::all);
    for (auto& unsaved : result.unsaved) {
      if (unsaved.error.empty()) unsaved.error = error;
    }
    return result;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  bool under_way_ = false;
  std::optional<CloseResult<Item>> result_;
  // Used by the caller that is under way.
  bool stopped_ = false;
  FlushResult flush_;
  /// Written by the flush loop, before it ends.
  FlushResult last_flush_;
};

}  // namespace lazywriter::detail
