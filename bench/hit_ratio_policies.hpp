// What to compare hit ratios with: first-in-first-out, least recently used, and the best that could
// be done if the requests to come were known. Each holds exactly `limit` entries once it is full.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <limits>
#include <list>
#include <set>
#include <utility>
#include <vector>

#include "hit_ratio_trace.hpp"

namespace bench {

inline std::size_t fifo_hits(const Trace& trace, std::size_t limit) {
  std::vector<bool> resident(trace.keys.size());
  std::deque<std::uint32_t> order;
  std::size_t hits = 0;
  for (const std::uint32_t key : trace.requests) {
    if (resident[key]) {
      ++hits;
      continue;
    }
    resident[key] = true;
    order.push_back(key);
    if (order.size() <= limit) continue;
    resident[order.front()] = false;
    order.pop_front();
  }
  return hits;
}

inline std::size_t lru_hits(const Trace& trace, std::size_t limit) {
  std::list<std::uint32_t> order;  // least recently used first
  std::vector<std::list<std::uint32_t>::iterator> places(trace.keys.size(), order.end());
  std::size_t hits = 0;
  for (const std::uint32_t key : trace.requests) {
    if (places[key] != order.end()) {
      ++hits;
      order.splice(order.end(), order, places[key]);
      continue;
    }
    places[key] = order.insert(order.end(), key);
    if (order.size() <= limit) continue;
    places[order.front()] = order.end();
    order.pop_front();
  }
  return hits;
}

/// Evicts what will not be asked for for the longest time (Belady).
inline std::size_t optimum_hits(const Trace& trace, std::size_t limit) {
  constexpr std::size_t never = std::numeric_limits<std::size_t>::max();
  std::vector<std::size_t> next_request(trace.requests.size());
  std::vector<std::size_t> next_of_key(trace.keys.size(), never);
  for (std::size_t i = trace.requests.size(); i-- > 0;)
    next_request[i] = std::exchange(next_of_key[trace.requests[i]], i);
  // From here on next_of_key[key] is the first request of it that is still to come.
  std::vector<bool> resident(trace.keys.size());
  std::set<std::pair<std::size_t, std::uint32_t>> by_next_request;
  std::size_t hits = 0;
  for (std::size_t i = 0; i < trace.requests.size(); ++i) {
    const std::uint32_t key = trace.requests[i];
    if (resident[key]) {
      ++hits;
      by_next_request.erase({next_of_key[key], key});
    }
    resident[key] = true;
    next_of_key[key] = next_request[i];
    by_next_request.emplace(next_request[i], key);
    if (by_next_request.size() <= limit) continue;
    const auto last = std::prev(by_next_request.end());
    resident[last->second] = false;
    by_next_request.erase(last);
  }
  return hits;
}

}  // namespace bench
