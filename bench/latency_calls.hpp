// Calls of a cache, each timed by itself, in peace or beside work on another thread.
#pragma once

#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench_item.hpp"
#include "percentiles.hpp"

namespace bench {

/// One kind of call, on one key after the other.
class Caller {
 public:
  enum class Kind { visit, put };

  Caller(Kind kind, const std::vector<std::string>& stream) : kind_(kind), stream_(stream) {}

  /// Effect: makes one call and notes how long it took.
  template <class AnyCache>
  void call(AnyCache& cache, Percentiles& percentiles) {
    const std::string& key = stream_[at_];
    if (++at_ == stream_.size()) at_ = 0;
    if (kind_ == Kind::visit) {
      const auto start = Clock::now();
      cache.visit(key, [this](const Account& account) { sum_ += account.balance; });
      note(percentiles, start);
    } else {
      Account account = make_account(key);
      const auto start = Clock::now();
      cache.put(std::move(account));
      note(percentiles, start);
    }
  }

  [[nodiscard]] double sum() const { return sum_; }

 private:
  using Clock = std::chrono::steady_clock;

  static void note(Percentiles& percentiles, Clock::time_point start) {
    percentiles.add(static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count()));
  }

  Kind kind_;
  const std::vector<std::string>& stream_;
  std::size_t at_ = 0;
  double sum_ = 0;
};

/// Percentiles as rare as the interrupts of a machine differ from run to run: where they are
/// compared, the median of this many counts.
constexpr int latency_repetitions = 3;

/// Effect: makes calls while nothing else is done.
template <class Cache>
void call_in_peace(Cache& cache, Caller& caller, Percentiles& percentiles) {
  for (std::size_t i = 0; i < 1'000'000; ++i)
    caller.call(cache, percentiles);
}

/// Effect: makes calls while `work` runs on another thread.
template <class Cache, class Work>
void call_during(Cache& cache, Caller& caller, Percentiles& percentiles, Work&& work) {
  std::atomic<bool> started{false};
  std::atomic<bool> over{false};
  std::thread worker([&] {
    started.store(true);
    work();
    over.store(true);
  });
  while (!started.load())
    std::this_thread::yield();
  while (!over.load(std::memory_order_relaxed))
    caller.call(cache, percentiles);
  worker.join();
}

inline void report(benchmark::State& state, const Percentiles& percentiles) {
  state.counters["p50"] = percentiles.at(0.5);
  state.counters["p99"] = percentiles.at(0.99);
  state.counters["p99_9"] = percentiles.at(0.999);
  state.counters["p99_99"] = percentiles.at(0.9999);
  state.counters["worst"] = percentiles.worst();
  state.counters["calls"] = static_cast<double>(percentiles.count());
}

}  // namespace bench
