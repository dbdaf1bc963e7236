// Rows per second into PostgreSQL: a flush of the cache beside the other ways to write the same
// rows, with COPY as the limit. Needs DATABASE_URL (cmake/throwaway_postgres.sh sets one).
//
// Names are flush_postgres/WRITE/WAY/BATCH/NETWORK: insert or update, how, rows per transaction,
// and local or rtt_1ms (a proxy makes every round trip 1 ms longer); `rows_per_s` is the result.
// Then latency/OPERATION/flush_postgres as in latency.cpp, during a flush of 100,000 items, and
// quiet_postgres beside it.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bench_item.hpp"
#include "delay_proxy.hpp"
#include "implementations.hpp"
#include "latency_calls.hpp"
#include "postgres_baselines.hpp"

#if __has_include("lazywriter/pqxx_reader_writer.hpp")
#include "lazywriter/pqxx_reader_writer.hpp"
#define LAZYWRITER_BENCH_PQXX 1
#endif

namespace {

using bench::Account;
using bench::Baselines;
using Seconds = std::chrono::duration<double>;

std::vector<Account> make_accounts(std::size_t count, double balance) {
  std::vector<Account> accounts;
  for (const std::uint64_t i : bench::shuffled(count))
    accounts.push_back(bench::make_account(bench::make_key(i), balance));
  return accounts;
}

enum class Write { insert, update };

const char* name_of(Write write) {
  return write == Write::insert ? "insert" : "update";
}

void report_rows(benchmark::State& state, std::size_t rows, Seconds time) {
  state.SetIterationTime(time.count());
  state.counters["rows_per_s"] = static_cast<double>(rows) / time.count();
}

/// Writes `rows` accounts in transactions of `batch` by one of Baselines' members.
void measure_baseline(benchmark::State& state, Baselines& tables, Baselines& through, Write write,
                      std::size_t rows, std::size_t batch,
                      void (Baselines::*way)(std::span<Account>)) {
  for ([[maybe_unused]] auto _ : state) {
    tables.empty();
    if (write == Write::update) {
      std::vector<Account> before = make_accounts(rows, 1.0);
      tables.copy(before);
    }
    std::vector<Account> accounts = make_accounts(rows, 2.5);
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t at = 0; at < rows; at += batch)
      (through.*way)(std::span(accounts).subspan(at, std::min(batch, rows - at)));
    report_rows(state, rows, std::chrono::steady_clock::now() - start);
  }
  if (tables.rows() != rows) state.SkipWithError("rows are missing");
}

#ifdef LAZYWRITER_BENCH_PQXX
constexpr auto table = lazywriter::pg::table<Account>(
    "lazywriter_bench", lazywriter::pg::key(&Account::login, "login"),
    lazywriter::pg::column(&Account::city, "city"),
    lazywriter::pg::column(&Account::balance, "balance"),
    lazywriter::pg::generated(&Account::id, "id"));

auto make_cache(const std::string& conninfo, std::size_t rows, std::size_t batch) {
  lazywriter::CacheConfig config = bench::Lazywriter::settings(rows);
  config.max_batch = batch;
  return std::make_unique<lazywriter::LazyWriterCache<
      Account, decltype(lazywriter::PqxxReaderWriter{table, std::string()})>>(
      lazywriter::PqxxReaderWriter{table, conninfo}, config);
}

void measure_flush(benchmark::State& state, Baselines& tables, const std::string& conninfo,
                   Write write, std::size_t rows, std::size_t batch) {
  for ([[maybe_unused]] auto _ : state) {
    const auto cache = make_cache(conninfo, rows, batch);
    // Connected and prepared, as the other ways are.
    cache->put(bench::make_account(bench::make_key(0), 1.0));
    cache->flush();
    tables.empty();
    if (write == Write::update) {
      for (Account& account : make_accounts(rows, 1.0))
        cache->put(std::move(account));
      cache->flush();
    }
    for (Account& account : make_accounts(rows, 2.5))
      cache->put(std::move(account));
    const auto start = std::chrono::steady_clock::now();
    const lazywriter::FlushResult result = cache->flush();
    report_rows(state, rows, std::chrono::steady_clock::now() - start);
    if (!result.ok()) state.SkipWithError(result.error.c_str());
    const std::optional<Account> account = cache->peek(bench::make_key(0));
    if (!account.has_value() || account->id == 0) state.SkipWithError("no id came back");
  }
  if (tables.rows() != rows) state.SkipWithError("rows are missing");
}

/// Calls beside a flush of 100,000 items; `quiet`: the same calls beside none.
void measure_latency(benchmark::State& state, Baselines& tables, const std::string& conninfo,
                     bench::Caller::Kind kind, bool quiet) {
  constexpr std::size_t residents = 100'000;  // see latency.cpp
  bench::CallTimes times;
  const std::vector<std::string> stream = bench::make_requests(
      500'000, residents, bench::Distribution::uniform, bench::KeyLength::heap);
  for ([[maybe_unused]] auto _ : state) {
    tables.empty();
    const auto cache = make_cache(conninfo, residents, 1'000);
    cache->preload(make_accounts(residents, 1.0));
    for (std::size_t i = 0; i < residents; ++i)
      cache->put(bench::make_account(bench::make_key(i)));
    bench::Caller caller(kind, stream);
    if (quiet) {
      cache->flush();
      bench::call_in_peace(*cache, caller, times);
    } else {
      bench::call_during(*cache, caller, times, [&] { cache->flush(); });
    }
    benchmark::DoNotOptimize(caller.sum());
  }
  times.report(state);
}
#endif

benchmark::internal::Benchmark* add(const std::string& name,
                                    std::function<void(benchmark::State&)> run) {
  return benchmark::RegisterBenchmark(name.c_str(), std::move(run))
      ->Iterations(1)
      ->Unit(benchmark::kMillisecond);
}

/// One way to reach the server.
struct Network {
  std::string name;
  std::string conninfo;
  /// Rows that a way with some round trips per row writes: enough for a second.
  std::size_t few_rows;
};

void add_network(const Network& network, Baselines& tables, Baselines& through) {
  const auto title = [&network](Write write, const char* way, std::size_t batch) {
    return std::string("flush_postgres/") + name_of(write) + '/' + way + '/' +
           std::to_string(batch) + '/' + network.name;
  };
  const auto baseline = [&](Write write, const char* way, std::size_t rows, std::size_t batch,
                            void (Baselines::*member)(std::span<Account>)) {
    add(title(write, way, batch), [=, &tables, &through](benchmark::State& state) {
      measure_baseline(state, tables, through, write, rows, batch, member);
    })->UseManualTime();
  };
  for (const std::size_t batch : {100U, 1'000U, 10'000U}) {
    const std::size_t rows = std::max<std::size_t>(20'000, 5 * batch);
#ifdef LAZYWRITER_BENCH_PQXX
    for (const Write write : {Write::insert, Write::update}) {
      add(title(write, "lazywriter", batch), [=, &tables, conninfo = network.conninfo](
                                                 benchmark::State& state) {
        measure_flush(state, tables, conninfo, write, rows, batch);
      })->UseManualTime();
    }
#endif
    baseline(Write::insert, "copy", rows, batch, &Baselines::copy);
  }
  for (const Write write : {Write::insert, Write::update}) {
    const std::size_t few = network.few_rows;
    baseline(write, "upsert_per_row", few, 1'000, &Baselines::upsert_per_row);
    baseline(write, "find_then_save", few, 1'000, &Baselines::find_then_save);
    baseline(write, "transaction_per_row", few / 2, 1'000, &Baselines::transaction_per_row);
    baseline(write, "statement_per_row", few / 2, 1'000, &Baselines::statement_per_row);
  }
}

/// Returns: how to reach the same server through `proxy`.
std::string through_proxy(const bench::Postgres& server, const bench::DelayProxy& proxy) {
  std::string conninfo =
      "host=127.0.0.1 sslmode=disable gssencmode=disable port=" + std::to_string(proxy.port()) +
      " dbname=" + server.database() + " user=" + server.user();
  if (!server.password().empty()) conninfo += " password=" + server.password();
  return conninfo;
}

int run() {
  const char* const url = std::getenv("DATABASE_URL");
  if (url == nullptr) {
    std::fputs("flush_postgres: DATABASE_URL is not set; see cmake/throwaway_postgres.sh\n",
               stderr);
    return 1;
  }
  Baselines tables(url);
  add_network({"local", url, 10'000}, tables, tables);
#ifdef LAZYWRITER_BENCH_PQXX
  for (const auto& [operation, kind] : {std::pair{"visit", bench::Caller::Kind::visit},
                                        std::pair{"put", bench::Caller::Kind::put}}) {
    for (const bool quiet : {true, false}) {
      add(std::string("latency/") + operation + (quiet ? "/quiet_postgres" : "/flush_postgres"),
          [&tables, url, kind = kind, quiet](benchmark::State& state) {
            measure_latency(state, tables, url, kind, quiet);
          });
    }
  }
#endif

  // The server is reached by its socket where it has one: that is what the delay is added to.
  const bench::Postgres& server = tables.connection();
  const std::string host = server.host() == "localhost" ? "127.0.0.1" : server.host();
  // A TCP connection to 127.0.0.1 may need a password that a socket does not.
  bench::DelayProxy proxy(host, static_cast<std::uint16_t>(std::stoul(server.port())),
                          std::chrono::microseconds{500});
  const std::string delayed_info = through_proxy(server, proxy);
  std::unique_ptr<Baselines> delayed;
  try {
    delayed = std::make_unique<Baselines>(delayed_info);
    add_network({"rtt_1ms", delayed_info, 500}, tables, *delayed);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "flush_postgres: nothing is measured with a longer round trip: %s\n",
                 error.what());
  }
  benchmark::RunSpecifiedBenchmarks();
  delayed.reset();
  tables.drop();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const bench::IdleThread idle;
  try {
    const int status = run();
    benchmark::Shutdown();
    return status;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "flush_postgres: %s\n", error.what());
    return 1;
  }
}
