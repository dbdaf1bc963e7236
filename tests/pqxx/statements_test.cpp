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
      R"(INSERT INTO "bank"."accounts" AS target ("login","balance"))"
      R"( SELECT pg_catalog.unnest($1::text[]),pg_catalog.unnest($2::numeric[]) ORDER BY 1)"
      R"( ON CONFLICT ("login") DO UPDATE SET "balance" = excluded."balance","changed" = DEFAULT)"
      R"( RETURNING target."login",target."id",target."changed")");
  EXPECT_EQ(
      made.erase,
      R"(WITH lazywriter_present AS (SELECT count(*) AS rows FROM ROWS FROM (pg_catalog.unnest($1::text[])))"
      R"( AS batch(c1) JOIN "bank"."accounts" AS locked ON locked."login" = batch.c1),)"
      R"( doomed AS (SELECT locked."login" AS c1 FROM ROWS FROM (pg_catalog.unnest($1::text[])) AS batch(c1))"
      R"( JOIN "bank"."accounts" AS locked ON locked."login" = batch.c1 ORDER BY batch.c1)"
      R"( FOR UPDATE OF locked), gone AS (DELETE FROM "bank"."accounts" AS target)"
      R"( USING doomed WHERE target."login" = doomed.c1 RETURNING 1))"
      R"( SELECT lazywriter_present.rows - (SELECT count(*) FROM gone))"
      R"( FROM lazywriter_present)");
}

TEST(Statements, OfACompositeKeyAlone) {
  const auto made = statements_of(
      pg::table<Member>("m", pg::key(&Account::branch, "b"), pg::key(&Account::login, "l")));
  EXPECT_EQ(made.find, R"(SELECT "b","l" FROM "m" WHERE "b" = $1::text AND "l" = $2::text)");
  EXPECT_EQ(made.save, R"(INSERT INTO "m" AS target ("b","l"))"
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

TEST(Types, LoseTheirModifierForTheCast) {
  EXPECT_EQ(pg::detail::cast_type("numeric(12,2)"), "numeric");
  EXPECT_EQ(pg::detail::cast_type("varchar(3)"), "varchar");
  EXPECT_EQ(pg::detail::cast_type("timestamp(3) with time zone"), "timestamp with time zone");
  EXPECT_EQ(pg::detail::cast_type("char(4)"), "bpchar");
  for (const char* const name :
       {"CHARACTER", "nchar(10)", "National  Character (3)", "national char", " char(10)"}) {
    EXPECT_EQ(pg::detail::cast_type(name), "bpchar") << name;
  }
  EXPECT_EQ(pg::detail::cast_type("national character varying(5)"), "national character varying");
  EXPECT_EQ(pg::detail::cast_type("bit(3)"), "varbit");
  EXPECT_EQ(pg::detail::cast_type("\"My (Type)\""), "\"My (Type)\"");
}

TEST(Types, ThatCouldBeMoreThanATypeAreRefused) {
  for (const char* const bad :
       {"", "text; DROP TABLE x", "text)--", "text'", "int[]", "\"open", "a)b(", "numeric(1"}) {
    EXPECT_THROW(pg::detail::cast_type(bad), std::invalid_argument) << bad;
  }
}

}  // namespace
