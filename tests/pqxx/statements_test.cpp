// CTEST_THREADS: none
#include <gtest/gtest.h>

#include <cstdint>
#include <lazywriter/pqxx/statements.hpp>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

namespace {

namespace pg = lazywriter::pg;
using Parts = std::vector<std::string>;

struct Account {
  std::string login;
  std::string branch;
  double balance{};
  std::int64_t id{};
  std::string changed;
  const std::string& key() const { return login; }
  void copy_key_data_from(const Account&) {}
};

struct Member : Account {
  std::tuple<std::string, std::string> key() const { return {branch, login}; }
  void copy_key_data_from(const Member&) {}
};

template <class Table>
pg::detail::Statements statements_of(const Table& table) {
  return pg::detail::make_statements(pg::detail::describe(table));
}

TEST(Statements, OfATableWithEveryKindOfColumn) {
  const auto made = statements_of(pg::table<Account>(
      "bank.accounts", pg::key(&Account::login, "login"),
      pg::column(&Account::balance, "balance", "numeric(12,2)"), pg::generated(&Account::id, "id"),
      pg::refreshed(&Account::changed, "changed", "timestamptz")));
  EXPECT_EQ(
      made.find,
      R"(SELECT "login","balance","id","changed" FROM "bank"."accounts" WHERE "login" = $1::text)");
  EXPECT_EQ(made.read_key, "SELECT $1::text");
  EXPECT_EQ(
      made.save,
      R"(INSERT INTO "bank"."accounts" AS target ("login","balance") OVERRIDING SYSTEM VALUE)"
      R"( SELECT pg_catalog.unnest($1::text[]),pg_catalog.unnest($2::numeric[]) ORDER BY 1)"
      R"( ON CONFLICT ("login") DO UPDATE SET "balance" = excluded."balance","changed" = DEFAULT)"
      R"( RETURNING target."login",target."id",target."changed")");
  EXPECT_EQ(
      made.erase,
      R"(WITH lazywriter_present AS (SELECT count(*) AS rows FROM ROWS FROM (pg_catalog.unnest($1::text[])))"
      R"( AS batch(c1) JOIN "bank"."accounts" AS locked ON locked."login" = batch.c1),)"
      R"( lazywriter_doomed AS (SELECT locked."login" AS c1 FROM ROWS FROM (pg_catalog.unnest($1::text[])) AS batch(c1))"
      R"( JOIN "bank"."accounts" AS locked ON locked."login" = batch.c1 ORDER BY batch.c1)"
      R"( FOR UPDATE OF locked), lazywriter_gone AS (DELETE FROM "bank"."accounts" AS target)"
      R"( USING lazywriter_doomed WHERE target."login" = lazywriter_doomed.c1 RETURNING 1))"
      R"( SELECT lazywriter_present.rows - (SELECT count(*) FROM lazywriter_gone))"
      R"( FROM lazywriter_present)");
}

TEST(Statements, OfACompositeKeyAlone) {
  const auto made = statements_of(
      pg::table<Member>("m", pg::key(&Account::branch, "b"), pg::key(&Account::login, "l")));
  EXPECT_EQ(made.find, R"(SELECT "b","l" FROM "m" WHERE "b" = $1::text AND "l" = $2::text)");
  EXPECT_EQ(made.save, R"(INSERT INTO "m" AS target ("b","l") OVERRIDING SYSTEM VALUE)"
                       R"( SELECT pg_catalog.unnest($1::text[]),pg_catalog.unnest($2::text[]))"
                       R"( ORDER BY 1,2 ON CONFLICT ("b","l") DO UPDATE SET)"
                       R"( "b" = excluded."b","l" = excluded."l" RETURNING target."b",target."l")");
  EXPECT_NE(made.erase.find("FROM ROWS FROM (pg_catalog.unnest($1::text[]),pg_catalog.unnest("
                            "$2::text[])) AS batch(c1,c2) JOIN"),
            std::string::npos);
}

TEST(Names, AreQuotedPartByPart) {
  EXPECT_EQ(pg::detail::quote_identifier("a\"b;c"), "\"a\"\"b;c\"");
  EXPECT_EQ(pg::detail::split_table_name("bank.Accounts"), (Parts{"bank", "Accounts"}));
  EXPECT_EQ(pg::detail::split_table_name("\"my.bank\".\"a\"\"b\""), (Parts{"my.bank", "a\"b"}));
  EXPECT_EQ(pg::detail::split_table_name("a\"b"), (Parts{"a\"b"}));
  for (const char* const bad : {"", ".", "a.", ".a", "a.b.c", "\"a", "\"a\"b"}) {
    EXPECT_THROW(pg::detail::split_table_name(bad), std::invalid_argument) << bad;
  }
  EXPECT_THROW(pg::detail::quote_identifier(std::string_view("a\0b", 3)), std::invalid_argument);
}

TEST(Statements, OfArraysKeepEachOneWhole) {
  const auto made = statements_of(pg::table<Account>("a", pg::key(&Account::login, "k", "_text"),
                                                     pg::column(&Account::branch, "b", "int[]")));
  EXPECT_EQ(made.find, R"(SELECT "k","b" FROM "a" WHERE "k" = $1::_text)");
  EXPECT_NE(made.save.find("SELECT pg_catalog.unnest($1::text[])::_text,"
                           "pg_catalog.unnest($2::text[])::int[] ORDER BY 1"),
            std::string::npos)
      << made.save;
  EXPECT_NE(made.erase.find(R"(locked."k" = batch.c1::_text ORDER BY batch.c1::_text FOR)"),
            std::string::npos)
      << made.erase;
}

TEST(Statements, HideNoTableByANameOfTheirOwn) {
  const auto made =
      statements_of(pg::table<Account>("lazywriter_doomed", pg::key(&Account::login, "k")));
  EXPECT_NE(made.erase.find(", lazywriter_doomed_ AS (SELECT"), std::string::npos) << made.erase;
  const auto qualified =
      statements_of(pg::table<Account>("s.lazywriter_doomed", pg::key(&Account::login, "k")));
  EXPECT_NE(qualified.erase.find(", lazywriter_doomed AS (SELECT"), std::string::npos);
}

std::string cast(std::string_view type) {
  return pg::detail::cast_type(type).type;
}

TEST(Types, LoseTheirModifierForTheCast) {
  EXPECT_EQ(cast("numeric(12,2)"), "numeric");
  EXPECT_EQ(cast("varchar(3)"), "varchar");
  EXPECT_EQ(cast("timestamp(3) with time zone"), "timestamp with time zone");
  EXPECT_EQ(cast("char(4)"), "bpchar");
  for (const char* const name :
       {"CHARACTER", "nchar(10)", "National  Character (3)", "national char", " char(10)"}) {
    EXPECT_EQ(cast(name), "bpchar") << name;
  }
  EXPECT_EQ(cast("national character varying(5)"), "national character varying");
  EXPECT_EQ(cast("bit(3)"), "varbit");
  EXPECT_EQ(cast("\"My (Type)\""), "\"My (Type)\"");
}

TEST(Types, OfArraysHaveSeveralNames) {
  const auto expect_array = [](std::string_view type, const std::string& expected) {
    const pg::detail::Cast made = pg::detail::cast_type(type);
    EXPECT_EQ(made.type, expected);
    EXPECT_TRUE(made.is_array) << type;
  };
  for (const char* const name :
       {"text[]", "text []", "text[3]", "text[][4]", "text ARRAY", "text array[4]"}) {
    expect_array(name, "text[]");
  }
  expect_array("numeric(12,2)[]", "numeric[]");
  expect_array("char(3)[]", "bpchar[]");
  expect_array("_text", "_text");
  expect_array("pg_catalog._int4", "pg_catalog._int4");
  expect_array("\"_text\"", "\"_text\"");
  EXPECT_FALSE(pg::detail::cast_type("my_text").is_array);
  EXPECT_FALSE(pg::detail::cast_type("_s.label").is_array);
}

TEST(Types, AreNamedWithTheirColumnWhenTheyAreRefused) {
  try {
    pg::detail::describe(pg::table<Account>("a", pg::key(&Account::login, "k"),
                                            pg::column(&Account::branch, "b", "text; DROP")));
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(),
                 "lazywriter::pg: column \"b\" of table \"a\": \"text; DROP\" is not"
                 " the name of an SQL type");
  }
}

TEST(Types, ThatCouldBeMoreThanATypeAreRefused) {
  for (const char* const bad :
       {"", "text; DROP TABLE x", "text)--", "text'", "int[", "int]", "int[a]", "[]", "int[]x",
        "int[];", "\"open", "a)b(", "numeric(1"}) {
    EXPECT_THROW(cast(bad), std::invalid_argument) << bad;
  }
}

}  // namespace
