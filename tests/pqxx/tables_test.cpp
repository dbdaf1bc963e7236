// Tables as people have them: whatever passes the check at construction can be saved, found and
// erased, and what cannot is refused there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "notes.hpp"

namespace {

namespace pg = lazywriter::pg;
using pgtest::message_of;
using testing::AllOf;
using testing::HasSubstr;

struct Row {
  std::string name;
  std::optional<std::string> value;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Row&) {}
};

struct Numbered {
  std::int64_t id{};
  std::int64_t number{};
  std::string text{};
  std::int64_t key() const { return id; }
  void copy_key_data_from(const Numbered&) {}
};
constexpr auto id = pg::key(&Numbered::id, "id");
constexpr auto number = pg::column(&Numbered::number, "number");

class Tables : public pgtest::Database {
 protected:
  /// Saves these rows together, finds each as it was, and erases them.
  template <class Store>
  void expect_kept(Store& store, std::vector<Row> rows) {
    pgtest::save_all(store, rows);
    pgtest::save_all(store, rows);
    std::vector<std::string> keys;
    for (const Row& row : rows) {
      const auto found = store.find(row.name);
      ASSERT_TRUE(found.has_value()) << row.name;
      EXPECT_EQ(found->value, row.value);
      keys.push_back(row.name);
    }
    auto transaction = store.begin_tx();
    store.erase_batch(keys, transaction);
    store.commit_tx(transaction);
    for (const std::string& key : keys)
      EXPECT_FALSE(store.find(key).has_value()) << key;
  }
};

std::string prepared_by(pg::detail::Session& session) {
  const pqxx::result rows = session.exec("SELECT count(*) FROM pg_prepared_statements");
  return std::string(pg::detail::field_text(rows, 0, 0).value_or("NULL"));
}

struct Type {
  const char* column;
  const char* mapping;
  std::vector<std::string> values;
};

TEST_F(Tables, ATypeMayHaveAnyOfItsNames) {
  exec(
      "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN labels AS text[];"
      "CREATE DOMAIN label AS text; CREATE TYPE pair AS (a int, b text)");
  const std::vector<Type> types{
      {"text[]", "_text", {R"({a,"b c",NULL})", "{}", R"({"\"","{}"})"}},
      {"text[]", "text[]", {R"({a,"b c",NULL})", "{}"}},
      {"text[]", "text array", {"{a}", "{b,c}"}},
      {"text[]", "pg_catalog._text", {"{a}", "{b,c}"}},
      {"varchar(3)[]", "varchar(3)[]", {"{abc}", "{a,b}"}},
      {"numeric(4,1)[]", "numeric(4,1)[]", {"{1.5,2.0}"}},
      {"int[]", "_int4", {"{1,2}", "{{1,2},{3,4}}", "{}"}},
      {"bytea[]", "bytea[]", {R"({"\\x0001","\\x"})"}},
      {"jsonb[]", "_jsonb", {R"({"{\"a\": 1}"})"}},
      {"mood[]", "mood[]", {"{sad,ok}"}},
      {"mood[]", "_mood", {"{sad,ok}"}},
      {"labels", "labels", {"{a,b}", "{}"}},
      {"label[]", "label[]", {"{a,b}"}},
      {"pair", "pair", {"(1,\"b c\")"}},
      {"pair[]", "pair[]", {R"x({"(1,\"b c\")","(2,x)"})x"}},
      {"mood", "mood", {"sad", "ok"}},
      {"int4", "int4", {"1", "2"}},
      {"boolean", "bool", {"t", "f"}},
      {"\"char\"", "\"char\"", {"a"}},
      {"char(3)", "bpchar", {"abc"}},
      {"bit(3)", "bit(3)", {"101"}},
      {"bit varying", "varbit", {"1", "1010"}},
      {"timestamptz", "timestamp with time zone", {"2024-02-29 10:00:00+00"}},
      {"timetz", "time with time zone", {"10:00:00+00"}},
      {"interval", "interval day to second", {"1 day 02:00:00"}},
      {"inet", "inet", {"10.0.0.1", "::1"}},
      {"money", "money", {"$1.50"}},
      {"xml", "xml", {"<a/>"}},
      {"tsvector", "tsvector", {"'a' 'b'"}},
      {"int4range", "int4range", {"[1,3)", "empty"}},
      {"uuid", "uuid", {"9e0a5777-15c8-444b-a718-ed7926aa9c93"}},
      {"double precision", "float8", {"1.5", "NaN"}},
      {"int2vector", "int2vector", {"1 2"}},
      {"point", "point", {"(1,2)"}},
      {"name", "name", {"a"}},
      {"oid", "oid", {"42"}},
  };
  for (const Type& type : types) {
    SCOPED_TRACE(std::string(type.column) + " as " + type.mapping);
    exec("DROP TABLE IF EXISTS rows; CREATE TABLE rows (name text PRIMARY KEY, value " +
         std::string(type.column) + ")");
    lazywriter::PqxxReaderWriter store{
        pg::table<Row>("rows", pg::key(&Row::name, "name"),
                       pg::column(&Row::value, "value", type.mapping)),
        url(), options()};
    std::vector<Row> rows{{"null", std::nullopt}};
    for (const std::string& value : type.values)
      rows.push_back({"value " + std::to_string(rows.size()), value});
    expect_kept(store, rows);
  }
}

TEST_F(Tables, BitsThatAreTooManyAreRefusedNotCut) {
  exec("CREATE TABLE rows (name text PRIMARY KEY, value bit(3))");
  lazywriter::PqxxReaderWriter store{pg::table<Row>("rows", pg::key(&Row::name, "name"),
                                                    pg::column(&Row::value, "value", "bit(3)")),
                                     url(), options()};
  Row row{"a", "1010"};
  EXPECT_EQ(pgtest::sqlstate_of([&] { pgtest::save_one(store, row); }), "22026");
}

TEST_F(Tables, AnArrayMayBeTheKey) {
  exec("CREATE TABLE rows (tags text[] PRIMARY KEY, value text)");
  lazywriter::PqxxReaderWriter store{pg::table<Row>("rows", pg::key(&Row::name, "tags", "_text"),
                                                    pg::column(&Row::value, "value")),
                                     url(), options()};
  expect_kept(store, {{"{a,b}", "1"}, {"{}", "2"}, {"{a}", "3"}});
  Row spaced{"{a, b}", "4"};
  EXPECT_THAT(message_of<pg::RejectedValue>([&] { pgtest::save_one(store, spaced); }),
              HasSubstr("column \"tags\" was sent as \"{a, b}\" and came back as \"{a,b}\""));
}

TEST_F(Tables, WhatTheServerCannotPrepareIsRefusedAtConstruction) {
  exec("CREATE TABLE rows (name text PRIMARY KEY, value text)");
  pg::detail::Environment environment{
      url(), options(),
      pg::detail::describe(
          pg::table<Row>("rows", pg::key(&Row::name, "name"), pg::column(&Row::value, "value")))};
  pg::detail::Session session{environment, false};
  pg::detail::Statements broken = environment.statements;
  broken.save = "INSERT INTO rows (value) SELECT unnest($1::_text[])";
  const std::string message = message_of<pg::SchemaError>([&] {
    pg::detail::SchemaCheck{session, environment.table, broken}.run();
  });
  EXPECT_THAT(message, AllOf(HasSubstr("the server does not take a statement of the mapping"),
                             HasSubstr("type \"_text[]\" does not exist")));
  EXPECT_EQ(prepared_by(session), "0");
  EXPECT_NO_THROW(
      (pg::detail::SchemaCheck{session, environment.table, environment.statements}.run()));
  EXPECT_EQ(prepared_by(session), "0");
}

// ---- keys that the server could make

TEST_F(Tables, AKeyThatIsGeneratedAlwaysIsTheProgramsAllTheSame) {
  exec(
      "CREATE TABLE rows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number bigint NOT "
      "NULL)");
  lazywriter::PqxxReaderWriter store{pg::table<Numbered>("rows", id, number), url(), options()};
  std::vector<Numbered> rows{{7, 1}, {9, 2}};
  pgtest::save_all(store, rows);
  rows = {{7, 3}, {8, 4}};
  pgtest::save_all(store, rows);
  EXPECT_EQ(value("SELECT string_agg(id || '=' || number, ',' ORDER BY id) FROM rows"),
            "7=3,8=4,9=2");
  ASSERT_TRUE(store.find(9).has_value());
}

TEST_F(Tables, AKeyAloneThatIsGeneratedAlwaysIsRefused) {
  exec("CREATE TABLE rows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)");
  const auto open = [this] {
    lazywriter::PqxxReaderWriter{pg::table<Numbered>("rows", id), url(), options()};
  };
  EXPECT_THAT(message_of<pg::SchemaError>(open),
              HasSubstr("column \"id\" is always generated by the server, and the mapping has no "
                        "other column that a save could set"));
  exec("ALTER TABLE rows ALTER id SET GENERATED BY DEFAULT");
  EXPECT_NO_THROW(open());
}

TEST_F(Tables, AKeyThatASequenceFeedsIsRemarkedOnOnce) {
  for (const char* const type : {"bigserial", "bigint GENERATED BY DEFAULT AS IDENTITY",
                                 "bigint GENERATED ALWAYS AS IDENTITY"}) {
    exec("DROP TABLE IF EXISTS rows; CREATE TABLE rows (id " + std::string(type) +
         " PRIMARY KEY, number bigint NOT NULL)");
    pgtest::Log said;
    lazywriter::PqxxOptions chosen = options();
    chosen.warn = [&said](std::string_view text) { said.add(text); };
    lazywriter::PqxxReaderWriter store{pg::table<Numbered>("rows", id, number), url(), chosen};
    Numbered row{1, 1};
    pgtest::save_one(store, row);
    EXPECT_THAT(said.lines(), testing::ElementsAre(AllOf(
                                  HasSubstr("column \"id\" of table \"rows\" belongs to the key"),
                                  HasSubstr("the program must supply the key of every item"))))
        << type;
  }
  exec("DROP TABLE rows; CREATE TABLE rows (id bigint PRIMARY KEY, number bigserial)");
  lazywriter::PqxxReaderWriter store{pg::table<Numbered>("rows", id, number), url(), options()};
  EXPECT_THAT(log.lines(), testing::IsEmpty());
}

// ---- views

TEST_F(Tables, AViewWorksWithoutTheCheckWhichSaysSo) {
  exec(
      "CREATE TABLE base (id bigint PRIMARY KEY, number bigint NOT NULL, secret text);"
      "CREATE VIEW rows AS SELECT id, number FROM base WITH CASCADED CHECK OPTION");
  constexpr auto rows = pg::table<Numbered>("rows", id, number);
  EXPECT_THAT(
      message_of<pg::SchemaError>([&] { lazywriter::PqxxReaderWriter(rows, url(), options()); }),
      AllOf(HasSubstr("it is a view"), HasSubstr("works with verify_schema = false")));
  lazywriter::PqxxOptions chosen = options();
  chosen.verify_schema = false;
  lazywriter::PqxxReaderWriter store{rows, url(), chosen};
  std::vector<Numbered> two{{1, 1}, {2, 2}};
  pgtest::save_all(store, two);
  pgtest::save_all(store, two);
  auto transaction = store.begin_tx();
  store.erase(1, transaction);
  store.commit_tx(transaction);
  EXPECT_FALSE(store.find(1).has_value());
  EXPECT_EQ(value("SELECT string_agg(id || '=' || number, ',') FROM base"), "2=2");
  EXPECT_EQ(store.classify(pqxx::insufficient_privilege("", "", "42501")),
            lazywriter::WriteFailure::rejected);
}

// ---- names

TEST_F(Tables, MayBeNamedLikeAnythingTheStatementsName) {
  const std::vector<std::string> names{"lazywriter_present",
                                       "lazywriter_doomed",
                                       "lazywriter_gone",
                                       "lazywriter_present_",
                                       "target",
                                       "excluded",
                                       "batch",
                                       "locked",
                                       "c1",
                                       "rows",
                                       "count",
                                       "unnest",
                                       "value",
                                       "user",
                                       "select",
                                       "x\"y",
                                       "a b",
                                       "\xC3\xA4"};
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const std::string quoted = pg::detail::quote_identifier(name);
    exec("CREATE TABLE " + quoted + " (" + quoted + " text PRIMARY KEY, \"v\" text)");
    lazywriter::PqxxReaderWriter store{
        pg::table<Row>(quoted, pg::key(&Row::name, name), pg::column(&Row::value, "v")), url(),
        options()};
    expect_kept(store, {{"a", "1"}, {"b", std::nullopt}});
    lazywriter::PqxxReaderWriter in_schema{
        pg::table<Row>(schema() + "." + quoted, pg::key(&Row::name, name),
                       pg::column(&Row::value, "v")),
        url(), options()};
    expect_kept(in_schema, {{"a", "1"}, {"b", std::nullopt}});
  }
  // As the name of a value.
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    exec("DROP TABLE IF EXISTS plain; CREATE TABLE plain (k text PRIMARY KEY, " +
         pg::detail::quote_identifier(name) + " text)");
    lazywriter::PqxxReaderWriter store{
        pg::table<Row>("plain", pg::key(&Row::name, "k"), pg::column(&Row::value, name)), url(),
        options()};
    expect_kept(store, {{"a", "1"}, {"b", std::nullopt}});
  }
}

}  // namespace
