// verify_schema: one exception that names every fault, and what to do about it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "database.hpp"

namespace {

namespace pg = lazywriter::pg;
using testing::HasSubstr;
using testing::Not;

struct Row {
  std::string name;
  std::int64_t number{};
  std::int32_t narrow{};
  double amount{};
  std::int64_t id{};
  std::string changed;
  std::optional<std::string> stamp;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Row&) {}
};

constexpr auto key = pg::key(&Row::name, "name");
constexpr auto number = pg::column(&Row::number, "number");

class Schema : public pgtest::Database {
 protected:
  /// Makes the table `rows` and returns what is said against mapping it so; "" for nothing.
  template <class... Columns>
  std::string faults(const std::string& columns, Columns... mapping) {
    exec("DROP TABLE IF EXISTS rows CASCADE");
    exec("CREATE TABLE rows (" + columns + ")");
    return faults_now(mapping...);
  }

  template <class... Columns>
  std::string faults_now(Columns... mapping) {
    return faults_of(url(), mapping...);
  }

  template <class... Columns>
  std::string faults_of(const std::string& where, Columns... mapping) {
    try {
      lazywriter::PqxxReaderWriter store{pg::table<Row>("rows", mapping...), where, options()};
    } catch (const pg::SchemaError& error) {
      return error.what();
    }
    return {};
  }
};

TEST_F(Schema, AFittingTableIsTaken) {
  EXPECT_EQ(faults("name text PRIMARY KEY, number bigint, more text", key, number), "");
  EXPECT_EQ(faults("name varchar(20) COLLATE \"C\" UNIQUE NOT NULL, number integer", key, number),
            "");
  EXPECT_EQ(
      faults("name text, number int2", key, number).find("no unique index") == std::string::npos,
      false);
  EXPECT_EQ(
      faults("name text PRIMARY KEY, number bigserial, id bigint GENERATED ALWAYS AS IDENTITY", key,
             pg::generated(&Row::number, "number"), pg::generated(&Row::id, "id")),
      "");
  EXPECT_EQ(
      faults(
          "name text PRIMARY KEY, number bigint, id bigint GENERATED ALWAYS AS (number * 2) STORED",
          key, number, pg::generated(&Row::id, "id")),
      "");
}

TEST_F(Schema, AMissingTable) {
  EXPECT_THAT(faults_now(key), HasSubstr("there is no such table; create it"));
}

TEST_F(Schema, WhatIsNoTable) {
  exec("CREATE VIEW rows AS SELECT 'a'::text AS name");
  EXPECT_THAT(faults_now(key), HasSubstr("it is a view"));
  exec("DROP VIEW rows; CREATE MATERIALIZED VIEW rows AS SELECT 'a'::text AS name");
  EXPECT_THAT(faults_now(key), HasSubstr("it is a materialized view"));
  exec("DROP MATERIALIZED VIEW rows; CREATE SEQUENCE rows");
  EXPECT_THAT(faults_now(key), HasSubstr("it is a sequence"));
  exec("DROP SEQUENCE rows; CREATE TYPE rows AS (name text)");
  EXPECT_THAT(faults_now(key), HasSubstr("it is a composite type"));
  exec(
      "DROP TYPE rows; CREATE TABLE base (name text PRIMARY KEY); CREATE INDEX rows ON base "
      "(name)");
  EXPECT_THAT(faults_now(key), HasSubstr("it is an index"));
  exec(
      "DROP INDEX rows; CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER far FOREIGN DATA WRAPPER"
      " nowhere; CREATE FOREIGN TABLE rows (name text) SERVER far");
  EXPECT_THAT(faults_now(key), HasSubstr("it is a foreign table"));
  exec("DROP FOREIGN DATA WRAPPER nowhere CASCADE");
}

TEST_F(Schema, AViewWithTriggersIsRefusedToo) {
  exec(
      "CREATE TABLE base (name text PRIMARY KEY); CREATE VIEW rows AS SELECT * FROM base; CREATE "
      "FUNCTION f()"
      " RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$; CREATE TRIGGER f INSTEAD OF "
      "INSERT ON"
      " rows FOR EACH ROW EXECUTE FUNCTION f()");
  EXPECT_THAT(faults_now(key), HasSubstr("it is a view"));
}

TEST_F(Schema, AMissingColumn) {
  EXPECT_THAT(faults("name text PRIMARY KEY", key, number),
              HasSubstr("column \"number\" does not exist; add it"));
}

TEST_F(Schema, TypesThatDoNotFit) {
  EXPECT_THAT(faults("name text PRIMARY KEY, number text", key, number),
              HasSubstr("column \"number\" has the type text, the mapping says bigint (implied"));
  EXPECT_THAT(
      faults("name text PRIMARY KEY, narrow bigint", key, pg::column(&Row::narrow, "narrow")),
      HasSubstr("column \"narrow\" has the type bigint"));
  EXPECT_THAT(faults("name text PRIMARY KEY, amount real", key, pg::column(&Row::amount, "amount")),
              HasSubstr("column \"amount\" has the type real"));
  EXPECT_THAT(faults("name text PRIMARY KEY, amount numeric(12,2)", key,
                     pg::column(&Row::amount, "amount")),
              HasSubstr("has the type numeric(12,2)"));
  EXPECT_EQ(faults("name text PRIMARY KEY, amount numeric(12,2)", key,
                   pg::column(&Row::amount, "amount", "numeric(12,2)")),
            "");
  EXPECT_THAT(faults("name text PRIMARY KEY, number bigint", key,
                     pg::column(&Row::number, "number", "nonsense")),
              HasSubstr("column \"number\": there is no type nonsense"));
}

TEST_F(Schema, NoUsableUniqueIndex) {
  EXPECT_THAT(faults("name text, number bigint", key, number),
              HasSubstr("there is no unique index exactly on the key (\"name\")"));
  EXPECT_THAT(faults("name text, number bigint, UNIQUE (name, number)", key, number),
              HasSubstr("no unique index exactly"));
  EXPECT_THAT(faults("name text, number bigint, UNIQUE (name) DEFERRABLE", key, number),
              HasSubstr("is deferrable)"));
  exec(
      "DROP TABLE rows; CREATE TABLE rows (name text, number bigint); CREATE UNIQUE INDEX partly "
      "ON rows"
      " (name) WHERE number > 0");
  EXPECT_THAT(faults_now(key, number), HasSubstr("(partly is partial)"));
  exec(
      "DROP INDEX partly; CREATE UNIQUE INDEX broken ON rows (name);"
      " UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass");
  EXPECT_THAT(faults_now(key, number), HasSubstr("(broken is not valid)"));
  exec("DROP INDEX broken; CREATE UNIQUE INDEX lowered ON rows (lower(name))");
  EXPECT_THAT(faults_now(key, number), HasSubstr("no unique index exactly"));
  exec("CREATE UNIQUE INDEX good ON rows (name) INCLUDE (number)");
  EXPECT_EQ(faults_now(key, number), "");
}

TEST_F(Schema, ADeferrableIndexOnTheKeyIsRefusedBesideAnotherOne) {
  EXPECT_THAT(faults("name text PRIMARY KEY, number bigint,"
                     " CONSTRAINT later UNIQUE (name) DEFERRABLE",
                     key, number),
              HasSubstr("the unique index later on the key is deferrable"));
  exec("ALTER TABLE rows DROP CONSTRAINT later");
  EXPECT_EQ(faults_now(key, number), "");
}

TEST_F(Schema, RulesThatTheServerDoesNotTake) {
  for (const char* const event : {"INSERT", "UPDATE"}) {
    exec("DROP TABLE IF EXISTS rows; CREATE TABLE rows (name text PRIMARY KEY)");
    exec("CREATE RULE r AS ON " + std::string(event) + " TO rows DO INSTEAD NOTHING");
    EXPECT_THAT(faults_now(key), HasSubstr("it has a rule for INSERT or UPDATE")) << event;
  }
  exec(
      "DROP TABLE rows; CREATE TABLE rows (name text PRIMARY KEY);"
      " CREATE RULE r AS ON DELETE TO rows DO INSTEAD NOTHING");
  EXPECT_EQ(faults_now(key), "");
  ASSERT_EQ(log.lines().size(), 1U);
  EXPECT_THAT(log.lines()[0], HasSubstr("has a rule for DELETE"));
}

TEST_F(Schema, ADomainMayBeNamedAsItself) {
  exec("CREATE DOMAIN label AS text CHECK (length(VALUE) < 5)");
  const auto named = pg::key(&Row::name, "name", "label");
  EXPECT_EQ(faults("name label PRIMARY KEY", named), "");
  EXPECT_EQ(faults_now(key), "");
  lazywriter::PqxxReaderWriter store{pg::table<Row>("rows", named), url(), options()};
  Row row;
  row.name = "fits";
  pgtest::save_one(store, row);
  EXPECT_TRUE(store.find("fits").has_value());
  EXPECT_FALSE(store.find("does not fit").has_value());
}

TEST_F(Schema, ArraysOfATypeThatAreWrittenAnotherWayAreRemarkedOn) {
  EXPECT_EQ(
      faults("name text PRIMARY KEY, area box", key, pg::column(&Row::changed, "area", "box")), "");
  ASSERT_EQ(log.lines().size(), 1U);
  EXPECT_THAT(log.lines()[0], HasSubstr("column \"area\" of table \"rows\": the server writes"));
}

TEST_F(Schema, KeysThatAreNotComparedByteByByte) {
  EXPECT_THAT(faults("name char(5) PRIMARY KEY", pg::key(&Row::name, "name", "char(5)")),
              HasSubstr("\"name\" is char(n)"));
  exec(
      "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
  EXPECT_THAT(faults("name text COLLATE loose PRIMARY KEY", key),
              HasSubstr("has a nondeterministic collation"));
  exec("CREATE EXTENSION IF NOT EXISTS citext SCHEMA public");
  EXPECT_THAT(
      faults("name public.citext PRIMARY KEY", pg::key(&Row::name, "name", "public.citext")),
      HasSubstr("\"name\" is citext"));
}

TEST_F(Schema, UnmappedColumnsThatCannotBeNull) {
  EXPECT_THAT(faults("name text PRIMARY KEY, more text NOT NULL", key),
              HasSubstr("column \"more\" is NOT NULL, has no default and is not in the mapping"));
  EXPECT_EQ(faults("name text PRIMARY KEY, more text NOT NULL DEFAULT ''", key), "");
  exec("CREATE DOMAIN filled AS text NOT NULL");
  EXPECT_THAT(faults("name text PRIMARY KEY, more filled", key),
              HasSubstr("column \"more\" is NOT NULL"));
  exec("CREATE DOMAIN prefilled AS filled DEFAULT 'x'");
  EXPECT_EQ(faults("name text PRIMARY KEY, more prefilled", key), "");
}

TEST_F(Schema, SequencesThatWouldRunOut) {
  EXPECT_THAT(
      faults("name text PRIMARY KEY, narrow serial", key, pg::generated(&Row::narrow, "narrow")),
      HasSubstr("column \"narrow\" is an integer fed by a sequence"));
  EXPECT_THAT(faults("name text PRIMARY KEY, narrow int GENERATED BY DEFAULT AS IDENTITY", key),
              HasSubstr("fed by a sequence"));
  EXPECT_THAT(faults("name text PRIMARY KEY, narrow smallserial", key),
              HasSubstr("is an smallint fed"));
  EXPECT_EQ(faults("name text PRIMARY KEY, narrow serial", key, pg::column(&Row::narrow, "narrow")),
            "");
  // However the server writes the default.
  EXPECT_THAT(faults_of(url_with_defaults({"quote_all_identifiers=on"}), key),
              HasSubstr("fed by a sequence"));
  // Widening a column widens an identity's sequence, but not that of a serial.
  const auto generated_id = pg::generated(&Row::id, "id");
  EXPECT_THAT(faults("name text PRIMARY KEY, id serial", key, generated_id),
              HasSubstr("make it bigint"));
  exec("ALTER TABLE rows ALTER id TYPE bigint");
  EXPECT_THAT(
      faults_now(key, generated_id),
      HasSubstr("the sequence rows_id_seq is still of the type integer and feeds the bigint "
                "column \"id\""));
  EXPECT_EQ(faults_now(key, pg::column(&Row::id, "id")), "");
  exec("ALTER SEQUENCE rows_id_seq AS bigint");
  EXPECT_EQ(faults_now(key, generated_id), "");
}

TEST_F(Schema, ColumnsThatOnlyTheServerCanWrite) {
  EXPECT_THAT(
      faults("name text PRIMARY KEY, number bigint GENERATED ALWAYS AS IDENTITY", key, number),
      HasSubstr("\"number\" is always generated by the server; map it by pg::generated"));
  EXPECT_THAT(faults("name text PRIMARY KEY, id bigint GENERATED ALWAYS AS IDENTITY", key,
                     pg::refreshed(&Row::id, "id")),
              HasSubstr("\"id\" is an identity: refreshing it would renumber"));
}

TEST_F(Schema, ReturnedColumnsThatNothingFills) {
  EXPECT_THAT(faults("name text PRIMARY KEY, id bigint", key, pg::generated(&Row::id, "id")),
              HasSubstr("\"id\" has no default that could generate it"));
  EXPECT_THAT(faults("name text PRIMARY KEY, stamp text NOT NULL", key,
                     pg::refreshed(&Row::stamp, "stamp")),
              HasSubstr("\"stamp\" has no default that could refresh it"));
  EXPECT_EQ(faults("name text PRIMARY KEY, stamp text", key, pg::refreshed(&Row::stamp, "stamp")),
            "");
}

TEST_F(Schema, ATriggerFillsAColumnIfItRunsForEveryNewRow) {
  const auto stamp = pg::refreshed(&Row::stamp, "stamp");
  EXPECT_NE(faults("name text PRIMARY KEY, stamp text NOT NULL", key, stamp), "");
  exec("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$");
  for (const char* const trigger :
       {"BEFORE UPDATE ON rows FOR EACH ROW", "BEFORE INSERT ON rows FOR EACH STATEMENT"}) {
    exec("CREATE OR REPLACE TRIGGER f " + std::string(trigger) + " EXECUTE FUNCTION f()");
    EXPECT_NE(faults_now(key, stamp), "") << trigger;
    exec("DROP TRIGGER f ON rows");
  }
  exec("CREATE TRIGGER f BEFORE INSERT OR UPDATE ON rows FOR EACH ROW EXECUTE FUNCTION f()");
  EXPECT_EQ(faults_now(key, stamp), "");
  exec("ALTER TABLE rows DISABLE TRIGGER f");
  EXPECT_NE(faults_now(key, stamp), "");
}

TEST_F(Schema, MissingRights) {
  const std::string role = schema() + "_role";
  exec("CREATE TABLE rows (name text PRIMARY KEY, number bigint, id bigserial); CREATE ROLE " +
       role + " LOGIN PASSWORD 'x'");
  exec("ALTER TABLE rows ADD second bigint DEFAULT nextval('rows_id_seq')");
  const std::string as_role = url("&user=" + role);
  const auto check = [&] { return faults_of(as_role, key, number, pg::generated(&Row::id, "id")); };
  // Nothing is granted: the table is looked up through the schema's name.
  try {
    lazywriter::PqxxReaderWriter store{
        pg::table<Row>(schema() + ".rows", key, number, pg::generated(&Row::id, "id")), as_role,
        options()};
    ADD_FAILURE();
  } catch (const pg::SchemaError& error) {
    EXPECT_THAT(error.what(), HasSubstr("GRANT USAGE ON SCHEMA \"" + schema() + "\" TO " + role));
    EXPECT_THAT(error.what(),
                HasSubstr("the right to SELECT is missing for \"name\", \"number\", \"id\""));
  }
  exec("GRANT USAGE ON SCHEMA " + schema() + " TO " + role);
  const std::string all = check();
  EXPECT_THAT(
      all, HasSubstr("the right to INSERT is missing for \"name\", \"number\"; GRANT INSERT ON"));
  EXPECT_THAT(all, HasSubstr("the right to UPDATE is missing for \"number\""));
  EXPECT_THAT(all, HasSubstr("GRANT DELETE ON \"rows\" TO " + role));
  const std::string for_sequence = "GRANT USAGE ON SEQUENCE rows_id_seq TO " + role;
  EXPECT_THAT(all, HasSubstr(for_sequence));
  EXPECT_EQ(all.find(for_sequence), all.rfind(for_sequence)) << "two columns draw from it";
  exec("GRANT SELECT (name, number, id), INSERT (name, number), UPDATE (number) ON rows TO " +
       role + "; GRANT DELETE ON rows TO " + role + "; GRANT USAGE ON SEQUENCE rows_id_seq TO " +
       role);
  EXPECT_EQ(check(), "");
  // Column grants are really enough.
  lazywriter::PqxxReaderWriter store{
      pg::table<Row>("rows", key, number, pg::generated(&Row::id, "id")), as_role, options()};
  Row row;
  row.name = "a";
  pgtest::save_one(store, row);
  pgtest::save_one(store, row);
  EXPECT_TRUE(store.find("a").has_value());
  auto transaction = store.begin_tx();
  store.erase("a", transaction);
  store.commit_tx(transaction);
  EXPECT_EQ(value("SELECT count(*) FROM rows"), "0");
  exec("DROP OWNED BY " + role + "; DROP ROLE " + role);
}

TEST_F(Schema, ASequenceThatIsNeverAskedNeedsNoRight) {
  const std::string role = schema() + "_role";
  exec("CREATE TABLE rows (name text PRIMARY KEY, id bigserial); CREATE ROLE " + role +
       " LOGIN; GRANT USAGE ON SCHEMA " + schema() + " TO " + role +
       "; GRANT SELECT, INSERT, UPDATE, DELETE ON rows TO " + role);
  const std::string as_role = url("&user=" + role);
  EXPECT_EQ(faults_of(as_role, key, pg::column(&Row::id, "id")), "");
  EXPECT_THAT(faults_of(as_role, key, pg::generated(&Row::id, "id")), HasSubstr("SEQUENCE"));
  exec("DROP OWNED BY " + role + "; DROP ROLE " + role);
}

TEST_F(Schema, AKeyOnlyTableNeedsTheRightToUpdateItsKey) {
  const std::string role = schema() + "_role";
  exec("CREATE TABLE rows (name text PRIMARY KEY); CREATE ROLE " + role +
       " LOGIN; GRANT USAGE ON SCHEMA " + schema() + " TO " + role +
       "; GRANT SELECT, INSERT, DELETE ON rows TO " + role);
  const std::string as_role = url("&user=" + role);
  EXPECT_THAT(faults_of(as_role, key), HasSubstr("the right to UPDATE is missing for \"name\""));
  exec("GRANT UPDATE (name) ON rows TO " + role);
  EXPECT_EQ(faults_of(as_role, key), "");
  exec("DROP OWNED BY " + role + "; DROP ROLE " + role);
}

struct Pair : Row {
  std::pair<std::string, std::int64_t> key() const { return {name, number}; }
  void copy_key_data_from(const Pair&) {}
};

TEST_F(Schema, ACompositeKeyNeedsAnIndexOnAllOfItAndNothingMore) {
  exec("CREATE TABLE rows (name text UNIQUE, number bigint UNIQUE, narrow int)");
  const auto open = [this] {
    lazywriter::PqxxReaderWriter{pg::table<Pair>("rows", key, pg::key(&Row::number, "number")),
                                 url(), options()};
  };
  EXPECT_THROW(open(), pg::SchemaError);
  exec("CREATE UNIQUE INDEX ON rows (name, number, narrow)");
  EXPECT_THROW(open(), pg::SchemaError);
  exec("CREATE UNIQUE INDEX ON rows (number, name)");  // whatever their order
  EXPECT_NO_THROW(open());
}

TEST_F(Schema, AllFaultsInOneMessage) {
  const std::string all = faults("name char(4), number text, more text NOT NULL",
                                 pg::key(&Row::name, "name", "char(4)"), number,
                                 pg::column(&Row::narrow, "narrow"), pg::generated(&Row::id, "id"));
  for (const char* const part :
       {"\"name\" is char(n)", "\"number\" has the type", "\"more\" is NOT NULL",
        "\"narrow\" does not exist", "\"id\" does not exist", "no unique index"}) {
    EXPECT_THAT(all, HasSubstr(part));
  }
}

TEST_F(Schema, AnUnloggedTableIsRemarkedOn) {
  exec("CREATE UNLOGGED TABLE rows (name text PRIMARY KEY)");
  EXPECT_EQ(faults_now(key), "");
  ASSERT_EQ(log.lines().size(), 1U);
  EXPECT_THAT(log.lines()[0], HasSubstr("UNLOGGED"));
}

TEST_F(Schema, ConstructionWithoutVerificationTouchesNoServer) {
  lazywriter::PqxxOptions chosen = options();
  chosen.verify_schema = false;
  lazywriter::PqxxReaderWriter store{pg::table<Row>("rows", key), "host=/nonexistent password=hush",
                                     chosen};
  try {
    store.find("a");
    ADD_FAILURE();
  } catch (const pg::ConnectionLost& error) {
    EXPECT_THAT(error.what(), HasSubstr("cannot connect to PostgreSQL"));
    EXPECT_THAT(error.what(), Not(HasSubstr("hush")));
  }
}

TEST_F(Schema, ThePasswordIsInNoMessageOfAFailedLogin) {
  const std::string good = pgtest::environment("DATABASE_URL_TCP");
  const std::size_t at = good.find('@');
  const std::string bad = "postgresql://postgres:hush" + good.substr(at);
  try {
    lazywriter::PqxxReaderWriter store{pg::table<Row>("rows", key), bad, options()};
    ADD_FAILURE();
  } catch (const pg::ConnectionLost& error) {
    EXPECT_THAT(error.what(), HasSubstr("password authentication failed"));
    EXPECT_THAT(error.what(), Not(HasSubstr("hush")));
  }
}

}  // namespace
