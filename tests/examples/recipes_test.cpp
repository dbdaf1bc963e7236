// The recipes of README and examples/README.md, as their reader would use them.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "lazywriter/cache_stats_format.hpp"
#include "lazywriter/lazy_writer_cache.hpp"
#include "lazywriter/memory_reader_writer.hpp"
#include "lazywriter/no_op_reader_writer.hpp"

namespace {

using namespace std::chrono_literals;

struct Account {
  std::string login;
  double balance{};
  std::int64_t id{};
  const std::string& key() const { return login; }
  void copy_key_data_from(const Account& stored) { id = stored.id; }
};

using Store = lazywriter::MemoryReaderWriter<Account>;
using Cache = lazywriter::LazyWriterCache<Account, Store>;

// clang-format off
// [eight functions]
void eight_functions(Cache& cache) {
  cache.put({.login = "ann", .balance = 10});         // insert or overwrite

  std::optional<Account> ann = cache.get("ann");      // a copy; nullopt if there is none

  cache.visit("ann", [](const Account& account) {     // look at it in place, without a copy
    std::cout << account.balance << '\n';
  });

  cache.update("ann", [](Account& account) {          // change it in place, atomic for this key
    account.balance += 5;
  });

  cache.erase("bob");                                 // gone now, deleted from the store lazily

  lazywriter::FlushResult result = cache.flush();     // write now, and say whether all is saved
  if (!result.ok()) std::cerr << result.pending << " not saved yet: " << result.error << '\n';

  lazywriter::CacheStats stats = cache.stats();       // what the cache did and holds
  std::cout << lazywriter::to_text(stats);

  auto closed = cache.close();                        // flush, stop, hand back what is not saved
  for (const auto& unsaved : closed.unsaved)
    std::cerr << unsaved.key << ": " << unsaved.error << '\n';
}
// [/eight functions]
// clang-format on

TEST(Recipes, TheEightFunctionsDoWhatReadmeSays) {
  Store store;
  store.insert({.login = "bob"});
  Cache cache{store};
  eight_functions(cache);
  EXPECT_EQ(store.row("ann")->balance, 15);
  EXPECT_FALSE(store.row("bob"));
  EXPECT_TRUE(cache.close().unsaved.empty());
}

// [withdraw]
// The code of yours that is to be tested: generic in the store.
template <class AccountCache>
bool withdraw(AccountCache& accounts, std::string_view login, double amount) {
  bool done = false;
  accounts.update(login, [&](Account& account) {
    done = account.balance >= amount;
    if (done) account.balance -= amount;
    return done;  // false: nothing changed, so there is nothing to write
  });
  return done;
}
// [/withdraw]

// [test without a store]
TEST(Withdraw, NeverOverdraws) {
  lazywriter::LazyWriterCache accounts{lazywriter::NoOpReaderWriter<Account>{}};
  accounts.put({.login = "ann", .balance = 10});
  EXPECT_FALSE(withdraw(accounts, "ann", 11));
  EXPECT_TRUE(withdraw(accounts, "ann", 10));
  EXPECT_EQ(accounts.get("ann")->balance, 0);
}
// [/test without a store]

// [test with a failing store]
TEST(Withdraw, SurvivesAStoreThatIsDown) {
  lazywriter::MemoryReaderWriter<Account> store;  // its copies share one table
  store.insert({.login = "ann", .balance = 10});
  // Both loops off: this test decides when something is written.
  lazywriter::LazyWriterCache accounts{
      store, lazywriter::CacheConfig{.flush_interval = 0ms, .prune_interval = 0ms}};
  EXPECT_TRUE(withdraw(accounts, "ann", 4));  // read from the store on the first use

  store.fail_always();  // the database goes away
  EXPECT_EQ(accounts.flush().pending, 1u);
  EXPECT_EQ(accounts.get("ann")->balance, 6);
  EXPECT_EQ(store.row("ann")->balance, 10);

  store.recover();  // and comes back
  EXPECT_TRUE(accounts.flush().ok());
  EXPECT_EQ(store.row("ann")->balance, 6);
}
// [/test with a failing store]

// [create or change]
void deposit(Cache& cache, const std::string& login, double amount) {
  cache.compute(login, [&](std::optional<Account>& account) {
    if (!account) account = Account{.login = login};
    account->balance += amount;
    if (account->balance == 0) account.reset();  // an erase
  });
}
// [/create or change]

TEST(Recipes, ComputeCreatesChangesAndErases) {
  Cache cache{Store{}};
  deposit(cache, "ann", 5);
  deposit(cache, "ann", 5);
  EXPECT_EQ(cache.get("ann")->balance, 10);
  deposit(cache, "ann", -10);
  EXPECT_FALSE(cache.get("ann"));
}

// [metrics]
// The answer to GET /metrics, as Content-Type: text/plain; version=0.0.4
std::string metrics(const Cache& accounts) {
  return lazywriter::to_prometheus(accounts.stats(), "accounts");
}
// [/metrics]

TEST(Recipes, MetricsTellTheCacheByItsName) {
  Cache cache{Store{}};
  cache.put({.login = "ann"});
  EXPECT_NE(metrics(cache).find("\nlazywriter_puts_total{cache=\"accounts\"} 1\n"),
            std::string::npos);
}

// [wait until clean]
// Returns whether everything written so far, also meanwhile by other threads, is in the store.
bool wait_until_clean(Cache& cache, std::chrono::milliseconds longest) {
  const auto deadline = std::chrono::steady_clock::now() + longest;
  do {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (!cache.flush(std::max(left, std::chrono::milliseconds{0})).ok()) return false;
  } while (cache.is_dirty() && std::chrono::steady_clock::now() < deadline);
  return !cache.is_dirty();
}
// [/wait until clean]

TEST(Recipes, WaitUntilCleanWaitsForAStoreThatComesBack) {
  Store store;
  Cache cache{store, lazywriter::CacheConfig{.flush_interval = 0ms,
                                             .prune_interval = 0ms,
                                             .retry_backoff_min = 1ms,
                                             .retry_backoff_max = 5ms}};
  for (int i = 0; i < 100; ++i)
    cache.put({.login = std::to_string(i)});
  store.fail_next(lazywriter::StoreCall::begin_tx, 3);
  EXPECT_TRUE(wait_until_clean(cache, 10s));
  EXPECT_EQ(store.size(), 100u);
}

TEST(Recipes, WaitUntilCleanSaysWhenTimeIsOver) {
  Store store;
  Cache cache{store, lazywriter::CacheConfig{.flush_interval = 0ms,
                                             .prune_interval = 0ms,
                                             .retry_backoff_min = 1ms,
                                             .retry_backoff_max = 5ms}};
  cache.put({.login = "ann"});
  store.fail_always();
  EXPECT_FALSE(wait_until_clean(cache, 20ms));
  store.recover();
}

// [look after parked items]
// Items the store rejects wait for you. Returns how many were given up.
std::size_t look_after_parked(Cache& cache) {
  std::size_t given_up = 0;
  for (const auto& rejected : cache.parked()) {
    std::cerr << rejected.key << ": " << rejected.error << '\n';
    const bool repaired = cache.update(rejected.key, [](Account& account) {
      if (account.balance >= 0) return false;
      account.balance = 0;  // what the table's check asks for; the change makes it dirty again
      return true;
    });
    if (!repaired && cache.discard_parked(rejected.key)) ++given_up;
  }
  return given_up;
}
// [/look after parked items]

TEST(Recipes, ParkedItemsAreRepaired) {
  Store store;
  store.reject("ann", "violates check constraint");
  Cache cache{store, lazywriter::CacheConfig{.flush_interval = 0ms,
                                             .prune_interval = 0ms,
                                             .park_after = 1,
                                             .retry_backoff_min = 0ms,
                                             .retry_backoff_max = 0ms}};
  cache.put({.login = "ann", .balance = -1});
  EXPECT_EQ(cache.flush().parked, 1u);
  store.accept("ann");
  EXPECT_EQ(look_after_parked(cache), 0u);
  EXPECT_TRUE(cache.parked().empty());
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(store.row("ann")->balance, 0);
}

// [warm up]
std::size_t warm_up(Cache& cache, const std::vector<Account>& rows_just_read) {
  return cache.preload(rows_just_read);  // clean; never over something the cache already has
}
// [/warm up]

TEST(Recipes, WarmingUpSparesTheLookups) {
  Store store;
  Cache cache{store};
  EXPECT_EQ(warm_up(cache, {{.login = "ann"}, {.login = "bob"}}), 2u);
  EXPECT_TRUE(cache.get("ann"));
  EXPECT_EQ(store.calls(lazywriter::StoreCall::find), 0u);
  EXPECT_FALSE(cache.is_dirty());
}

TEST(Recipes, ManyThreadsCountWithoutLosingOne) {
  Store store;
  Cache cache{store, lazywriter::CacheConfig{.capacity = 10, .flush_interval = 1ms}};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 2000; ++i)
          deposit(cache, std::to_string(i % 50), 1);
      });
    }
  }
  EXPECT_TRUE(cache.close().unsaved.empty());
  double sum = 0;
  for (const auto& account : store.rows())
    sum += account.balance;
  EXPECT_EQ(sum, 8000);
}

}  // namespace
