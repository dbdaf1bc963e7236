// The end of a cache: bounded in time, and nothing forgotten.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "lazywriter/cache_item.hpp"
#include "lazywriter/detail/call_scope.hpp"
#include "lazywriter/detail/entry.hpp"
#include "lazywriter/flush_result.hpp"

namespace lazywriter::detail {

/// Keeps the time: halts the flusher, and interrupts an adapter that can be, at a deadline unless
/// it is destroyed before.
template <class Cut>
class DeadlineGuard {
 public:
  /// Throws: std::system_error when no thread can be started.
  DeadlineGuard(Clock::time_point deadline, Cut cut)
      : cut_(std::move(cut)), thread_([this, deadline](const std::stop_token& stop) {
          std::unique_lock lock(mutex_);
          if (!changed_.wait_until(lock, deadline, [&] { return stop.stop_requested(); })) cut_();
        }) {}

  ~DeadlineGuard() {
    thread_.request_stop();
    { const std::lock_guard lock(mutex_); }
    changed_.notify_all();
  }

  DeadlineGuard(const DeadlineGuard&) = delete;
  DeadlineGuard& operator=(const DeadlineGuard&) = delete;

 private:
  Cut cut_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Last: it uses all of the above.
  std::jthread thread_;
};

/// The steps of close, once.
template <class Cache>
class Closing {
 public:
  using Item = typename Cache::item_type;

  /// Effect: see LazyWriterCache::close.
  CloseResult<Item> close(Cache& cache, std::chrono::milliseconds timeout) {
    const std::lock_guard lock(close_mutex_);
    if (result_.has_value()) return *result_;
    cache.core_.refuse_writes();
    if (!stopped_) flush_ = stop(cache, detail::deadline_after(timeout));
    stopped_ = true;
    CloseResult<Item> result{flush_, cache.list_unsaved(false)};
    for (auto& unsaved : result.unsaved) {
      if (unsaved.error.empty()) unsaved.error = flush_.error;  // no transaction could begin
    }
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
        cache.core_.gate().warn("lazywriter: the cache is destroyed with " +
                                std::to_string(unsaved) + " unsaved entries");
      }
    } catch (...) {
      cache.core_.gate().warn(
          "lazywriter: the cache is destroyed, and could not list what is unsaved");
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
      // A call of another thread is waited for, but interrupted when the time is over.
      const auto cut = [&cache]() noexcept { cache.core_.gate().interrupt(); };
      const DeadlineGuard<decltype(cut)> guard(detail::deadline_after(timeout), cut);
      cache.flush_loop_.join_unless_inside();
      cache.prune_loop_.join_unless_inside();
      cache.core_.gate().warn(
          "lazywriter: the cache is destroyed within a call of its adapter, with " +
          std::to_string(cache.core_.shards().unsaved()) +
          " unsaved entries; nothing is written any more");
    } catch (...) {
      cache.core_.gate().warn("lazywriter: the cache is destroyed within a call of its adapter");
    }
  }

  FlushResult stop(Cache& cache, Clock::time_point deadline) {
    const auto cut = [&cache]() noexcept {
      cache.flusher_.halt();
      cache.core_.gate().interrupt();
    };
    std::optional<DeadlineGuard<decltype(cut)>> guard;
    try {
      guard.emplace(deadline, cut);
    } catch (...) {
      cut();  // no thread to keep the time: rather hand everything back than wait without bound
    }
    cache.prune_loop_.request_stop();
    cache.flush_loop_.request_stop();

    FlushResult result;
    if (cache.core_.config().flush_on_close) {
      const auto halted = [&cache] { return cache.flusher_.halted(); };
      const auto pause = [](Clock::time_point until) { std::this_thread::sleep_until(until); };
      result = cache.flusher_.flush_until(deadline, halted, pause);
    }
    cache.flusher_.halt();
    cache.flusher_.wait_idle(std::nullopt);
    guard.reset();
    cache.flush_loop_.join();
    cache.prune_loop_.join();
    // Both in one look at each shard: what is parked may still be discarded or made dirty again.
    result.parked = 0;
    result.pending = cache.core_.shards().sum([&](const auto& table) {
      result.parked += table.parked();
      return table.slots() - table.parked();
    });
    return result;
  }

  std::mutex close_mutex_;
  // All guarded by close_mutex_.
  bool stopped_ = false;
  FlushResult flush_;
  std::optional<CloseResult<Item>> result_;
};

}  // namespace lazywriter::detail
