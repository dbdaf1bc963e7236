// How often the cache has what it is asked for: replays request traces through the public
// interface, beside first-in-first-out, least recently used and the optimum.
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hit_ratio_policies.hpp"
#include "hit_ratio_trace.hpp"
#include "lazywriter/lazy_writer_cache.hpp"
#include "lazywriter/memory_reader_writer.hpp"

namespace {

using namespace bench;

constexpr std::string_view usage =
    "hit_ratio [--csv] [--shards N] [--traces DIRECTORY] [TRACE...]\n"
    "\n"
    "Replays request traces, one key a line, at 1, 5 and 10 % of their distinct keys, and prints "
    "hit\n"
    "ratios in percent. TRACE is a file, plain or compressed by xz, or - for standard input. "
    "Without\n"
    "TRACE: what is piped in; else all traces of the directory, and traces that the program "
    "makes.\n"
    "\n"
    "  --csv                trace,limit,policy,hit_ratio; the limit in percent of the distinct "
    "keys\n"
    "  --shards N           shards of the cache: a power of two; 0 = as the cache chooses (the "
    "default)\n"
    "  --traces DIRECTORY   where to look for traces (../shared/traces)\n";

struct Row {
  std::string key_;
  const std::string& key() const { return key_; }
  void copy_key_data_from(const Row&) {}
};

using Store = lazywriter::MemoryReaderWriter<Row>;

/// Lazy trimming around a limit: the cache grows to 1.1 x keep and is trimmed to `keep` in one go.
struct Trimming {
  explicit Trimming(std::size_t limit)
      : keep(std::max<std::size_t>(1, (limit * 20 + 10) / 21)),
        grow_to(std::max(keep, (keep * 11 + 5) / 10)) {}

  /// limit / 1.05.
  std::size_t keep;
  /// 1.048 x limit. One entry more is the signal to trim.
  std::size_t grow_to;
};

/// Hits of the cache itself. `store` has a row for every key of the trace.
std::size_t lazywriter_hits(const Trace& trace, std::size_t limit, std::size_t shards,
                            const Store& store) {
  const Trimming trimming(limit);
  lazywriter::CacheConfig config;
  config.capacity = trimming.keep;
  config.shards = shards;
  config.flush_interval = std::chrono::milliseconds{0};
  config.prune_interval = std::chrono::milliseconds{0};
  lazywriter::LazyWriterCache<Row, Store> cache{store, config};
  const std::size_t finds_before = store.calls(lazywriter::StoreCall::find);
  std::size_t finds = 0;
  for (const std::uint32_t key : trace.requests) {
    if (!cache.get(trace.keys[key])) throw std::logic_error("a key of the store was not found");
    const std::size_t now = store.calls(lazywriter::StoreCall::find) - finds_before;
    if (now == finds) continue;
    finds = now;
    if (cache.size() > trimming.grow_to) cache.prune();
  }
  return trace.requests.size() - finds;
}

struct Ratios {
  double fifo, lru, lazywriter, optimum;
};

Ratios measure(const Trace& trace, std::size_t limit, std::size_t shards, const Store& store) {
  const auto percent = [&](std::size_t hits) {
    return 100.0 * static_cast<double>(hits) / static_cast<double>(trace.requests.size());
  };
  return {percent(fifo_hits(trace, limit)), percent(lru_hits(trace, limit)),
          percent(lazywriter_hits(trace, limit, shards, store)),
          percent(optimum_hits(trace, limit))};
}

void report(const Trace& trace, bool csv, std::size_t shards) {
  if (trace.requests.empty()) throw std::runtime_error("no requests in " + trace.name);
  Store store;
  for (const std::string& key : trace.keys)
    store.insert({key});
  if (!csv) {
    std::printf("\n%s: %zu requests, %zu distinct keys\n", trace.name.c_str(),
                trace.requests.size(), trace.keys.size());
    std::printf("%8s %8s %8s %8s %12s %9s %12s\n", "limit", "entries", "fifo", "lru", "lazywriter",
                "optimum", "gap closed");
  }
  constexpr double default_percents[] = {1, 5, 10};
  const std::vector<std::size_t> limits = trace.limits_or_default();
  for (std::size_t i = 0; i < limits.size(); ++i) {
    const std::size_t limit = limits[i];
    const double percent = trace.limits.empty() ? default_percents[i]
                                                : 100.0 * static_cast<double>(limit) /
                                                      static_cast<double>(trace.keys.size());
    const Ratios ratios = measure(trace, limit, shards, store);
    if (csv) {
      for (const auto& [policy, ratio] :
           {std::pair{"lazywriter", ratios.lazywriter}, std::pair{"fifo", ratios.fifo},
            std::pair{"lru", ratios.lru}, std::pair{"optimum", ratios.optimum}}) {
        std::printf("%s,%.4g,%s,%.3f\n", trace.name.c_str(), percent, policy, ratio);
      }
    } else {
      const double gap = ratios.optimum - ratios.fifo;
      std::printf("%7.4g%% %8zu %8.2f %8.2f %12.2f %9.2f %12.2f\n", percent, limit, ratios.fifo,
                  ratios.lru, ratios.lazywriter, ratios.optimum,
                  gap > 0 ? (ratios.lazywriter - ratios.fifo) / gap : 0);
    }
    std::fflush(stdout);
  }
}

/// Whether somebody feeds standard input. An open pipe that stays silent does not count, so that a
/// program that merely inherited one does not wait for ever.
bool something_is_piped_in() {
  struct stat input = {};
  if (fstat(STDIN_FILENO, &input) != 0) return false;
  if (S_ISREG(input.st_mode)) return input.st_size > 0;
  if (!S_ISFIFO(input.st_mode)) return false;
  pollfd wait{STDIN_FILENO, POLLIN, 0};
  return poll(&wait, 1, 1'000) == 1 && (wait.revents & POLLIN) != 0;
}

std::vector<std::string> traces_in(const std::string& directory) {
  std::vector<std::string> paths;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    const std::string path = entry.path().string();
    if (path.ends_with(".txt") || path.ends_with(".txt.xz")) paths.push_back(path);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

struct Options {
  bool csv = false;
  std::size_t shards = 0;
  std::string directory = "../shared/traces";
  std::vector<std::string> traces;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const auto value = [&]() -> std::string_view {
      if (i + 1 == argc) throw std::invalid_argument(std::string(argument) + " needs a value");
      return argv[++i];
    };
    if (argument == "--csv") {
      options.csv = true;
    } else if (argument == "--shards") {
      const std::string_view number = value();
      const auto parsed =
          std::from_chars(number.data(), number.data() + number.size(), options.shards);
      if (parsed.ec != std::errc{} || parsed.ptr != number.data() + number.size()) {
        throw std::invalid_argument("--shards needs a number");
      }
    } else if (argument == "--traces") {
      options.directory = value();
    } else if (argument == "-h" || argument == "--help") {
      std::fwrite(usage.data(), 1, usage.size(), stdout);
      std::exit(0);
    } else if (argument.starts_with("-") && argument != "-") {
      throw std::invalid_argument("unknown option " + std::string(argument) + "; see --help");
    } else {
      options.traces.emplace_back(argument);
    }
  }
  return options;
}

int run(const Options& options) {
  std::vector<std::string> traces = options.traces;
  if (traces.empty() && something_is_piped_in()) traces.emplace_back("-");
  const bool make_too = traces.empty();
  if (traces.empty()) {
    traces = traces_in(options.directory);
    if (traces.empty()) {
      std::fprintf(stderr, "no traces in %s: running on made ones only\n",
                   options.directory.c_str());
    }
  }
  if (options.csv) std::puts("trace,limit,policy,hit_ratio");
  for (const std::string& path : traces)
    report(load_trace(path), options.csv, options.shards);
  if (make_too) {
    for (const Trace& trace : make_traces())
      report(trace, options.csv, options.shards);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(parse(argc, argv));
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "hit_ratio: %s\n", error.what());
    return 64;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hit_ratio: %s\n", error.what());
    return 1;
  }
}
