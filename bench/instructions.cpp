// Instructions and lines of memory per operation, counted by callgrind: repeatable where times are
// noise.
//
// Run it by instructions.sh, which makes a table of what callgrind writes. Collection is switched
// on around each loop alone; the cost of the empty loop is measured and taken off.
#include <cstddef>
#include <cstdio>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "implementations.hpp"

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_TOGGLE_COLLECT
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_DUMP_STATS_AT(text) (static_cast<void>(text))
#define RUNNING_ON_VALGRIND 0
#endif

namespace {

constexpr std::size_t residents = 20'000;
constexpr std::size_t operations = 20'000;

/// Effect: counts what `operation` costs over all requests under the name `what`.
template <class Operation>
void count(const std::string& what, const std::vector<std::string>& requests,
           Operation&& operation) {
  CALLGRIND_ZERO_STATS;
  CALLGRIND_TOGGLE_COLLECT;
  for (const std::string& key : requests)
    operation(key);
  CALLGRIND_TOGGLE_COLLECT;
  CALLGRIND_DUMP_STATS_AT(what.c_str());
}

class Counting {
 public:
  template <class Impl>
  void operator()() {
    Impl map(residents + operations);
    for (const std::uint64_t i : bench::shuffled(residents))
      map.put(bench::make_account(bench::make_key(i)));
    if constexpr (Impl::tracks_changes) map.drain();

    const std::string name = Impl::name;
    double sum = 0;
    bench::Account out = bench::make_account(bench::make_key(0));
    count(name + " visit", known_, [&](const std::string& key) {
      map.visit(key, [&](const bench::Account& account) { sum += account.balance; });
    });
    count(name + " get", known_, [&](const std::string& key) { sum += map.get(key)->balance; });
    count(name + " get_into", known_, [&](const std::string& key) {
      map.get_into(key, out);
      sum += out.balance;
    });
    count(name + " put", known_,
          [&](const std::string& key) { map.put(bench::make_account(key)); });
    // Once more: what the first round changed is marked as changed already.
    count(name + " put_again", known_,
          [&](const std::string& key) { map.put(bench::make_account(key)); });
    if constexpr (Impl::tracks_changes) {
      std::size_t puts = 0;
      map.drain();  // what was put before
      count(name + " put_drain", known_, [&](const std::string& key) {
        map.put(bench::make_account(key));
        if (++puts % 1'000 == 0) map.drain();
      });
    }
    count(name + " update", known_, [&](const std::string& key) {
      map.update(key, [](bench::Account& account) { account.balance += 1; });
    });
    count(name + " miss", new_, [&](const std::string& key) {
      map.visit(key, [&](const bench::Account& account) { sum += account.balance; });
    });
    count(name + " put_new", new_,
          [&](const std::string& key) { map.put(bench::make_account(key)); });
    checksum_ += sum;
  }

  void empty_loops() {
    std::size_t length = 0;
    count("none loop", known_, [&](const std::string& key) { length += key.size(); });
    checksum_ += static_cast<double>(length);
  }

  [[nodiscard]] double checksum() const { return checksum_; }

 private:
  static std::vector<std::string> unknown_keys() {
    std::vector<std::string> keys;
    for (std::size_t i = 0; i < operations; ++i)
      keys.push_back(bench::make_key(residents + i));
    return keys;
  }

  std::vector<std::string> known_ = bench::make_requests(
      operations, residents, bench::Distribution::uniform, bench::KeyLength::heap);
  std::vector<std::string> new_ = unknown_keys();
  double checksum_ = 0;
};

}  // namespace

int main() {
  if (RUNNING_ON_VALGRIND == 0)
    std::puts("Nothing is counted outside of callgrind: use instructions.sh");
  const bench::IdleThread idle;
  Counting counting;
  counting.empty_loops();
  bench::for_each_implementation(counting);
  std::printf("operations %zu checksum %.0f\n", operations, counting.checksum());
}
