// Without prepared statements, behind a real pgbouncer in transaction mode.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <future>
#include <lazywriter/lazy_writer_cache.hpp>
#include <optional>
#include <string>
#include <vector>

#include "notes.hpp"
#include "pgbouncer.hpp"

namespace {

namespace pg = lazywriter::pg;
using pgtest::Note;
using pgtest::NoteStore;

class Pooler : public pgtest::Notes {
 protected:
  /// The pooler passes no search path on.
  NoteStore make_store(const pgtest::PgBouncer& pooler, lazywriter::PqxxOptions chosen) {
    chosen.prepared = false;
    const std::string table = schema() + ".notes";
    return NoteStore{pgtest::notes_in(table), pooler.url(), chosen};
  }
};

TEST_F(Pooler, CarriesACacheOverFewerConnectionsThanItUses) {
  const pgtest::PgBouncer pooler{2};
  lazywriter::LazyWriterCache cache{make_store(pooler, options()),
                                    {.flush_interval = std::chrono::milliseconds{0}}};
  for (int number = 0; number < 2'500; ++number)
    cache.put({std::to_string(number), "first"});
  EXPECT_TRUE(cache.flush().ok());
  cache.put({"7", "second"});
  cache.erase("8");
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(value("SELECT count(*) FROM notes"), "2499");
  EXPECT_EQ(value("SELECT text FROM notes WHERE name = '7'"), "second");

  EXPECT_TRUE(cache.invalidate_all().ok());
  std::vector<std::future<std::optional<Note>>> readers;
  for (int reader = 0; reader < 8; ++reader) {
    readers.push_back(std::async(
        std::launch::async, [&cache, reader] { return cache.get(std::to_string(100 + reader)); }));
  }
  for (auto& reader : readers)
    EXPECT_EQ(reader.get()->text, "first");
  EXPECT_LE(std::stoi(sessions("lazywriter")), 2);
  EXPECT_THAT(log.lines(), testing::IsEmpty());
}

struct Measured {
  std::string name;
  double number{};
  std::optional<std::string> maybe;
  std::vector<std::byte> bytes;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Measured&) {}
  bool operator==(const Measured&) const = default;
};

TEST_F(Pooler, SettingsThatOthersLeaveInASessionDoNoHarmAndOursDoNotStay) {
  exec(
      "CREATE TABLE measured (name text PRIMARY KEY, number double precision NOT NULL, maybe text,"
      " bytes bytea NOT NULL)");
  const pgtest::PgBouncer pooler{1};  // so that everybody has the same session
  pgtest::Admin other{pooler.url()};
  other.exec("SET extra_float_digits = -3; SET bytea_output = 'escape'; SET array_nulls = off");
  other.exec("SET statement_timeout = '77s'; SET default_transaction_read_only = on");
  const auto state = [&other] {
    return other.value(
        "SELECT concat_ws(' ', current_setting('extra_float_digits'),"
        " current_setting('bytea_output'), current_setting('array_nulls'),"
        " current_setting('statement_timeout'), current_setting('lock_timeout'),"
        " current_setting('transaction_isolation'), current_setting('TimeZone'))");
  };
  const std::string before = state();
  EXPECT_THAT(before, testing::StartsWith("-3 escape off 77s"));

  lazywriter::PqxxOptions chosen = options();
  chosen.prepared = false;
  const std::string table = schema() + ".measured";
  lazywriter::PqxxReaderWriter store{pg::table<Measured>(table, pg::key(&Measured::name, "name"),
                                                         pg::column(&Measured::number, "number"),
                                                         pg::column(&Measured::maybe, "maybe"),
                                                         pg::column(&Measured::bytes, "bytes")),
                                     pooler.url(), chosen};
  Measured item{"a", 1.0 / 3, std::nullopt, {std::byte{0}, std::byte{200}, std::byte{'\\'}}};
  pgtest::save_one(store, item);
  EXPECT_EQ(store.find("a"), item);
  EXPECT_EQ(sessions("lazywriter"), "1");  // until another client uses the session
  EXPECT_EQ(state(), before);
}

TEST_F(Pooler, PassesTheTimeLimitsOn) {
  const pgtest::PgBouncer pooler{2};
  NoteStore store = make_store(pooler, impatient());
  const pgtest::TableLock lock{url()};
  auto transaction = store.begin_tx();
  Note note{"a", "a"};
  EXPECT_EQ(pgtest::sqlstate_of([&] { store.save(note, transaction); }), "55P03");
  EXPECT_EQ(pgtest::sqlstate_of([&] { store.find("a"); }), "55P03");
}

TEST_F(Pooler, ARestartOfTheServerBehindItCostsNothing) {
  const pgtest::PgBouncer pooler{2};
  NoteStore store = make_store(pooler, options());
  expect_works(store);
  pgtest::control_server("restart");
  expect_works(store);
}

TEST_F(Pooler, ARowThatIsRejectedLeavesTheSessionClean) {
  exec("ALTER TABLE notes ADD CHECK (text <> 'bad')");
  const pgtest::PgBouncer pooler{1};
  NoteStore store = make_store(pooler, options());
  Note bad{"bad", "bad"};
  EXPECT_THROW(pgtest::save_one(store, bad), pqxx::sql_error);
  expect_works(store);
  EXPECT_EQ(rows(), "");
}

}  // namespace
