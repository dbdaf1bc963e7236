// Request traces: read from files and standard input, or made.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <istream>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bench_item.hpp"

namespace bench {

/// A stream of requests, and the sizes of cache to replay it at.
struct Trace {
  std::string name;
  /// Keys, numbered in the order in which they are first asked for.
  std::vector<std::string> keys;
  /// Which key each request asks for.
  std::vector<std::uint32_t> requests;
  /// Entries; empty: 1, 5 and 10 % of the distinct keys.
  std::vector<std::size_t> limits;

  std::vector<std::size_t> limits_or_default() const {
    if (!limits.empty()) return limits;
    std::vector<std::size_t> result;
    for (const std::size_t percent : {1u, 5u, 10u}) {
      result.push_back(std::max<std::size_t>(1, keys.size() * percent / 100));
    }
    return result;
  }
};

/// Builds a trace request by request.
class TraceBuilder {
 public:
  void add(std::string_view key) {
    const auto [at, is_new] = numbers_.try_emplace(std::string(key), trace_.keys.size());
    if (is_new) trace_.keys.emplace_back(key);
    trace_.requests.push_back(static_cast<std::uint32_t>(at->second));
  }

  Trace take(std::string name, std::vector<std::size_t> limits = {}) && {
    trace_.name = std::move(name);
    trace_.limits = std::move(limits);
    return std::move(trace_);
  }

 private:
  Trace trace_;
  std::unordered_map<std::string, std::size_t> numbers_;
};

/// One key a line; empty lines are left out.
inline Trace read_trace(std::istream& in, std::string name) {
  TraceBuilder builder;
  for (std::string line; std::getline(in, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) builder.add(line);
  }
  return std::move(builder).take(std::move(name));
}

/// What `xz -dc path` prints. Throws: std::runtime_error if it fails.
inline Trace read_compressed_trace(const std::string& path, std::string name) {
  std::string command = "xz -dc -- '";
  for (const char c : path)
    command += c == '\'' ? std::string("'\\''") : std::string(1, c);
  command += '\'';
  std::FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot start xz");
  TraceBuilder builder;
  std::string line;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) {
    if (c != '\n') {
      if (c != '\r') line += static_cast<char>(c);
    } else if (!line.empty()) {
      builder.add(line);
      line.clear();
    }
  }
  if (!line.empty()) builder.add(line);
  if (pclose(pipe) != 0) throw std::runtime_error("xz could not read " + path);
  return std::move(builder).take(std::move(name));
}

/// `-` is standard input; a name ending in .xz is decompressed. Throws: std::runtime_error.
inline Trace load_trace(const std::string& path) {
  if (path == "-") return read_trace(std::cin, "stdin");
  std::string name = path.substr(path.find_last_of('/') + 1);
  name.resize(std::min(name.size(), name.find('.')));
  if (path.ends_with(".xz")) return read_compressed_trace(path, std::move(name));
  std::ifstream in(path);
  if (!in) throw std::runtime_error("cannot open " + path);
  return read_trace(in, std::move(name));
}

/// Keys asked for by Zipf's law.
inline Trace make_zipf_trace() {
  const Zipf zipf(100'000, 0.9);
  std::mt19937_64 random{1};
  TraceBuilder builder;
  for (int i = 0; i < 1'000'000; ++i)
    builder.add(std::to_string(zipf(random)));
  return std::move(builder).take("zipf");
}

/// 1.2 x `limit` keys, round and round: whoever evicts the oldest never has a hit.
inline Trace make_loop_trace(std::size_t limit) {
  TraceBuilder builder;
  for (int round = 0; round < 50; ++round) {
    for (std::size_t key = 0; key < limit * 12 / 10; ++key)
      builder.add(std::to_string(key));
  }
  return std::move(builder).take("loop_" + std::to_string(limit), {limit});
}

/// Keys by Zipf's law, and in the middle 10 x `limit` others, each asked for once.
inline Trace make_scan_trace(std::size_t limit) {
  const Zipf zipf(20 * limit, 0.9);
  std::mt19937_64 random{1};
  TraceBuilder builder;
  const std::size_t half = 40 * limit;
  for (std::size_t i = 0; i < half; ++i)
    builder.add(std::to_string(zipf(random)));
  for (std::size_t i = 0; i < 10 * limit; ++i)
    builder.add("scan" + std::to_string(i));
  for (std::size_t i = 0; i < half; ++i)
    builder.add(std::to_string(zipf(random)));
  return std::move(builder).take("scan_in_zipf_" + std::to_string(limit), {limit});
}

inline std::vector<Trace> make_traces() {
  std::vector<Trace> traces;
  traces.push_back(make_zipf_trace());
  for (const std::size_t limit : {100u, 1'000u, 10'000u})
    traces.push_back(make_loop_trace(limit));
  for (const std::size_t limit : {200u, 1'000u, 5'000u})
    traces.push_back(make_scan_trace(limit));
  return traces;
}

}  // namespace bench
