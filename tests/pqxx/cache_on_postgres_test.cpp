// The cache on the real adapter: what README tells, seen in the table.
// CTEST_TIMEOUT: 900
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <lazywriter/lazy_writer_cache.hpp>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "notes.hpp"
#include "support/seed.hpp"

namespace {

namespace pg = lazywriter::pg;
using namespace std::chrono_literals;
using Time = std::chrono::system_clock::time_point;
using testing::HasSubstr;

struct Account {
  std::string login;
  std::string balance = "0.00";
  std::int64_t id{};
  Time updated_at{};

  const std::string& key() const { return login; }
  void copy_key_data_from(const Account& stored) {
    id = stored.id;
    updated_at = stored.updated_at;
  }
};

constexpr auto accounts = pg::table<Account>(
    "accounts", pg::key(&Account::login, "login"),
    pg::column(&Account::balance, "balance", "numeric(12,2)"), pg::generated(&Account::id, "id"),
    pg::refreshed(&Account::updated_at, "updated_at"));
using Store = decltype(lazywriter::PqxxReaderWriter{accounts, std::string_view{}});
using Cache = lazywriter::LazyWriterCache<Account, Store>;

/// No loops, and a rejection parks at once.
lazywriter::CacheConfig by_hand() {
  lazywriter::CacheConfig config;
  config.flush_interval = config.prune_interval = 0ms;
  config.retry_backoff_min = config.retry_backoff_max = 0ms;
  config.park_after = 1;
  return config;
}

class CacheOnPostgres : public pgtest::Notes {
 protected:
  void SetUp() override {
    Notes::SetUp();
    exec(
        "CREATE TABLE accounts (login text PRIMARY KEY, balance numeric(12,2) NOT NULL CHECK "
        "(balance < 1000000), id bigint GENERATED ALWAYS AS IDENTITY, updated_at timestamptz NOT "
        "NULL DEFAULT clock_timestamp());"
        "CREATE TABLE changes (number bigserial, what text);"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO changes"
        " (what) VALUES (TG_OP || ' ' || coalesce(NEW.login, OLD.login)); RETURN NULL; END$$;"
        "CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON accounts FOR EACH ROW"
        " EXECUTE FUNCTION note()");
  }

  Store make_store() { return Store{accounts, url(), options()}; }

  /// What happened to rows since the last call, in order.
  std::string changes() const {
    return value(
        "WITH gone AS (DELETE FROM changes RETURNING *)"
        " SELECT coalesce(string_agg(what, ',' ORDER BY number), '') FROM gone");
  }

  std::string balance(const std::string& login) const {
    return value("SELECT balance FROM accounts WHERE login = '" + login + "'");
  }
};

TEST_F(CacheOnPostgres, WhatTheServerMakesComesBackIntoTheItems) {
  Cache cache{make_store(), by_hand()};
  cache.put({.login = "ann", .balance = "10.00"});
  cache.put({.login = "bob"});
  EXPECT_EQ(cache.peek("ann")->id, 0);
  EXPECT_EQ(cache.flush().written, 2U);
  const Account ann = *cache.peek("ann");
  EXPECT_EQ(std::to_string(ann.id), value("SELECT id FROM accounts WHERE login = 'ann'"));
  EXPECT_NE(ann.id, cache.peek("bob")->id);

  cache.update("ann", [](Account& account) { account.balance = "15.00"; });
  EXPECT_EQ(cache.flush().written, 1U);
  EXPECT_EQ(balance("ann"), "15.00");
  EXPECT_EQ(cache.peek("ann")->id, ann.id);
  EXPECT_GT(cache.peek("ann")->updated_at, ann.updated_at);

  // A new value that knows neither gets both, and a lookup gives the same.
  cache.put({.login = "ann", .balance = "20.00"});
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(cache.peek("ann")->id, ann.id);
  const Account kept = *cache.peek("ann");
  EXPECT_TRUE(cache.invalidate("ann"));
  const Account loaded = *cache.get("ann");
  EXPECT_EQ(loaded.balance, "20.00");
  EXPECT_EQ(loaded.id, kept.id);
  EXPECT_EQ(loaded.updated_at, kept.updated_at);
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(changes(), "INSERT ann,INSERT bob,UPDATE ann,UPDATE ann");  // loading writes nothing
}

TEST_F(CacheOnPostgres, ManyWritesOfAKeyAreOneRow) {
  Cache cache{make_store(), by_hand()};
  for (int cents = 0; cents < 1'000; ++cents) {
    cache.put({.login = "ann", .balance = std::to_string(cents) + ".00"});
  }
  EXPECT_EQ(cache.flush().written, 1U);
  EXPECT_EQ(balance("ann"), "999.00");
  cache.erase("ann");
  cache.put({.login = "ann", .balance = "5.00"});
  cache.erase("ann");
  EXPECT_EQ(cache.flush().erased, 1U);
  EXPECT_FALSE(cache.get("ann").has_value());
  EXPECT_EQ(changes(), "INSERT ann,DELETE ann");
}

TEST_F(CacheOnPostgres, RowsThatAreThereAreReadChangedAndErased) {
  exec("INSERT INTO accounts (login, balance) VALUES ('ann', 7), ('bob', 8), ('cid', 9)");
  changes();
  Cache cache{make_store(), by_hand()};
  EXPECT_FALSE(cache.contains("ann"));
  EXPECT_EQ(cache.get("ann")->balance, "7.00");
  EXPECT_FALSE(cache.get("nobody").has_value());
  EXPECT_TRUE(cache.update("bob", [](Account& account) { account.balance = "80.00"; }));
  EXPECT_FALSE(cache.compute("cid", [](std::optional<Account>& account) { account.reset(); }));
  EXPECT_TRUE(cache.compute("dan", [](std::optional<Account>& account) {
    EXPECT_FALSE(account.has_value());
    account = Account{.login = "dan", .balance = "1.00"};
  }));
  const auto result = cache.flush();
  EXPECT_EQ(result.written, 2U);
  EXPECT_EQ(result.erased, 1U);
  EXPECT_EQ(changes(), "DELETE cid,UPDATE bob,INSERT dan");
}

TEST_F(CacheOnPostgres, OneBadRowAmongThousandsIsParkedAndTheRestIsStored) {
  Cache cache{make_store(), by_hand()};
  for (int number = 0; number < 5'000; ++number) {
    cache.put({.login = std::to_string(number), .balance = number == 3'210 ? "1000000" : "1.00"});
  }
  const auto result = cache.flush(60s);
  EXPECT_EQ(result.written, 4'999U);
  EXPECT_EQ(result.parked, 1U);
  EXPECT_EQ(value("SELECT count(*) FROM accounts"), "4999");
  const auto parked = cache.parked();
  ASSERT_EQ(parked.size(), 1U);
  EXPECT_EQ(parked[0].key, "3210");
  EXPECT_THAT(parked[0].error, HasSubstr("accounts_balance_check"));
  EXPECT_EQ(cache.get("3210")->balance, "1000000");  // readable all the time

  exec("ALTER TABLE accounts DROP CONSTRAINT accounts_balance_check");
  EXPECT_EQ(cache.retry_parked(), 1U);
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(balance("3210"), "1000000.00");
}

TEST_F(CacheOnPostgres, TextThatPostgresCannotHoldIsParkedAndNothingElse) {
  lazywriter::LazyWriterCache cache{pgtest::NoteStore{pgtest::notes, url(), options()}, by_hand()};
  for (int number = 0; number < 100; ++number)
    cache.put({std::to_string(number), "fine"});
  const std::string zero("a\0b", 3);
  cache.put({"zero", zero});
  cache.put({zero, "zero"});
  cache.put({"broken", "\xC3\x28"});
  cache.put({"\xFF", "broken"});
  cache.erase(std::string("\0", 1));  // no such row can exist
  const auto result = cache.flush(60s);
  EXPECT_EQ(result.parked, 4U);
  EXPECT_EQ(result.pending, 0U);
  EXPECT_EQ(value("SELECT count(*) FROM notes"), "100");
  EXPECT_EQ(cache.get("zero")->text, zero);
  EXPECT_FALSE(cache.get(std::string("\0x", 2)).has_value());
}

TEST_F(CacheOnPostgres, AwkwardTextComesBackAsItWentIn) {
  lazywriter::LazyWriterCache cache{pgtest::NoteStore{pgtest::notes, url(), options()}, by_hand()};
  lazywriter::testing::Dice dice{lazywriter::testing::test_seed()};
  const std::vector<std::string> pieces{
      "\"",   "'",  "\\",  "{",      "}",      ",",          "NULL",   " ",    "\n",
      "\r\n", "\t", "$1",  "%",      "--",     "/*",         ";",      "\x01", "\x7F",
      "e",    "E'", "\\x", "\u00E4", "\u20AC", "\U0001F600", "e\u0301"};
  std::map<std::string, std::string> reference{{"", ""}};
  for (int number = 0; number < 2'000; ++number) {
    std::string name, text;
    for (std::size_t left = dice.below(8); left > 0; --left) {
      name += pieces[dice.below(pieces.size())];
      text += pieces[dice.below(pieces.size())];
    }
    reference[name] = text;
  }
  for (const auto& [name, text] : reference)
    cache.put({name, text});
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(value("SELECT count(*) FROM notes"), std::to_string(reference.size()));
  EXPECT_TRUE(cache.invalidate_all().ok());
  EXPECT_EQ(cache.size(), 0U);
  for (const auto& [name, text] : reference) {
    const auto note = cache.get(name);
    ASSERT_TRUE(note.has_value()) << name;
    ASSERT_EQ(note->text, text) << name;
  }
  for (const auto& [name, text] : reference)
    cache.erase(name);
  EXPECT_EQ(cache.flush().erased, reference.size());
  EXPECT_EQ(value("SELECT count(*) FROM notes"), "0");
}

TEST_F(CacheOnPostgres, AServerThatRestartsBetweenTwoFlushesIsNotNoticed) {
  Cache cache{make_store(), by_hand()};
  cache.put({.login = "ann", .balance = "1.00"});
  EXPECT_TRUE(cache.flush().ok());
  pgtest::control_server("restart");
  cache.put({.login = "ann", .balance = "2.00"});
  const auto result = cache.flush();
  EXPECT_EQ(result.written, 1U);
  EXPECT_EQ(result.error, "");
  EXPECT_TRUE(cache.invalidate_all().ok());
  pgtest::control_server("restart");
  EXPECT_EQ(cache.get("ann")->balance, "2.00");
  EXPECT_THAT(log.lines(), testing::IsEmpty());
}

TEST_F(CacheOnPostgres, TheLoopWritesByItselfAndTheEndWritesTheRest) {
  {
    auto config = by_hand();
    config.flush_interval = 1ms;
    config.capacity = 100;
    config.prune_interval = 1ms;
    Cache cache{make_store(), config};
    std::vector<std::thread> writers;
    for (int writer = 0; writer < 4; ++writer) {
      writers.emplace_back([&cache, writer] {
        for (int number = 0; number < 2'000; ++number) {
          const std::string login = std::to_string(number % 500) + "/" + std::to_string(writer);
          cache.compute(login, [&](std::optional<Account>& account) {
            if (!account) account = Account{.login = login, .balance = "0"};
            const auto balance = std::stoi(account->balance);  // "4.00" once it was stored
            account->balance = std::to_string(balance + 1);
          });
        }
      });
    }
    for (std::thread& writer : writers)
      writer.join();
    cache.put({.login = "first", .balance = "1.00"});
    pgtest::wait_until("the row is stored", [this] { return balance("first") == "1.00"; });
    cache.put({.login = "last", .balance = "2.00"});
  }
  EXPECT_EQ(balance("last"), "2.00");
  EXPECT_EQ(value("SELECT count(*) FROM accounts WHERE balance = 4"), "2000");
  EXPECT_EQ(value("SELECT count(*) FROM accounts"), "2002");
}

struct Cell {
  std::int32_t row{};
  std::int64_t column{};
  std::string sheet;
  std::optional<double> number;
  std::tuple<std::int32_t, std::int64_t, std::string> key() const { return {row, column, sheet}; }
  void copy_key_data_from(const Cell&) {}
};

TEST_F(CacheOnPostgres, ACompositeKeyInATableOfAnotherSchema) {
  exec(
      "CREATE TABLE \"Cells.v2\" (\"Row\" int, \"Column\" bigint, \"Sheet\" text, number double "
      "precision, PRIMARY KEY (\"Sheet\", \"Row\", \"Column\"))");
  const std::string table = schema() + ".\"Cells.v2\"";
  lazywriter::LazyWriterCache cache{
      lazywriter::PqxxReaderWriter{
          pg::table<Cell>(table, pg::key(&Cell::row, "Row"), pg::key(&Cell::column, "Column"),
                          pg::key(&Cell::sheet, "Sheet"), pg::column(&Cell::number, "number")),
          pgtest::environment("DATABASE_URL"), options()},
      by_hand()};
  for (int row = -20; row < 20; ++row) {
    for (std::int64_t column = 0; column < 20; ++column) {
      Cell cell{row, column << 40, "A,\"b\"", std::nullopt};
      if (column % 2 == 0) cell.number = row / 3.0;
      cache.put(cell);
    }
  }
  EXPECT_EQ(cache.flush().written, 800U);
  EXPECT_TRUE(cache.invalidate_all().ok());
  EXPECT_EQ(cache.get({-20, std::int64_t{2} << 40, "A,\"b\""})->number, -20 / 3.0);
  EXPECT_EQ(cache.get({-20, std::int64_t{1} << 40, "A,\"b\""})->number, std::nullopt);
  EXPECT_FALSE(cache.get({-20, 1, "A,\"b\""}).has_value());
  cache.erase({-20, 0, "A,\"b\""});
  EXPECT_EQ(cache.flush().erased, 1U);
  EXPECT_EQ(value("SELECT count(*) FROM \"Cells.v2\""), "799");
}

class BatchSizes : public CacheOnPostgres, public testing::WithParamInterface<int> {};

TEST_P(BatchSizes, AreInsertedUpdatedAndErased) {
  const int size = GetParam();
  const auto count = static_cast<std::size_t>(size);
  lazywriter::LazyWriterCache cache{pgtest::NoteStore{pgtest::notes, url(), options()}, by_hand()};
  const auto put_all = [&](const std::string& text) {
    for (int number = 0; number < size; ++number)
      cache.put({std::to_string(number), text});
  };
  const auto rows_with = [this](const std::string& text) {
    return value("SELECT count(*) FROM notes WHERE text = '" + text + "'");
  };
  put_all("inserted");
  EXPECT_EQ(cache.flush().written, count);
  EXPECT_EQ(rows_with("inserted"), std::to_string(size));
  put_all("updated");
  EXPECT_EQ(cache.flush().written, count);
  EXPECT_EQ(rows_with("updated"), std::to_string(size));
  for (int number = 0; number < size; ++number)
    cache.erase(std::to_string(number));
  EXPECT_EQ(cache.flush().erased, count);
  EXPECT_EQ(value("SELECT count(*) FROM notes"), "0");
}

INSTANTIATE_TEST_SUITE_P(Sizes, BatchSizes, testing::Values(1, 999, 1'000, 1'001, 100'000));

}  // namespace
