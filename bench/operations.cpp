// Time and allocations per operation: the cache beside a raw map, a naive port and concurrent maps.
//
// Names are OPERATION/IMPLEMENTATION/RESIDENTS/DISTRIBUTION/KEYS[/threads:N]. `wall_ns` is the time
// that passed per operation, all threads together; `allocations` counts calls of operator new per
// operation, the ones of the caller who builds an item included. For each set of residents all
// implementations are kept side by side and take turns, so that a disturbance of the machine hits
// all of them.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "allocation_count.hpp"
#include "implementations.hpp"

namespace {

using bench::Account;
using bench::Distribution;
using bench::KeyLength;

struct Scale {
  std::size_t residents = 0;
  KeyLength keys = KeyLength::heap;
  bool operator==(const Scale&) const = default;
};

/// The scale that implementations are filled to just now, and what empties them again.
struct Filled {
  static inline std::mutex mutex;
  static inline Scale scale;
  static inline std::vector<std::function<void()>> reset;
};

/// The implementation filled with `scale` items; built on first use. All are emptied before one is
/// filled to another scale: what the old ones leave of the heap must not decide how far apart the
/// new ones' keys and nodes lie. Any thread.
template <class Impl>
Impl& filled(const Scale& scale) {
  static std::unique_ptr<Impl> impl;
  const std::lock_guard lock(Filled::mutex);
  if (!(Filled::scale == scale)) {
    for (const auto& reset : Filled::reset)
      reset();
    Filled::reset.clear();
    Filled::scale = scale;
  }
  if (impl == nullptr) {
    impl = std::make_unique<Impl>(scale.residents);
    Filled::reset.emplace_back([] { impl.reset(); });
    for (const std::uint64_t i : bench::shuffled(scale.residents))
      impl->put(bench::make_account(bench::make_key(i, scale.keys)));
    if constexpr (Impl::tracks_changes) impl->drain();
  }
  return *impl;
}

/// Requests for resident keys; kept until others are asked for. Any thread.
const std::vector<std::string>& requests(const Scale& scale, Distribution distribution) {
  static std::mutex mutex;
  static std::array<std::pair<Scale, std::vector<std::string>>, 2> kept;
  const std::lock_guard lock(mutex);
  auto& [kept_for, stream] = kept.at(static_cast<std::size_t>(distribution));
  if (!(kept_for == scale)) {
    const std::size_t length = std::min<std::size_t>(scale.residents * 4, 1'000'000);
    stream = bench::make_requests(length, scale.residents, distribution, scale.keys);
    kept_for = scale;
  }
  return stream;
}

/// Requests for keys that nobody put. Any thread.
const std::vector<std::string>& unknown(const Scale& scale) {
  static std::mutex mutex;
  static std::pair<Scale, std::vector<std::string>> kept;
  const std::lock_guard lock(mutex);
  if (!(kept.first == scale)) {
    kept.second.clear();
    for (const std::uint64_t i : bench::shuffled(std::min<std::size_t>(scale.residents, 250'000)))
      kept.second.push_back(bench::make_key(scale.residents + i, scale.keys));
    kept.first = scale;
  }
  return kept.second;
}

// ---- the operations

struct Visit {
  static constexpr const char* name = "visit";
  template <class Impl>
  static void run(Impl& impl, const std::string& key, std::size_t, Account& out) {
    impl.visit(key, [&](const Account& account) { out.balance += account.balance; });
  }
};
struct Get {
  static constexpr const char* name = "get";
  template <class Impl>
  static void run(Impl& impl, const std::string& key, std::size_t, Account& out) {
    out.balance += impl.get(key)->balance;
  }
};
struct GetInto {
  static constexpr const char* name = "get_into";
  template <class Impl>
  static void run(Impl& impl, const std::string& key, std::size_t, Account& out) {
    impl.get_into(key, out);
  }
};
struct Put {
  static constexpr const char* name = "put";
  template <class Impl>
  static void run(Impl& impl, const std::string& key, std::size_t, Account&) {
    impl.put(bench::make_account(key));
  }
};
struct Update {
  static constexpr const char* name = "update";
  template <class Impl>
  static void run(Impl& impl, const std::string& key, std::size_t, Account&) {
    impl.update(key, [](Account& account) { account.balance += 1; });
  }
};
/// Nine visits, one put.
struct Mix {
  static constexpr const char* name = "mix";
  template <class Impl>
  static void run(Impl& impl, const std::string& key, std::size_t i, Account& out) {
    if (i % 10 == 0) {
      Put::run(impl, key, i, out);
    } else {
      Visit::run(impl, key, i, out);
    }
  }
};
struct PutDrain {
  static constexpr const char* name = "put_drain";
  template <class Impl>
  static void run(Impl& impl, const std::string& key, std::size_t i, Account& out) {
    Put::run(impl, key, i, out);
    if (i % 1'000 == 0) impl.drain();
  }
};

void count_allocations(benchmark::State& state, std::size_t allocations) {
  state.counters["allocations"] =
      benchmark::Counter(static_cast<double>(allocations), benchmark::Counter::kAvgIterations);
}

/// The time from the first operation of any thread to the last one of all: with more threads than
/// processors the threads' own times begin late and end early.
class WallTime {
 public:
  /// By one thread, before any of them begins.
  void reset() noexcept { start_.store(never); }
  void begin() noexcept {
    const std::int64_t now = time();
    std::int64_t start = start_.load();
    while (now < start && !start_.compare_exchange_weak(start, now)) {
    }
  }
  /// Returns: the nanoseconds since the first begin().
  [[nodiscard]] double passed() const noexcept {
    return static_cast<double>(time() - start_.load());
  }

 private:
  static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
  static std::int64_t time() noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  std::atomic<std::int64_t> start_{never};
};

template <class Operation, class Impl>
void measure(benchmark::State& state, const Scale& scale, Distribution distribution) {
  Impl& impl = filled<Impl>(scale);
  const std::vector<std::string>& stream = requests(scale, distribution);
  const auto thread = static_cast<std::size_t>(state.thread_index());
  const auto threads = static_cast<std::size_t>(state.threads());
  std::size_t at = stream.size() / threads * thread;
  std::size_t i = 0;
  Account out = bench::make_account(bench::make_key(0));
  if constexpr (std::is_same_v<Operation, PutDrain>) impl.drain();  // what others changed before
  static WallTime wall;
  if (thread == 0) wall.reset();
  const std::size_t before = bench::allocations();
  for ([[maybe_unused]] auto _ : state) {
    if (i == 0) wall.begin();
    Operation::run(impl, stream[at], ++i, out);
    if (++at == stream.size()) at = 0;
  }
  // All threads are through here: the loop ends by a barrier.
  const double passed = wall.passed();
  const std::size_t allocations = bench::allocations() - before;
  benchmark::DoNotOptimize(out);
  if (thread == 0) {
    state.counters["wall_ns"] =
        passed / static_cast<double>(state.iterations()) / static_cast<double>(threads);
  }
  count_allocations(state, allocations);
}

/// New keys put into one map before the next one is filled.
std::int64_t new_per_batch(const Scale& scale) {
  return static_cast<std::int64_t>(scale.residents / 4);
}

template <class Impl>
void measure_miss(benchmark::State& state, const Scale& scale) {
  Impl& impl = filled<Impl>(scale);
  const std::vector<std::string>& stream = unknown(scale);
  std::size_t at = 0;
  double sum = 0;
  const std::size_t before = bench::allocations();
  for ([[maybe_unused]] auto _ : state) {
    impl.visit(stream[at], [&](const Account& account) { sum += account.balance; });
    if (++at == stream.size()) at = 0;
  }
  const std::size_t allocations = bench::allocations() - before;
  benchmark::DoNotOptimize(sum);
  count_allocations(state, allocations);
}

/// Keys that are new, into a map that has room for them.
template <class Impl>
void measure_put_new(benchmark::State& state, const Scale& scale) {
  const std::vector<std::string>& stream = unknown(scale);
  const auto batch = static_cast<std::size_t>(new_per_batch(scale));
  std::size_t allocations = 0;
  while (state.KeepRunningBatch(new_per_batch(scale))) {
    Impl impl(scale.residents + batch);
    for (const std::uint64_t i : bench::shuffled(scale.residents))
      impl.put(bench::make_account(bench::make_key(i, scale.keys)));
    if constexpr (Impl::tracks_changes) impl.drain();
    const std::size_t before = bench::allocations();
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < batch; ++i)
      impl.put(bench::make_account(stream[i]));
    state.SetIterationTime(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    allocations += bench::allocations() - before;
  }
  count_allocations(state, allocations);
}

// ---- which of them

std::string full_name(const char* operation, const char* implementation, const Scale& scale,
                      Distribution distribution) {
  std::string name = operation;
  for (const std::string& part :
       {std::string(implementation), std::to_string(scale.residents),
        std::string(name_of(distribution)), std::string(name_of(scale.keys))}) {
    name += '/' + part;
  }
  return name;
}

template <class Operation>
void add(const Scale& scale, Distribution distribution, int threads) {
  bench::for_each_implementation([&]<class Impl>() {
    if (threads > 1 && !Impl::concurrent) return;
    if constexpr (Impl::tracks_changes || !std::is_same_v<Operation, PutDrain>) {
      benchmark::RegisterBenchmark(
          full_name(Operation::name, Impl::name, scale, distribution).c_str(),
          [=](benchmark::State& state) { measure<Operation, Impl>(state, scale, distribution); })
          ->Threads(threads)
          ->UseRealTime();
    }
  });
}

void add_miss_and_put_new(const Scale& scale) {
  bench::for_each_implementation([&]<class Impl>() {
    benchmark::RegisterBenchmark(
        full_name("miss", Impl::name, scale, Distribution::uniform).c_str(),
        [=](benchmark::State& state) { measure_miss<Impl>(state, scale); })
        ->UseRealTime();
  });
  bench::for_each_implementation([&]<class Impl>() {
    const std::int64_t batches = std::max<std::int64_t>(1, 50'000 / new_per_batch(scale));
    benchmark::RegisterBenchmark(
        full_name("put_new", Impl::name, scale, Distribution::uniform).c_str(),
        [=](benchmark::State& state) { measure_put_new<Impl>(state, scale); })
        ->Iterations(batches * new_per_batch(scale))
        ->UseManualTime();
  });
}

void add_all() {
  for (const std::size_t residents : {20'000U, 100'000U, 1'000'000U}) {
    const Scale scale{residents, KeyLength::heap};
    add<Visit>(scale, Distribution::uniform, 1);
    add<Get>(scale, Distribution::uniform, 1);
    add<GetInto>(scale, Distribution::uniform, 1);
    add<Put>(scale, Distribution::uniform, 1);
    add<Update>(scale, Distribution::uniform, 1);
    add<Mix>(scale, Distribution::uniform, 1);
    add<PutDrain>(scale, Distribution::uniform, 1);
    add_miss_and_put_new(scale);
    if (residents > 20'000) {
      add<Visit>(scale, Distribution::zipf, 1);
      add<Get>(scale, Distribution::zipf, 1);
      add<Put>(scale, Distribution::zipf, 1);
      add<Mix>(scale, Distribution::zipf, 1);
    }
    if (residents < 1'000'000) {
      for (const int threads : {2, 4, 8}) {
        add<Visit>(scale, Distribution::uniform, threads);
        add<Get>(scale, Distribution::uniform, threads);
        add<Put>(scale, Distribution::uniform, threads);
        add<Mix>(scale, Distribution::uniform, threads);
        add<Mix>(scale, Distribution::zipf, threads);
      }
    }
  }
  const Scale short_keys{100'000, KeyLength::sso};
  add<Visit>(short_keys, Distribution::uniform, 1);
  add<Get>(short_keys, Distribution::uniform, 1);
  add<GetInto>(short_keys, Distribution::uniform, 1);
  add<Put>(short_keys, Distribution::uniform, 1);
  add<Mix>(short_keys, Distribution::uniform, 1);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const bench::IdleThread idle;
  add_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
