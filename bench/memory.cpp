// What a resident item costs beyond itself.
//
// Names are memory/IMPLEMENTATION/RESIDENTS; `overhead_bytes` is what the heap holds per item
// beyond sizeof(Account) and the heap block of its key, with what malloc adds to each block.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <memory>
#include <string>

#include "allocation_count.hpp"
#include "implementations.hpp"

namespace {

template <class Impl>
void measure(benchmark::State& state, std::size_t residents) {
  double overhead = 0;
  for ([[maybe_unused]] auto _ : state) {
    const std::ptrdiff_t before_key = bench::allocated_bytes();
    const std::string key = bench::make_key(0);
    const std::ptrdiff_t key_block = bench::allocated_bytes() - before_key;

    const std::vector<std::uint64_t> numbers = bench::shuffled(residents);
    const std::ptrdiff_t before = bench::allocated_bytes();
    auto impl = std::make_unique<Impl>(residents);
    for (const std::uint64_t i : numbers)
      impl->put(bench::make_account(bench::make_key(i)));
    if constexpr (Impl::tracks_changes) impl->drain();
    const auto per_item =
        static_cast<double>(bench::allocated_bytes() - before) / static_cast<double>(residents);
    overhead =
        per_item - static_cast<double>(sizeof(bench::Account)) - static_cast<double>(key_block);
  }
  state.counters["overhead_bytes"] = overhead;
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  for (const std::size_t residents : {20'000U, 100'000U, 1'000'000U}) {
    bench::for_each_implementation([&]<class Impl>() {
      // These two allocate by their own allocators, which operator new does not see.
      const std::string name = Impl::name;
      if (name == "tbb" || name == "libcuckoo") return;
      benchmark::RegisterBenchmark(
          ("memory/" + name + '/' + std::to_string(residents)).c_str(),
          [=](benchmark::State& state) { measure<Impl>(state, residents); })
          ->Iterations(1)
          ->Unit(benchmark::kMillisecond);
    });
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
