// The forms of CacheStats, read back by a small parser and by programs that others wrote, and the
// counters of a real cache.
#include "lazywriter/cache_stats.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "lazywriter/cache_stats_format.hpp"
#include "lazywriter/lazy_writer_cache.hpp"
#include "lazywriter/memory_reader_writer.hpp"

namespace {

using namespace std::chrono_literals;
using lazywriter::CacheStats;
using lazywriter::NamedCacheStats;

// What a Prometheus server reads from an exposition: TYPE by family, samples by name and labels.
struct Exposition {
  std::map<std::string, std::string> types;
  std::map<std::string, std::string> helps;
  std::map<std::pair<std::string, std::string>, double> samples;

  double at(const std::string& name, const std::string& labels = "") const {
    return samples.at({name, labels});
  }
};

// The family a sample belongs to: its name without the suffixes of a histogram.
std::string family_of(const std::string& name, const Exposition& exposition) {
  for (const std::string suffix : {"_bucket", "_sum", "_count"}) {
    if (name.size() <= suffix.size() || !name.ends_with(suffix)) continue;
    const auto family = name.substr(0, name.size() - suffix.size());
    const auto type = exposition.types.find(family);
    if (type != exposition.types.end() && type->second == "histogram") return family;
  }
  return name;
}

// Reads text format 0.0.4 and fails the test on whatever breaks a rule of it.
Exposition parse(const std::string& text) {
  static const std::regex head(R"(# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+))");
  static const std::regex sample(
      R"(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\["\\n])*",?)*)\})? (\S+))");
  Exposition exposition;
  std::set<std::string> finished_families;
  std::string current;
  const auto enter = [&](const std::string& family) {
    if (family == current) return;
    EXPECT_FALSE(finished_families.contains(family)) << family << " is not in one group";
    finished_families.insert(current);
    current = family;
  };
  EXPECT_TRUE(text.ends_with('\n'));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::smatch parts;
    if (std::regex_match(line, parts, head)) {
      enter(parts[2]);
      auto& heads = parts[1] == "HELP" ? exposition.helps : exposition.types;
      EXPECT_TRUE(heads.emplace(parts[2], parts[3]).second) << "twice: " << line;
    } else if (std::regex_match(line, parts, sample)) {
      const auto family = family_of(parts[1], exposition);
      EXPECT_TRUE(exposition.types.contains(family)) << "sample before its TYPE: " << line;
      EXPECT_TRUE(exposition.helps.contains(family)) << "sample before its HELP: " << line;
      enter(family);
      EXPECT_TRUE(
          exposition.samples.emplace(std::pair{parts[1].str(), parts[3].str()}, std::stod(parts[4]))
              .second)
          << "twice: " << line;
    } else {
      ADD_FAILURE() << "not a line of the format: " << line;
    }
  }
  return exposition;
}

CacheStats numbered() {
  CacheStats stats;
  stats.hits = 3;
  stats.misses = 1;
  stats.loads = 5;
  stats.load_failures = 6;
  stats.puts = 7;
  stats.erases = 8;
  stats.preloads = 9;
  stats.evictions = 10;
  stats.flushed_items = 11;
  stats.flushed_erases = 12;
  stats.failed_items = 13;
  stats.transactions = 14;
  stats.failed_transactions = 15;
  stats.retries = 16;
  stats.parkings = 17;
  stats.backpressure_waits = 18;
  stats.refused_writes = 19;
  stats.resident = 20;
  stats.dirty = 21;
  stats.in_flight = 22;
  stats.parked = 23;
  stats.oldest_dirty_age = 1500ms;
  stats.flush_duration.record(2ms);
  stats.flush_duration.record(2ms);
  stats.flush_duration.record(60s);
  return stats;
}

// Runs statements of Python on `stats`, what `reader` makes of the text. Returns whether all of its
// assertions held.
bool python_agrees(const std::string& reader, const std::string& text,
                   const std::string& statements) {
  const std::string program =
      "import sys, json\n"
      "from prometheus_client.parser import text_string_to_metric_families\n"
      "stats = " +
      reader + "\n" + statements;
  // The system's own, whose packages these are.
  FILE* const python = ::popen(("/usr/bin/python3 -c '" + program + "'").c_str(), "w");
  if (python == nullptr) return false;
  std::fwrite(text.data(), 1, text.size(), python);
  return ::pclose(python) == 0;
}

TEST(CacheStatsText, ShowsEveryFieldAndTheHitRatio) {
  EXPECT_EQ(to_text(numbered()),
            "hits                             3\n"
            "misses                           1\n"
            "hit_ratio                     75 %\n"
            "loads                            5\n"
            "load_failures                    6\n"
            "puts                             7\n"
            "erases                           8\n"
            "preloads                         9\n"
            "evictions                       10\n"
            "flushed_items                   11\n"
            "flushed_erases                  12\n"
            "failed_items                    13\n"
            "transactions                    14\n"
            "failed_transactions             15\n"
            "retries                         16\n"
            "parkings                        17\n"
            "backpressure_waits              18\n"
            "refused_writes                  19\n"
            "resident                        20\n"
            "dirty                           21\n"
            "in_flight                       22\n"
            "parked                          23\n"
            "oldest_dirty_age           1500 ms\n"
            "flush_passes                     3\n"
            "flush_mean             20001.33 ms\n");
}

TEST(CacheStatsText, HitRatioAndMeanOfNothingAreZero) {
  EXPECT_EQ(hit_ratio(CacheStats{}), 0);
  EXPECT_EQ(mean(lazywriter::DurationHistogram{}), 0ns);
}

TEST(CacheStatsJson, HoldsEveryFieldUnderItsName) {
  EXPECT_EQ(
      to_json(numbered()),
      R"({"hits":3,"misses":1,"loads":5,"load_failures":6,"puts":7,"erases":8,"preloads":9,)"
      R"("evictions":10,"flushed_items":11,"flushed_erases":12,"failed_items":13,)"
      R"("transactions":14,"failed_transactions":15,"retries":16,"parkings":17,)"
      R"("backpressure_waits":18,"refused_writes":19,"resident":20,"dirty":21,"in_flight":22,)"
      R"("parked":23,"oldest_dirty_age_seconds":1.5,"flush_duration":{"bounds_seconds":)"
      R"([0.0001,0.0003,0.001,0.003,0.01,0.03,0.1,0.3,1,3,10,30],"counts":)"
      R"([0,0,0,2,0,0,0,0,0,0,0,0,1],"sum_seconds":60.004,"count":3}})");
}

TEST(CacheStatsJson, PythonReadsTheSameNumbers) {
  EXPECT_TRUE(python_agrees("json.load(sys.stdin)", to_json(numbered()),
                            R"(
assert stats["hits"] == 3 and stats["parked"] == 23
assert stats["oldest_dirty_age_seconds"] == 1.5
flushes = stats["flush_duration"]
assert flushes["count"] == sum(flushes["counts"]) == 3
assert len(flushes["counts"]) == len(flushes["bounds_seconds"]) + 1
)"));
}

TEST(CacheStatsPrometheus, ThePythonClientReadsTheSameNumbers) {
  const std::vector<NamedCacheStats> caches{{"accounts", numbered()}, {"a \"b\"\\\n", {}}};
  EXPECT_TRUE(python_agrees("list(text_string_to_metric_families(sys.stdin.read()))",
                            lazywriter::to_prometheus(caches), R"(
kinds = [family.type for family in stats]
assert kinds.count("counter") == 17 and kinds.count("gauge") == 5
assert kinds.count("histogram") == 1 and len(kinds) == 23
assert all(family.documentation for family in stats)
values = {(sample.name, sample.labels["cache"], sample.labels.get("le")): sample.value
          for family in stats for sample in family.samples}
assert values["lazywriter_hits_total", "accounts", None] == 3
assert values["lazywriter_hits_total", "a \"b\"\\\n", None] == 0
assert values["lazywriter_oldest_dirty_age_seconds", "accounts", None] == 1.5
assert values["lazywriter_flush_duration_seconds_bucket", "accounts", "0.003"] == 2
assert values["lazywriter_flush_duration_seconds_bucket", "accounts", "+Inf"] == 3
)"));
}

TEST(CacheStatsPrometheus, EveryFieldIsASampleOfItsType) {
  const auto exposition = parse(lazywriter::to_prometheus(numbered()));
  const std::map<std::string, double> counters{{"hits", 3},
                                               {"misses", 1},
                                               {"loads", 5},
                                               {"load_failures", 6},
                                               {"puts", 7},
                                               {"erases", 8},
                                               {"preloads", 9},
                                               {"evictions", 10},
                                               {"flushed_items", 11},
                                               {"flushed_erases", 12},
                                               {"failed_items", 13},
                                               {"transactions", 14},
                                               {"failed_transactions", 15},
                                               {"retries", 16},
                                               {"parkings", 17},
                                               {"backpressure_waits", 18},
                                               {"refused_writes", 19}};
  for (const auto& [field, value] : counters) {
    const auto name = "lazywriter_" + field + "_total";
    EXPECT_EQ(exposition.types.at(name), "counter");
    EXPECT_EQ(exposition.at(name), value);
  }
  const std::map<std::string, double> gauges{{"resident", 20},
                                             {"dirty", 21},
                                             {"in_flight", 22},
                                             {"parked", 23},
                                             {"oldest_dirty_age_seconds", 1.5}};
  for (const auto& [field, value] : gauges) {
    EXPECT_EQ(exposition.types.at("lazywriter_" + field), "gauge");
    EXPECT_EQ(exposition.at("lazywriter_" + field), value);
  }
  EXPECT_EQ(exposition.types.size(), counters.size() + gauges.size() + 1);
}

TEST(CacheStatsPrometheus, TheHistogramIsCumulativeAndEndsWithItsCount) {
  const auto exposition = parse(lazywriter::to_prometheus(numbered()));
  const std::string name = "lazywriter_flush_duration_seconds";
  EXPECT_EQ(exposition.types.at(name), "histogram");
  EXPECT_EQ(exposition.at(name + "_bucket", R"(le="0.001")"), 0);
  EXPECT_EQ(exposition.at(name + "_bucket", R"(le="0.003")"), 2);
  EXPECT_EQ(exposition.at(name + "_bucket", R"(le="30")"), 2);
  EXPECT_EQ(exposition.at(name + "_bucket", R"(le="+Inf")"), 3);
  EXPECT_EQ(exposition.at(name + "_count"), 3);
  EXPECT_DOUBLE_EQ(exposition.at(name + "_sum"), 60.004);
}

TEST(CacheStatsPrometheus, CachesAreToldApartByALabelAndTheirMetricsStayInOneGroup) {
  CacheStats other;
  other.hits = 9;
  const std::vector<NamedCacheStats> caches{{"accounts", numbered()}, {"a \"b\"\\\n", other}};
  const auto exposition = parse(lazywriter::to_prometheus(caches));
  EXPECT_EQ(exposition.at("lazywriter_hits_total", R"(cache="accounts")"), 3);
  EXPECT_EQ(exposition.at("lazywriter_hits_total", R"(cache="a \"b\"\\\n")"), 9);
  EXPECT_EQ(
      exposition.at("lazywriter_flush_duration_seconds_bucket", R"(cache="accounts",le="+Inf")"),
      3);
}

struct Item {
  std::string name;
  int value = 0;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Item&) {}
};

// The counters of `stats`, by their Prometheus names.
std::map<std::string, double> counters_of(const CacheStats& stats) {
  const auto exposition = parse(lazywriter::to_prometheus(stats));
  std::map<std::string, double> counters;
  for (const auto& [sample, value] : exposition.samples) {
    if (sample.first.ends_with("_total") || sample.first.ends_with("_count") ||
        sample.first.ends_with("_bucket") || sample.first.ends_with("_sum")) {
      counters[sample.first + '{' + sample.second + '}'] = value;
    }
  }
  return counters;
}

TEST(CacheStatsOfACache, CountersNeverDecreaseWhateverHappens) {
  lazywriter::MemoryReaderWriter<Item> store;
  lazywriter::LazyWriterCache cache{
      store,
      lazywriter::CacheConfig{
          .capacity = 4, .flush_interval = 0ms, .prune_interval = 0ms, .retry_backoff_max = 100ms}};
  auto before = counters_of(cache.stats());
  const auto check = [&](const char* after) {
    const auto now = counters_of(cache.stats());
    for (const auto& [name, value] : before)
      EXPECT_GE(now.at(name), value) << name << " after " << after;
    before = now;
  };
  for (int i = 0; i < 20; ++i) {
    cache.put(Item{"key" + std::to_string(i), i});
    check("put");
  }
  static_cast<void>(cache.flush());
  check("flush");
  cache.prune();
  check("prune");
  static_cast<void>(cache.get("key0"));
  check("get");
  static_cast<void>(cache.get("absent"));
  check("a miss");
  cache.update("key19", [](Item& item) { ++item.value; });
  check("update");
  store.fail_next(lazywriter::StoreCall::commit_tx);
  static_cast<void>(cache.flush());
  check("a failed flush");
  static_cast<void>(cache.flush());
  check("the retry");
  cache.erase("key19");
  static_cast<void>(cache.flush());
  check("erase");
  static_cast<void>(cache.invalidate_all());
  check("invalidate_all");
  static_cast<void>(cache.close());
  check("close");

  const auto stats = cache.stats();
  EXPECT_EQ(stats.puts, 21u);
  EXPECT_EQ(stats.erases, 1u);
  EXPECT_EQ(stats.flushed_items, 21u);
  EXPECT_EQ(stats.flushed_erases, 1u);
  EXPECT_EQ(stats.failed_transactions, 1u);
  EXPECT_GE(stats.failed_items, 1u);
  EXPECT_GE(stats.evictions, 15u);
  EXPECT_EQ(stats.resident, 0u);
  EXPECT_EQ(stats.dirty, 0u);
}

}  // namespace
