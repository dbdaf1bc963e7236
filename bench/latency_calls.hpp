// Calls of a cache, each timed by itself, in peace or beside work on another thread.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
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

/// How long calls took, as a whole and stretch by stretch. A machine that is held up for some
/// hundredths of a second, by its host or by a neighbor, fills the thousandth part of all calls
/// with that; of the stretches it fills a few, and their median is what the cache does.
class CallTimes {
 public:
  void add(std::uint64_t nanoseconds) {
    stretch_.add(nanoseconds);
    if (stretch_.count() == stretch_calls) end_stretch();
  }

  /// Effect: sets the counters p50, p99 and p99_9, each the median over the stretches, and p99_99,
  /// worst and calls, of all calls.
  void report(benchmark::State& state) {
    if (typical_.front().values.empty()) note_stretch();
    all_.add(stretch_);
    for (auto& [name, share, values] : typical_)
      state.counters[name] = median(values);
    state.counters["p99_99"] = all_.at(0.9999);
    state.counters["worst"] = all_.worst();
    state.counters["calls"] = static_cast<double>(all_.count());
  }

 private:
  /// So many that ten of them are above p99.9, and so few that they take milliseconds.
  static constexpr std::uint64_t stretch_calls = 10'000;

  struct Typical {
    const char* name;
    double share;
    std::vector<double> values;  // one for each stretch
  };

  void note_stretch() {
    for (auto& [name, share, values] : typical_)
      values.push_back(stretch_.at(share));
  }
  void end_stretch() {
    note_stretch();
    all_.add(stretch_);
    stretch_ = {};
  }

  static double median(std::vector<double>& values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  }

  Percentiles all_;  // without the stretch under way
  Percentiles stretch_;
  std::array<Typical, 3> typical_{{{"p50", 0.5, {}}, {"p99", 0.99, {}}, {"p99_9", 0.999, {}}}};
};

/// One kind of call, on one key after the other.
class Caller {
 public:
  enum class Kind { visit, put };

  Caller(Kind kind, const std::vector<std::string>& stream) : kind_(kind), stream_(stream) {}

  /// Effect: makes one call and notes how long it took.
  template <class AnyCache>
  void call(AnyCache& cache, CallTimes& times) {
    // A copy: the caller of a cache has its key at hand, and does not fetch it from a long list.
    key_ = stream_[at_];
    if (++at_ == stream_.size()) at_ = 0;
    if (kind_ == Kind::visit) {
      const auto start = Clock::now();
      cache.visit(key_, [this](const Account& account) { sum_ += account.balance; });
      note(times, start);
    } else {
      Account account = make_account(key_);
      const auto start = Clock::now();
      cache.put(std::move(account));
      note(times, start);
    }
  }

  [[nodiscard]] double sum() const { return sum_; }

 private:
  using Clock = std::chrono::steady_clock;

  static void note(CallTimes& times, Clock::time_point start) {
    times.add(static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count()));
  }

  Kind kind_;
  const std::vector<std::string>& stream_;
  std::size_t at_ = 0;
  std::string key_;
  double sum_ = 0;
};

/// Effect: makes calls while nothing else is done.
template <class Cache>
void call_in_peace(Cache& cache, Caller& caller, CallTimes& times) {
  for (std::size_t i = 0; i < 1'000'000; ++i)
    caller.call(cache, times);
}

/// Effect: makes calls while `work` runs on another thread.
template <class Cache, class Work>
void call_during(Cache& cache, Caller& caller, CallTimes& times, Work&& work) {
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
    caller.call(cache, times);
  worker.join();
}

}  // namespace bench
