// The write side of the loop: passes over what is dirty, one at a time.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <utility>

#include "lazywriter/cache_config.hpp"
#include "lazywriter/detail/base/backoff.hpp"
#include "lazywriter/detail/base/clock.hpp"
#include "lazywriter/detail/base/periodic_worker.hpp"
#include "lazywriter/detail/flush/flush_meter.hpp"
#include "lazywriter/detail/flush/flush_pass.hpp"
#include "lazywriter/detail/flush/flush_token.hpp"
#include "lazywriter/detail/shard/shard_set.hpp"
#include "lazywriter/detail/store/store_caller.hpp"
#include "lazywriter/flush_result.hpp"

namespace lazywriter::detail {

/// Writes what is dirty: when, for how long, and one at a time.
template <class Item, class ReaderWriter>
class Flusher {
 public:
  using Store = StoreCaller<Item, ReaderWriter>;
  using Deadline = FlushToken::Deadline;

  /// `wake_loop` is called, with the flush token held, when the loop has less to wait for than
  /// before; it must not throw.
  Flusher(ShardSet<Item>& shards, Store& store, const CacheConfig& config,
          std::function<void()> wake_loop)
      : shards_(shards),
        config_(config),
        wake_loop_(std::move(wake_loop)),
        passes_(shards, store, config) {}

  /// Effect: one pass over everything that is dirty now, after the one under way. Never throws.
  FlushResult flush_once(const Deadline& deadline) noexcept {
    FlushResult result;
    flush_pass(shards_.clock().tick(), shards_.unsaved(), deadline, result);
    return result;
  }

  /// Whether a flush of several passes waits for what fails alone.
  enum class Persist { until_all_is_through, while_others_are_pending };

  /// Effect: passes until everything that is dirty now is committed or parked (or, by `persist`,
  /// has failed alone), `deadline` has passed or `stop()` holds; `pause(until)` waits between two.
  /// Never throws.
  template <class Stop, class Pause>
  FlushResult flush_until(Clock::time_point deadline, Persist persist, Stop stop,
                          Pause pause) noexcept {
    FlushResult result;
    const Stamp cutoff = shards_.clock().tick();
    const std::size_t unsaved_before = shards_.unsaved();
    Backoff backoff(config_.retry_backoff_min, config_.retry_backoff_max);
    for (unsigned failures = 1;; ++failures) {
      const std::size_t done_before = result.written + result.erased;
      const std::size_t alone = flush_pass(cutoff, unsaved_before, deadline, result);
      const std::size_t awaited =
          result.pending - (persist == Persist::while_others_are_pending ? alone : 0);
      if (awaited == 0 || Clock::now() >= deadline || stop()) return result;
      if (result.written + result.erased != done_before) failures = 1;
      pause(std::min(deadline, Clock::now() + backoff.after(failures)));
    }
  }

  /// Effect: one pass of the loop, which leaves alone what is not due and keeps the backoff.
  /// Returns: when to run next. Never throws.
  PeriodicWorker::Turn run_loop_pass() noexcept {
    const Clock::time_point started = Clock::now();
    const FlushToken::Hold token(token_, std::nullopt);
    const auto backed_off = [this]() -> PeriodicWorker::Turn {
      return {passes_.retry().not_before(), passes_.retry().not_before()};
    };
    if (!token) return Clock::time_point::max();
    if (Clock::now() < passes_.retry().not_before()) return backed_off();
    if (passes_.halted()) return Clock::time_point::max();
    FlushResult ignored;
    FlushPass pass{
        .only_due = true, .deadline = {}, .cutoff = shards_.clock().tick(), .result = ignored};
    passes_.run(pass);
    if (pass.made_way) return Clock::now();
    // A writer that waits for a slot must not wait for a long interval after a short failure.
    if (passes_.retry().store_failed() && passes_.retry().not_before() > Clock::now()) {
      return backed_off();
    }
    // It goes on while more is dirty than wakes it, and it gets on.
    if (passes_.retry().committed() && shards_.any_crowded()) return Clock::now();
    const Clock::time_point by_interval = std::max(started + config_.flush_interval, Clock::now());
    return std::max(passes_.retry().not_before(), std::min(by_interval, pass.next_due));
  }

  /// Effect: no transaction begins from now on; passes under way end as soon as the call under way
  /// does.
  void halt() noexcept { passes_.halting().halt(); }
  [[nodiscard]] bool halted() const noexcept { return passes_.halted(); }
  /// Effect: halt, and nobody waits for the pass under way any more: its thread will not return.
  void abandon() noexcept {
    halt();
    token_.retire();
  }
  /// Blocks until no transaction is under way whose outcome the entries do not know, or until
  /// `deadline`. Returns: whether that holds. After halt(), it does for good.
  bool wait_for_transaction(Clock::time_point deadline) noexcept {
    return passes_.halting().wait_for_the_last(deadline);
  }

  [[nodiscard]] FlushCounters counters() const noexcept { return passes_.counters(); }

 private:
  /// `unsaved_before`: what was unsaved or parked at `cutoff`; no more than that can be pending.
  /// Returns: how many of those that are pending failed alone although the store takes others.
  std::size_t flush_pass(Stamp cutoff, std::size_t unsaved_before, const Deadline& deadline,
                         FlushResult& result) noexcept {
    const FlushToken::Hold token(token_, deadline);
    result.pending = 0;
    result.parked = 0;
    if (token && !passes_.halted()) {
      FlushPass pass{.only_due = false, .deadline = deadline, .cutoff = cutoff, .result = result};
      const Clock::time_point loop_waits_for = passes_.retry().not_before();
      passes_.run(pass);
      if (passes_.retry().not_before() < loop_waits_for) wake_loop_();
      return pass.pending_alone;
    }
    result.pending = shards_.sum([&](const auto& table) {
      result.parked += table.parked();
      return table.unsaved_by(cutoff);
    });
    result.pending = std::min(result.pending, unsaved_before);
    return 0;
  }

  ShardSet<Item>& shards_;
  const CacheConfig& config_;
  const std::function<void()> wake_loop_;
  FlushToken token_;
  /// Used by the holder of token_, but for what any thread may call.
  FlushPassRunner<Item, Store> passes_;
};

}  // namespace lazywriter::detail
