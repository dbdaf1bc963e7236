// The cache's own part of a flush: snapshot and merge back, with a store that takes everything at
// once.
//
// Names are flush_overhead/RESIDENTS/DIRTY; the time is per item written. It should depend on
// neither.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench_item.hpp"
#include "implementations.hpp"

namespace {

void measure(benchmark::State& state, std::size_t residents, std::size_t dirty) {
  bench::Lazywriter::Cache cache({}, bench::Lazywriter::settings(residents));
  const std::vector<std::uint64_t> numbers = bench::shuffled(residents);
  for (const std::uint64_t i : numbers)
    cache.put(bench::make_account(bench::make_key(i)));
  cache.flush();
  std::size_t at = 0;
  while (state.KeepRunningBatch(static_cast<std::int64_t>(dirty))) {
    for (std::size_t i = 0; i < dirty; ++i) {
      cache.put(bench::make_account(bench::make_key(numbers[at])));
      if (++at == residents) at = 0;
    }
    const auto start = std::chrono::steady_clock::now();
    cache.flush();
    state.SetIterationTime(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const bench::IdleThread idle;
  struct Case {
    std::size_t residents;
    std::size_t dirty;
  };
  for (const Case c : {Case{100'000, 1'000}, Case{100'000, 10'000}, Case{100'000, 100'000},
                       Case{1'000'000, 1'000}, Case{1'000'000, 100'000}}) {
    const std::string name =
        "flush_overhead/" + std::to_string(c.residents) + '/' + std::to_string(c.dirty);
    benchmark::RegisterBenchmark(
        name.c_str(), [=](benchmark::State& state) { measure(state, c.residents, c.dirty); })
        ->Iterations(static_cast<std::int64_t>(std::max<std::size_t>(200'000, 2 * c.dirty)))
        ->UseManualTime();
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
