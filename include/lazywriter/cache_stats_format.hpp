// CacheStats as text for people, as JSON, and in the Prometheus exposition format.
#pragma once

#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "lazywriter/cache_stats.hpp"

namespace lazywriter {

/// A snapshot and the name of the cache it was taken from.
struct NamedCacheStats {
  /// What tells this cache from the others of the program; any text.
  std::string name;
  /// What LazyWriterCache::stats() returned.
  CacheStats stats;
};

namespace detail {

// One number of CacheStats: its name in every form, its help text, and where it is.
struct StatsField {
  std::string_view name;
  std::string_view help;
  std::uint64_t (*value)(const CacheStats&);
};

inline constexpr std::array<StatsField, 17> stats_counters{{
    {"hits", "Reads and changes of a resident key.", [](auto& s) { return s.hits; }},
    {"misses", "Reads and changes of a key that was not resident.",
     [](auto& s) { return s.misses; }},
    {"loads", "Lookups in the store that returned.", [](auto& s) { return s.loads; }},
    {"load_failures", "Lookups in the store that failed.", [](auto& s) { return s.load_failures; }},
    {"puts", "Values accepted.", [](auto& s) { return s.puts; }},
    {"erases", "Erases accepted.", [](auto& s) { return s.erases; }},
    {"preloads", "Items preloaded.", [](auto& s) { return s.preloads; }},
    {"evictions", "Clean items dropped to keep the capacity.", [](auto& s) { return s.evictions; }},
    {"flushed_items", "Items committed to the store.", [](auto& s) { return s.flushed_items; }},
    {"flushed_erases", "Erases committed to the store.", [](auto& s) { return s.flushed_erases; }},
    {"failed_items", "Entries whose attempt failed, once for each attempt.",
     [](auto& s) { return s.failed_items; }},
    {"transactions", "Transactions begun or tried to begin.",
     [](auto& s) { return s.transactions; }},
    {"failed_transactions", "Transactions that failed.",
     [](auto& s) { return s.failed_transactions; }},
    {"retries", "Entries tried again after a failed attempt.", [](auto& s) { return s.retries; }},
    {"parkings", "Times an entry was parked.", [](auto& s) { return s.parkings; }},
    {"backpressure_waits", "Writes that had to wait for a slot under max_dirty.",
     [](auto& s) { return s.backpressure_waits; }},
    {"refused_writes", "Writes refused because max_dirty was reached.",
     [](auto& s) { return s.refused_writes; }},
}};

inline constexpr std::array<StatsField, 4> stats_gauges{{
    {"resident", "Items that readers can see.", [](auto& s) { return std::uint64_t{s.resident}; }},
    {"dirty", "Unsaved entries, waiting or in flight, without the parked ones.",
     [](auto& s) { return std::uint64_t{s.dirty}; }},
    {"in_flight", "Entries in the batch under way.",
     [](auto& s) { return std::uint64_t{s.in_flight}; }},
    {"parked", "Entries the store rejects.", [](auto& s) { return std::uint64_t{s.parked}; }},
}};

// Numbers the same in every locale, without exponents.
inline void append_number(std::string& text, std::uint64_t number) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  text.append(digits.data(), end);
}

// For times of at least a nanosecond and ratios: digits enough to read the same number back.
inline void append_number(std::string& text, double number) {
  std::array<char, 64> digits;
  const auto end =
      std::to_chars(digits.data(), digits.data() + digits.size(), number, std::chars_format::fixed)
          .ptr;
  text.append(digits.data(), end);
}

inline double in_seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

// A name in quotes, escaped so that both JSON and the Prometheus format read it back. JSON escapes
// all control characters, Prometheus knows \n alone.
inline void append_quoted(std::string& text, std::string_view name, bool json) {
  constexpr std::string_view hex = "0123456789abcdef";
  text += '"';
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (c == '\n') {
      text += "\\n";
    } else if (json && byte < 0x20) {
      text += "\\u00";
      text += hex[byte >> 4];
      text += hex[byte & 0xF];
    } else {
      text += c;
    }
  }
  text += '"';
}

// `{cache="name",le="bound"}`, whichever of the two there are.
inline void append_labels(std::string& text, const NamedCacheStats& cache, std::string_view le) {
  if (cache.name.empty() && le.empty()) return;
  text += '{';
  if (!cache.name.empty()) {
    text += "cache=";
    detail::append_quoted(text, cache.name, false);
    if (!le.empty()) text += ',';
  }
  if (!le.empty()) {
    text += "le=";
    detail::append_quoted(text, le, false);
  }
  text += '}';
}

inline void append_metric_head(std::string& text, std::string_view name, std::string_view type,
                               std::string_view help) {
  text.append("# HELP lazywriter_").append(name).append(" ").append(help);
  text.append("\n# TYPE lazywriter_").append(name).append(" ").append(type).append("\n");
}

template <class Number>
void append_sample(std::string& text, std::string_view name, const NamedCacheStats& cache,
                   Number number, std::string_view le = {}) {
  text.append("lazywriter_").append(name);
  detail::append_labels(text, cache, le);
  text += ' ';
  detail::append_number(text, number);
  text += '\n';
}

inline void append_histogram(std::string& text, std::string_view name, const NamedCacheStats& cache,
                             const DurationHistogram& histogram) {
  const std::string bucket = std::string(name) + "_bucket";
  std::uint64_t so_far = 0;
  for (std::size_t i = 0; i < histogram.bounds.size(); ++i) {
    so_far += histogram.counts[i];
    std::string bound;
    detail::append_number(bound, detail::in_seconds(histogram.bounds[i]));
    detail::append_sample(text, bucket, cache, so_far, bound);
  }
  detail::append_sample(text, bucket, cache, histogram.total(), "+Inf");
  detail::append_sample(text, std::string(name) + "_sum", cache, detail::in_seconds(histogram.sum));
  detail::append_sample(text, std::string(name) + "_count", cache, histogram.total());
}

inline void append_text_line(std::string& text, std::string_view name, std::string_view value) {
  constexpr std::size_t name_width = 20;
  constexpr std::size_t value_width = 14;
  text += name;
  text.append(name.size() < name_width ? name_width - name.size() : 1, ' ');
  if (value.size() < value_width) text.append(value_width - value.size(), ' ');
  text += value;
  text += '\n';
}

}  // namespace detail

/// Returns: the share of reads and changes that found their key resident, 0 to 1; 0 when there were
/// none. Complexity: constant. Does not throw or block.
[[nodiscard]] inline double hit_ratio(const CacheStats& stats) noexcept {
  const auto asked = static_cast<double>(stats.hits) + static_cast<double>(stats.misses);
  return asked > 0 ? static_cast<double>(stats.hits) / asked : 0;
}

/// Returns: the mean of the durations that were counted, such as those of
/// CacheStats::flush_duration; 0 when there are none. Complexity: constant. Does not throw or
/// block.
[[nodiscard]] inline std::chrono::nanoseconds mean(const DurationHistogram& histogram) noexcept {
  const auto total = histogram.total();
  return total == 0 ? std::chrono::nanoseconds{0}
                    : histogram.sum / static_cast<std::int64_t>(total);
}

/// Returns: the snapshot for people, a line `name value` for each field, and the hit ratio.
/// Throws: std::bad_alloc. Complexity: constant. Does not block.
[[nodiscard]] inline std::string to_text(const CacheStats& stats) {
  std::string text;
  const auto line = [&](std::string_view name, auto number, std::string_view unit = {}) {
    std::string value;
    detail::append_number(value, number);
    value += unit;
    detail::append_text_line(text, name, value);
  };
  const auto rounded = [](double number) {
    return static_cast<double>(static_cast<std::int64_t>(number * 100 + 0.5)) / 100;
  };
  for (const auto& field : detail::stats_counters) {
    line(field.name, field.value(stats));
    if (field.name == "misses")
      line("hit_ratio", rounded(lazywriter::hit_ratio(stats) * 100), " %");
  }
  for (const auto& field : detail::stats_gauges)
    line(field.name, field.value(stats));
  line("oldest_dirty_age", rounded(detail::in_seconds(stats.oldest_dirty_age) * 1e3), " ms");
  line("flush_passes", stats.flush_duration.total());
  line("flush_mean", rounded(detail::in_seconds(lazywriter::mean(stats.flush_duration)) * 1e3),
       " ms");
  return text;
}

/// Returns: the snapshot as one JSON object without line breaks. Every field stands under its own
/// name; times are in seconds; flush_duration holds bounds_seconds, counts (one more than bounds,
/// not cumulative), sum_seconds and count. Throws: std::bad_alloc. Complexity: constant. Does not
/// block.
[[nodiscard]] inline std::string to_json(const CacheStats& stats) {
  std::string text = "{";
  const auto name = [&](std::string_view field) {
    if (text.back() != '{') text += ',';
    detail::append_quoted(text, field, true);
    text += ':';
  };
  const auto member = [&](std::string_view field, auto number) {
    name(field);
    detail::append_number(text, number);
  };
  const auto list = [&](std::string_view field, const auto& numbers, auto to_number) {
    name(field);
    text += '[';
    for (const auto& number : numbers) {
      if (text.back() != '[') text += ',';
      detail::append_number(text, to_number(number));
    }
    text += ']';
  };
  for (const auto& field : detail::stats_counters)
    member(field.name, field.value(stats));
  for (const auto& field : detail::stats_gauges)
    member(field.name, field.value(stats));
  member("oldest_dirty_age_seconds", detail::in_seconds(stats.oldest_dirty_age));
  name("flush_duration");
  text += '{';
  const DurationHistogram& histogram = stats.flush_duration;
  list("bounds_seconds", histogram.bounds, [](auto bound) { return detail::in_seconds(bound); });
  list("counts", histogram.counts, [](std::uint64_t count) { return count; });
  member("sum_seconds", detail::in_seconds(histogram.sum));
  member("count", histogram.total());
  text += "}}";
  return text;
}

/// Returns: the snapshots of several caches in the Prometheus text exposition format, version
/// 0.0.4. A name that is not empty becomes the label `cache`. Every metric begins with
/// `lazywriter_`; counters end in `_total`, times are in seconds, flush_duration is a histogram.
/// Throws: std::bad_alloc. Complexity: linear in the number of caches. Does not block.
[[nodiscard]] inline std::string to_prometheus(std::span<const NamedCacheStats> caches) {
  std::string text;
  for (const auto& field : detail::stats_counters) {
    const std::string name = std::string(field.name) + "_total";
    detail::append_metric_head(text, name, "counter", field.help);
    for (const auto& cache : caches)
      detail::append_sample(text, name, cache, field.value(cache.stats));
  }
  for (const auto& field : detail::stats_gauges) {
    detail::append_metric_head(text, field.name, "gauge", field.help);
    for (const auto& cache : caches)
      detail::append_sample(text, field.name, cache, field.value(cache.stats));
  }
  constexpr std::string_view age = "oldest_dirty_age_seconds";
  detail::append_metric_head(text, age, "gauge",
                             "How long ago the oldest dirty entry was written.");
  for (const auto& cache : caches)
    detail::append_sample(text, age, cache, detail::in_seconds(cache.stats.oldest_dirty_age));
  constexpr std::string_view flushes = "flush_duration_seconds";
  detail::append_metric_head(text, flushes, "histogram",
                             "Durations of flush passes that had something to write.");
  for (const auto& cache : caches)
    detail::append_histogram(text, flushes, cache, cache.stats.flush_duration);
  return text;
}

/// Returns: the same for one cache, with the label `cache` if `name` is not empty.
/// Throws: std::bad_alloc. Complexity: constant. Does not block.
[[nodiscard]] inline std::string to_prometheus(const CacheStats& stats,
                                               std::string_view name = {}) {
  const NamedCacheStats only{std::string(name), stats};
  return lazywriter::to_prometheus(std::span(&only, 1));
}

}  // namespace lazywriter
