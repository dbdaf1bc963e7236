// What all benchmarks store and ask for: the item, its keys, and streams of requests.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace bench {

/// A row of a usual service: a key, what the program writes, and an id that the store generates.
struct Account {
  std::string login;
  std::int64_t id = 0;
  std::string city;
  double balance = 0;

  const std::string& key() const { return login; }
  void copy_key_data_from(const Account& stored) { id = stored.id; }
};

/// Long keys lie on the heap; short ones inside the string object.
enum class KeyLength { heap, sso };

inline constexpr std::string_view name_of(KeyLength length) {
  return length == KeyLength::heap ? "heap" : "sso";
}

/// Returns: the key of number `i`: 20 characters, or 12 that fit into the string object.
inline std::string make_key(std::uint64_t i, KeyLength length = KeyLength::heap) {
  std::string key = length == KeyLength::heap ? "account-000000000000" : "a00000000000";
  for (std::size_t at = key.size(); i != 0; i /= 10)
    key[--at] = static_cast<char>('0' + i % 10);
  return key;
}

inline Account make_account(const std::string& login, double balance = 1.0) {
  return {login, 0, "Reykjavik", balance};
}

enum class Distribution { uniform, zipf };

inline constexpr std::string_view name_of(Distribution distribution) {
  return distribution == Distribution::uniform ? "uniform" : "zipf";
}

/// Numbers 0..count-1 by Zipf's law (Gray et al., "Quickly generating billion-record synthetic
/// databases").
class Zipf {
 public:
  explicit Zipf(std::uint64_t count, double theta = 0.99) : count_(count), theta_(theta) {
    for (std::uint64_t i = 1; i <= count; ++i)
      zeta_ += 1.0 / std::pow(static_cast<double>(i), theta);
    const double zeta_of_2 = 1.0 + std::pow(0.5, theta);
    alpha_ = 1.0 / (1.0 - theta);
    eta_ =
        (1.0 - std::pow(2.0 / static_cast<double>(count), 1.0 - theta)) / (1.0 - zeta_of_2 / zeta_);
  }

  template <class Random>
  std::uint64_t operator()(Random& random) const {
    const double u = std::uniform_real_distribution<double>{}(random);
    const double scaled = u * zeta_;
    if (scaled < 1.0) return 0;
    if (scaled < 1.0 + std::pow(0.5, theta_)) return 1;
    const double rank = static_cast<double>(count_) * std::pow(eta_ * u - eta_ + 1.0, alpha_);
    return std::min(count_ - 1, static_cast<std::uint64_t>(rank));
  }

 private:
  std::uint64_t count_;
  double theta_;
  double zeta_ = 0;
  double alpha_;
  double eta_;
};

/// Returns: the numbers 0..count-1 in an order that has nothing to do with their keys.
inline std::vector<std::uint64_t> shuffled(std::size_t count) {
  std::vector<std::uint64_t> numbers(count);
  for (std::size_t i = 0; i < count; ++i)
    numbers[i] = i;
  std::shuffle(numbers.begin(), numbers.end(), std::mt19937_64{1});
  return numbers;
}

/// Returns: `length` requests for the keys 0..count-1. They lie one behind the other in memory, so
/// that reading the request costs next to nothing beside the operation.
inline std::vector<std::string> make_requests(std::size_t length, std::size_t count,
                                              Distribution distribution, KeyLength key_length) {
  std::mt19937_64 random{7};
  std::vector<std::uint64_t> drawn(length);
  if (distribution == Distribution::zipf) {
    const Zipf zipf(count);
    const std::vector<std::uint64_t> ranks = shuffled(count);
    for (auto& number : drawn)
      number = ranks[zipf(random)];
  } else {
    std::uniform_int_distribution<std::uint64_t> any(0, count - 1);
    for (auto& number : drawn)
      number = any(random);
  }
  std::vector<std::string> requests;
  requests.reserve(length);
  for (const std::uint64_t number : drawn)
    requests.push_back(make_key(number, key_length));
  return requests;
}

/// A second thread that only sleeps. Without one glibc leaves out the atomic instructions of malloc
/// and of some locks, which flatters every lock.
class IdleThread {
 public:
  IdleThread() : thread_([this] { sleep(); }) {}
  ~IdleThread() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  IdleThread(const IdleThread&) = delete;
  IdleThread& operator=(const IdleThread&) = delete;

 private:
  void sleep() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return over_; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;  // last: it uses what is above
};

}  // namespace bench
