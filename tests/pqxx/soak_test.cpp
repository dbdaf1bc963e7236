// Threads write, erase and read while the server is killed, restarted, stopped and hung at random;
// then everything recovers, and the table is compared row by row with what was written.
//
// Twenty seconds. Longer, with a time limit that fits:
//
//     LAZYWRITER_SOAK_SECONDS=3600 tests/run.sh -- -R Soak
//
// The seed is printed; LAZYWRITER_SEED chooses the faults and their order again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "database.hpp"
#include "lazywriter/lazy_writer_cache.hpp"
#include "support/eventually.hpp"
#include "support/items.hpp"
#include "support/seed.hpp"
#include "support/versioned_keys.hpp"

namespace {

namespace pg = lazywriter::pg;
using namespace std::chrono_literals;
using lazywriter::testing::Account;
using lazywriter::testing::Dice;
using lazywriter::testing::eventually;
using lazywriter::testing::VersionedKeys;

constexpr auto accounts =
    pg::table<Account>("accounts", pg::key(&Account::login, "login"),
                       pg::column(&Account::value, "value"), pg::generated(&Account::id, "id"));
using Store = decltype(lazywriter::PqxxReaderWriter{accounts, std::string_view{}});
using Cache = lazywriter::LazyWriterCache<Account, Store>;

constexpr std::size_t keys_per_writer = 300;
constexpr std::size_t writers = 3;
constexpr std::size_t readers = 2;
constexpr auto pace = 100us;  // of every thread, so that the server gets a share of the machine

// The server itself refuses what may never happen: an older value over a newer one, or the return
// of an erased row.
constexpr const char* tables = R"(
CREATE TABLE accounts (login text PRIMARY KEY, value int NOT NULL,
                       id bigint GENERATED ALWAYS AS IDENTITY);
CREATE TABLE newest (login text PRIMARY KEY, value int NOT NULL);
CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'DELETE' THEN
    UPDATE newest SET value = OLD.value + 1 WHERE login = OLD.login;
    RETURN OLD;
  END IF;
  IF NEW.value < (SELECT value FROM newest WHERE login = NEW.login) THEN
    RAISE 'older over newer: % %', NEW.login, NEW.value;
  END IF;
  INSERT INTO newest VALUES (NEW.login, NEW.value)
    ON CONFLICT (login) DO UPDATE SET value = EXCLUDED.value;
  RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON accounts
  FOR EACH ROW EXECUTE FUNCTION guard())";

class Soak : public pgtest::Database {
 protected:
  void SetUp() override {
    Database::SetUp();
    exec(tables);
  }
  void TearDown() override { pgtest::control_server("start"); }

  static std::chrono::seconds duration() {
    const char* const given = std::getenv("LAZYWRITER_SOAK_SECONDS");
    return std::chrono::seconds{given != nullptr ? std::stol(given) : 20};
  }

  Store store() {
    auto chosen = options();
    chosen.lock_timeout = 500ms;
    chosen.statement_timeout = 1s;
    chosen.watchdog = 1500ms;
    chosen.connect_timeout = 2s;
    return Store{accounts, url(), chosen};
  }

  static lazywriter::CacheConfig config() {
    lazywriter::CacheConfig config;
    config.capacity = 200;  // most reads and updates load
    config.flush_interval = 5ms;
    config.prune_interval = 20ms;
    config.retry_backoff_min = 5ms;
    config.retry_backoff_max = 200ms;
    config.max_batch = 100;
    return config;
  }

  /// Effect: writes to its own keys until it is over.
  void write(Cache& cache, std::size_t writer, Dice dice) {
    while (!over()) {
      try {
        keys_.write(cache, writer * keys_per_writer + dice.below(keys_per_writer), dice);
      } catch (const std::exception&) {
        ++failed_loads_;  // the server was asked while it was away: nothing changed
      }
      std::this_thread::sleep_for(pace);
    }
  }

  void read(Cache& cache, Dice dice) {
    std::vector<int> newest(keys_.size());
    while (!over()) {
      const std::size_t k = dice.below(keys_.size());
      keys_.read(cache, k, newest[k], dice);
      std::this_thread::sleep_for(pace);
    }
  }

  /// Blocks until this many more were counted, or it is over.
  template <class Counter>
  void wait_for_more(std::size_t more, const Counter& counter) {
    const auto before = counter();
    EXPECT_TRUE(eventually([&] { return over() || counter() >= before + more; }));
  }

  bool over() const { return stop_ || std::chrono::steady_clock::now() >= end_; }

  /// Effect: one fault, for as long as it takes to accept some writes.
  void disturb(Cache& cache, Dice& dice) {
    struct Fault {
      const char* breaks;
      const char* mends;
    };
    constexpr std::array faults{Fault{"kill", "start"}, Fault{"stop", "start"},
                                Fault{"pause", "continue"}, Fault{"pause", "restart"},
                                Fault{"restart", nullptr}};
    const std::size_t chosen = dice.below(faults.size() + 1);
    if (chosen == faults.size()) {
      exec(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
          "'lazywriter'");
      return;
    }
    pgtest::control_server(faults[chosen].breaks);
    if (faults[chosen].mends == nullptr) return;
    wait_for_more(dice.below(2'000), [&] { return cache.stats().puts; });
    pgtest::control_server(faults[chosen].mends);
  }

  void expect_every_row_stored(Cache& cache) {
    const pqxx::result rows = admin().exec("SELECT login, value, id FROM accounts");
    std::map<std::string, Account> stored;
    for (std::size_t row = 0; row < pg::detail::row_count(rows); ++row) {
      const auto text = [&](std::size_t column) {
        return std::string(pg::detail::field_text(rows, row, column).value());
      };
      stored[text(0)] = Account{text(0), std::stoi(text(1)), std::stoll(text(2))};
    }
    std::size_t expected_rows = 0;
    for (std::size_t k = 0; k < keys_.size(); ++k) {
      const std::string name = std::to_string(k);
      const auto cached = cache.get(name);
      const auto expected = keys_.expected(k);
      EXPECT_EQ(cached.has_value(), expected.has_value()) << name;
      EXPECT_EQ(stored.count(name), expected ? 1U : 0U) << name;
      if (!expected || !cached) continue;
      ++expected_rows;
      EXPECT_EQ(stored[name].value, *expected) << name;
      EXPECT_EQ(cached->value, *expected) << name;
      EXPECT_EQ(cached->id, stored[name].id) << name;
    }
    EXPECT_EQ(pg::detail::row_count(rows), expected_rows);
  }

  /// Expects that the log told changes only: no row was refused, and of the store no line twice in
  /// a row. Lines that name what failed alone differ in nothing but the number that is the key.
  void expect_log_of_changes() {
    auto lines = log.lines();
    EXPECT_THAT(lines, testing::Each(testing::Not(testing::HasSubstr("parked"))));
    std::erase_if(lines, [](const std::string& line) {
      return line.find(" failed alone, ") != std::string::npos;
    });
    EXPECT_EQ(std::adjacent_find(lines.begin(), lines.end(), lazywriter::detail::same_error),
              lines.end());
  }

  VersionedKeys keys_{keys_per_writer * writers};
  const std::chrono::steady_clock::time_point end_ = std::chrono::steady_clock::now() + duration();
  std::atomic<bool> stop_{false};
  std::atomic<std::size_t> failed_loads_{0};
};

TEST_F(Soak, WhateverHappensToTheServerTheTableEndsAsWritten) {
  Dice dice(lazywriter::testing::test_seed());
  Cache cache{store(), config()};
  std::size_t disturbances = 0;
  {
    std::vector<std::jthread> threads;
    for (std::size_t w = 0; w < writers; ++w) {
      threads.emplace_back([&, w, seed = dice.seed()] { write(cache, w, Dice(seed)); });
    }
    for (std::size_t r = 0; r < readers; ++r) {
      threads.emplace_back([&, seed = dice.seed()] { read(cache, Dice(seed)); });
    }
    for (; !over() && !HasFailure(); ++disturbances) {
      // Often the next comes before all has recovered.
      wait_for_more(dice.below(2) * dice.below(2'000), [&] { return cache.stats().flushed_items; });
      disturb(cache, dice);
    }
    stop_ = true;
  }
  const auto result = cache.flush(60s);
  EXPECT_TRUE(result.ok()) << result.error << ", pending " << result.pending;
  expect_every_row_stored(cache);
  const auto stats = cache.stats();
  EXPECT_TRUE(cache.close().unsaved.empty());
  expect_log_of_changes();
  std::cout << disturbances << " disturbances, " << stats.puts << " puts, " << stats.erases
            << " erases, " << stats.loads << " loads, " << failed_loads_
            << " writes whose load failed, " << stats.transactions << " transactions, of them "
            << stats.failed_transactions << " failed, " << log.lines().size() << " log lines"
            << std::endl;
}

}  // namespace
