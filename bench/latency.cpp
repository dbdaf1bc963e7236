// How long single calls of visit and put take: in peace, during a flush, during a prune, and while
// the cache grows.
//
// Names are latency/OPERATION/SITUATION (store_*: beside the flush loop, the store being well,
// away, failing for now, or rejecting one item in a thousand); the counters are p50, p99, p99_9 (of
// 10,000 calls, in the median), p99_99 and worst (of all calls) in nanoseconds, reading the clock
// (some 25 ns) included. One thread makes the calls; the flush or prune of 100,000 items runs on a
// second one.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench_item.hpp"
#include "implementations.hpp"
#include "latency_calls.hpp"

namespace {

using bench::Account;
using bench::call_during;
using bench::call_in_peace;
using bench::Caller;
using bench::CallTimes;
using Cache = bench::Lazywriter::Cache;

// All of which are flushed. Of more, every call waits longer for memory, and an interrupt of the
// machine falls into more of a thousand calls, which is what p99.9 would tell then.
constexpr std::size_t residents = 100'000;
constexpr std::size_t background_items = 100'000;

const std::vector<std::string>& stream() {
  static const std::vector<std::string> kept = bench::make_requests(
      500'000, residents, bench::Distribution::uniform, bench::KeyLength::heap);
  return kept;
}

template <class AnyCache>
void fill(AnyCache& cache, std::size_t from, std::size_t to) {
  for (const std::uint64_t i : bench::shuffled(to - from))
    cache.put(bench::make_account(bench::make_key(from + i)));
}

void quiet(benchmark::State& state, Caller::Kind kind) {
  CallTimes times;
  for ([[maybe_unused]] auto _ : state) {
    Cache cache({}, bench::Lazywriter::settings(residents));
    fill(cache, 0, residents);
    Caller caller(kind, stream());
    call_in_peace(cache, caller, times);
    benchmark::DoNotOptimize(caller.sum());
  }
  times.report(state);
}

void during_flush(benchmark::State& state, Caller::Kind kind) {
  CallTimes times;
  for ([[maybe_unused]] auto _ : state) {
    Cache cache({}, bench::Lazywriter::settings(residents));
    fill(cache, 0, residents);
    cache.flush();
    Caller caller(kind, stream());
    for (int round = 0; round < 20; ++round) {
      cache.flush();
      fill(cache, 0, background_items);
      call_during(cache, caller, times, [&] { cache.flush(); });
    }
    benchmark::DoNotOptimize(caller.sum());
  }
  times.report(state);
}

void during_prune(benchmark::State& state, Caller::Kind kind) {
  CallTimes times;
  for ([[maybe_unused]] auto _ : state) {
    for (int round = 0; round < 10; ++round) {
      Cache cache({}, bench::Lazywriter::settings(residents));
      fill(cache, 0, residents + background_items);  // dirty, so that all of them stay
      cache.flush();
      Caller caller(kind, stream());
      call_during(cache, caller, times, [&] { cache.prune(); });
      benchmark::DoNotOptimize(caller.sum());
    }
  }
  times.report(state);
}

/// What is wrong with the store.
enum class StoreFault { none, away, fails, rejects };

/// Takes everything at once, or fails all the time.
class FaultyStore : public lazywriter::NoOpReaderWriter<Account> {
 public:
  explicit FaultyStore(StoreFault fault) : fault_(fault) {}

  transaction_type begin_tx() {
    if (fault_ == StoreFault::away) throw std::runtime_error("no connection");
    return {};
  }
  void save_batch(std::span<Account> accounts, transaction_type&) {
    if (fault_ == StoreFault::fails) throw std::runtime_error("the disk is full");
    if (fault_ == StoreFault::rejects &&
        std::any_of(accounts.begin(), accounts.end(), [](const Account& account) {
          return account.login.ends_with("777");  // one in a thousand
        })) {
      throw std::runtime_error("violates a constraint");
    }
  }
  static lazywriter::WriteFailure classify(const std::exception& error) {
    return std::string_view(error.what()) == "violates a constraint"
               ? lazywriter::WriteFailure::rejected
               : lazywriter::WriteFailure::transient;
  }

 private:
  StoreFault fault_;
};

/// With the flush loop running, on 100,000 unsaved items to begin with; every tenth call is a put.
void with_fault(benchmark::State& state, Caller::Kind kind, StoreFault fault) {
  CallTimes times;
  CallTimes ignored;
  for ([[maybe_unused]] auto _ : state) {
    lazywriter::CacheConfig config = bench::Lazywriter::settings(residents);
    config.flush_interval = std::chrono::milliseconds{10};
    lazywriter::LazyWriterCache cache(FaultyStore{fault}, config);
    fill(cache, 0, background_items);
    Caller caller(kind, stream());
    Caller writer(Caller::Kind::put, stream());
    for (std::size_t i = 0; i < 1'000'000; ++i) {
      caller.call(cache, times);
      if (i % 10 == 0) writer.call(cache, ignored);
    }
    benchmark::DoNotOptimize(caller.sum());
  }
  times.report(state);
}

/// New keys only. `expected`: what the capacity makes the cache reserve; 0 = nothing.
void growing(benchmark::State& state, std::size_t expected) {
  constexpr std::size_t grown = 1'000'000;
  std::vector<std::string> keys;
  for (const std::uint64_t i : bench::shuffled(grown))
    keys.push_back(bench::make_key(i));
  CallTimes times;
  for ([[maybe_unused]] auto _ : state) {
    Cache cache({}, bench::Lazywriter::settings(expected));
    Caller caller(Caller::Kind::put, keys);
    for (std::size_t i = 0; i < grown; ++i)
      caller.call(cache, times);
  }
  times.report(state);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const bench::IdleThread idle;
  const auto add = [](const std::string& name, auto&& run) {
    benchmark::RegisterBenchmark(("latency/" + name).c_str(), run)
        ->Iterations(1)
        ->Unit(benchmark::kMillisecond);
  };
  // First: what other measurements free, the system takes back a while later, and a virtual machine
  // gives it to its host. That holds up who asks for memory then, for tens of milliseconds.
  add("put/grow_reserved", [](auto& state) { growing(state, 1'000'000); });
  add("put/grow_not_reserved", [](auto& state) { growing(state, 0); });
  using Kind = Caller::Kind;
  for (const auto& [name, kind] : {std::pair{"visit", Kind::visit}, std::pair{"put", Kind::put}}) {
    const std::string operation = name;
    add(operation + "/quiet", [kind = kind](auto& state) { quiet(state, kind); });
    add(operation + "/flush_noop", [kind = kind](auto& state) { during_flush(state, kind); });
    add(operation + "/prune", [kind = kind](auto& state) { during_prune(state, kind); });
    for (const auto& [situation, fault] :
         {std::pair{"store_well", StoreFault::none}, std::pair{"store_away", StoreFault::away},
          std::pair{"store_fails", StoreFault::fails},
          std::pair{"store_rejects", StoreFault::rejects}}) {
      add(operation + '/' + situation,
          [kind = kind, fault = fault](auto& state) { with_fault(state, kind, fault); });
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
