// What an error says: one line, in the server's own words, with the column.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <lazywriter/lazy_writer_cache.hpp>
#include <lazywriter/pqxx/one_line.hpp>
#include <optional>
#include <string>
#include <vector>

#include "notes.hpp"

namespace {

namespace pg = lazywriter::pg;
using pgtest::message_of;
using pgtest::Note;
using pgtest::notes;
using pgtest::NoteStore;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(OneLine, JoinsLines) {
  EXPECT_EQ(pg::detail::one_line("ERROR:  a\nDETAIL:  b\n\tc\r\n\nHINT:  d\n"),
            "ERROR:  a DETAIL:  b c HINT:  d");
  EXPECT_EQ(pg::detail::one_line("as it  was"), "as it  was");
  EXPECT_EQ(pg::detail::one_line("\n \n"), "");
  EXPECT_EQ(pg::detail::one_line(""), "");
}

class Messages : public pgtest::Notes {
 protected:
  static auto is_one_line() { return Not(testing::ContainsRegex("[\n\r\t]")); }

  /// Ends the writer's backend, and waits until it has.
  void terminate_writer() {
    exec(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name ="
        " 'lazywriter'");
  }
};

TEST_F(Messages, OfTheServerAreOneLineWithDetailAndHint) {
  exec(
      "CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'first'"
      " USING DETAIL = E'second\\nthird', HINT = 'fourth'; END$$; CREATE TRIGGER act BEFORE INSERT"
      " ON notes FOR EACH ROW EXECUTE FUNCTION act()");
  NoteStore store{notes, url(), options()};
  Note note{"a", "a"};
  EXPECT_THAT(message_of<pqxx::plpgsql_raise>([&] { pgtest::save_one(store, note); }),
              AllOf(is_one_line(), HasSubstr("ERROR:  first DETAIL:  second third HINT:  fourth"),
                    HasSubstr("PL/pgSQL function act()")));
}

TEST_F(Messages, KeepTheTypeThatLibpqxxGivesThem) {
  exec("ALTER TABLE notes ADD UNIQUE (text)");
  NoteStore store{notes, url(), options()};
  std::vector<Note> both{{"a", "same"}, {"b", "same"}};
  EXPECT_THAT(message_of<pqxx::unique_violation>([&] { pgtest::save_all(store, both); }),
              AllOf(is_one_line(), HasSubstr("Key (text)=(same) already exists.")));
  EXPECT_EQ(pgtest::sqlstate_of([&] { pgtest::save_all(store, both); }), "23505");
}

TEST_F(Messages, OfABackendThatEndsAreItsLast) {
  NoteStore store{notes, url(), options()};
  auto transaction = store.begin_tx();
  terminate_writer();
  Note note{"a", "a"};
  EXPECT_THAT(message_of<pg::ConnectionLost>([&] { store.save(note, transaction); }),
              AllOf(is_one_line(), StartsWith("lazywriter: the connection to PostgreSQL broke: "),
                    HasSubstr("FATAL:  terminating connection due to administrator command")));
}

TEST_F(Messages, OfABackendThatEndsDuringCommitAreItsLast) {
  NoteStore store{notes, url(), options()};
  auto transaction = store.begin_tx();
  Note note{"a", "a"};
  store.save(note, transaction);
  terminate_writer();
  EXPECT_THAT(message_of<pg::CommitInDoubt>([&] { store.commit_tx(transaction); }),
              AllOf(is_one_line(), HasSubstr("COMMIT was sent"),
                    HasSubstr("FATAL:  terminating connection due to administrator command")));
}

TEST_F(Messages, OfAServerThatCannotBeReachedAreOneLine) {
  lazywriter::PqxxOptions chosen = options();
  chosen.verify_schema = false;
  NoteStore store{notes, "host=/nowhere,/nobody dbname=x", chosen};
  EXPECT_THAT(message_of<pg::ConnectionLost>([&] { store.begin_tx(); }),
              AllOf(is_one_line(), HasSubstr("/nowhere"), HasSubstr("/nobody")));
}

TEST_F(Messages, NameTheTableAsTheMappingDoes) {
  lazywriter::PqxxOptions chosen = options();
  chosen.verify_schema = false;
  EXPECT_EQ((NoteStore{notes, url(), chosen}.name()), "notes");
  EXPECT_EQ((NoteStore{pgtest::notes_in("bank.\"My notes\""), url(), chosen}.name()),
            "bank.\"My notes\"");
}

// ---- the column

struct Wide {
  std::string name;
  std::string code;
  std::optional<std::string> number;
  std::optional<std::string> tags;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Wide&) {}
};

TEST_F(Messages, OfAValueThatTheServerRefusesNameItsColumn) {
  exec(
      "CREATE TABLE wide (name varchar(5) PRIMARY KEY, code varchar(3), number numeric(4), tags "
      "int[])");
  constexpr auto wide = pg::table<Wide>(
      "wide", pg::key(&Wide::name, "name"), pg::column(&Wide::code, "code", "varchar(3)"),
      pg::column(&Wide::number, "number", "numeric(4)"), pg::column(&Wide::tags, "tags", "int[]"));
  for (const bool prepared : {true, false}) {
    lazywriter::PqxxOptions chosen = options();
    chosen.prepared = prepared;
    lazywriter::PqxxReaderWriter store{wide, url(), chosen};
    const auto expect_named = [&](Wide row, const std::string& column, const std::string& said) {
      EXPECT_THAT(message_of<pqxx::data_exception>([&] { pgtest::save_one(store, row); }),
                  AllOf(is_one_line(),
                        StartsWith("column \"" + column + "\" cannot take the value: ERROR:  "),
                        HasSubstr(said)));
      Wide fine{"fine", "abc", "1", "{1}"};
      pgtest::save_one(store, fine);
    };
    expect_named({"a", "abcd", "1", "{1}"}, "code", "value too long");
    expect_named({"a", "abc", "12345", {}}, "number", "numeric field overflow");
    expect_named({"a", "abc", "x", "{1}"}, "number", "invalid input syntax");
    expect_named({"a", "abc", {}, "{1,x}"}, "tags", "invalid input syntax");
    expect_named({"too long", "abc", {}, {}}, "name", "value too long");
    expect_named({"a", "\xFF", {}, {}}, "code", "invalid byte sequence");
    EXPECT_EQ(value("SELECT count(*) FROM wide"), "1");
    // The failure is known to be the row's, and nothing of the transaction is stored.
    auto transaction = store.begin_tx();
    Wide first{"first", "abc", {}, {}};
    store.save(first, transaction);
    Wide bad{"a", "abcd", {}, {}};
    EXPECT_THROW(store.save(bad, transaction), pqxx::data_exception);
    EXPECT_THROW(store.commit_tx(transaction), pg::RolledBack);
    EXPECT_EQ(value("SELECT count(*) FROM wide"), "1");
  }
}

}  // namespace
