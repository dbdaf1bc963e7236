// What could lose a row without a word, and must not; and how errors of the server are classified.
#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "database.hpp"

namespace {

namespace pg = lazywriter::pg;
using lazywriter::WriteFailure;

struct Note {
  std::string name;
  std::string text;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Note&) {}
};

constexpr auto notes =
    pg::table<Note>("notes", pg::key(&Note::name, "name"), pg::column(&Note::text, "text"));
using Store = decltype(lazywriter::PqxxReaderWriter{notes, std::string_view{}});

class Errors : public pgtest::Database {
 protected:
  void SetUp() override {
    pgtest::Database::SetUp();
    exec("CREATE TABLE notes (name text PRIMARY KEY, text text NOT NULL)");
  }

  /// A trigger whose body is `body`.
  void trigger(const std::string& body, const std::string& when = "BEFORE INSERT OR UPDATE") {
    exec("CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN " + body +
         " END$$; CREATE TRIGGER act " + when + " ON notes FOR EACH ROW EXECUTE FUNCTION act()");
  }

  std::string rows() {
    return value("SELECT coalesce(string_agg(name, ',' ORDER BY name), '') FROM notes");
  }

  /// How saving these items fails; nothing of the transaction may be stored.
  WriteFailure failure_of(Store& store, std::vector<Note> items) {
    const std::string before = rows();
    try {
      pgtest::save_all(store, items);
    } catch (const std::exception& error) {
      message = error.what();
      EXPECT_EQ(rows(), before);
      return store.classify(error);
    }
    ADD_FAILURE() << "it was saved";
    return WriteFailure::transient;
  }

  /// How saving fails where there is no table to look into.
  static WriteFailure failure_without_rows(Store& store) {
    try {
      Note note{"a", "a"};
      pgtest::save_one(store, note);
    } catch (const std::exception& error) {
      return store.classify(error);
    }
    ADD_FAILURE() << "it was saved";
    return WriteFailure::transient;
  }

  /// Effect: calls `test` with the name of a role that may do everything with `notes`.
  template <class Test>
  void with_role(const Test& test) {
    const std::string role = schema() + "_role";
    exec("CREATE ROLE " + role + " LOGIN; GRANT USAGE ON SCHEMA " + schema() + " TO " + role +
         "; GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO " + role);
    test(role);
    exec("DROP OWNED BY " + role + "; DROP ROLE " + role);
  }

  static void erase(Store& store, const std::vector<std::string>& keys) {
    auto transaction = store.begin_tx();
    store.erase_batch(keys, transaction);
    store.commit_tx(transaction);
  }

  /// Erasing these keys is rejected because of one row.
  static void expect_one_to_stay(Store& store, const std::vector<std::string>& keys) {
    try {
      erase(store, keys);
      ADD_FAILURE() << "they were erased";
    } catch (const pg::RejectedValue& error) {
      EXPECT_NE(std::string(error.what()).find("of the rows to delete 1 stayed"), std::string::npos)
          << error.what();
      EXPECT_EQ(store.classify(error), WriteFailure::rejected);
    }
  }

  /// The store still works.
  void expect_works(Store& store) {
    Note fine{"fine", "fine"};
    pgtest::save_one(store, fine);
    EXPECT_EQ(store.find("fine")->text, "fine");
  }

  std::string message;
};

TEST_F(Errors, AFailureThatIsSwallowedMakesCommitThrow) {
  Store store{notes, url(), options()};
  exec("ALTER TABLE notes ADD CHECK (text <> 'bad')");
  auto transaction = store.begin_tx();
  Note good{"good", "good"};
  store.save(good, transaction);
  Note bad{"bad", "bad"};
  EXPECT_THROW(store.save(bad, transaction), pqxx::sql_error);
  EXPECT_THROW(store.save(good, transaction), pg::RolledBack);
  EXPECT_THROW(store.commit_tx(transaction), pg::RolledBack);
  EXPECT_EQ(rows(), "");
}

TEST_F(Errors, ADeferredTriggerFailsAtCommitWithItsOwnSqlstate) {
  Store store{notes, url(), options()};
  Note good{"good", "good"};
  exec(
      "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
      " $$BEGIN RAISE SQLSTATE 'ABCDE'; END$$; CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON notes"
      " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()");
  EXPECT_EQ(failure_of(store, {good}), WriteFailure::rejected);
  exec("DROP TRIGGER fail ON notes");
  expect_works(store);
}

TEST_F(Errors, ARollbackByTheServerIsNeverTakenForACommit) {
  pg::detail::Environment environment{url(), options(), pg::detail::describe(notes)};
  pg::detail::Writer writer{environment};
  auto transaction = writer.begin();
  writer.within(transaction, 1, [](pg::detail::Session& session) {
    session.exec("INSERT INTO notes VALUES ('a', 'a')");
    EXPECT_THROW(session.exec("SELECT 1/0"), pqxx::sql_error);
  });
  EXPECT_THROW(writer.commit(transaction),
               pg::RolledBack);  // although COMMIT itself reports no error
  EXPECT_EQ(rows(), "");
}

TEST_F(Errors, ANulByteIsRefusedInEveryColumn) {
  Store store{notes, url(), options()};
  EXPECT_EQ(failure_of(store, {{"fine", "fine"}, {"a", std::string("b\0c", 3)}}),
            WriteFailure::rejected);
  EXPECT_NE(message.find("\"text\""), std::string::npos) << message;
  EXPECT_EQ(failure_of(store, {{std::string("a\0", 2), "b"}}), WriteFailure::rejected);
  EXPECT_NE(message.find("\"name\""), std::string::npos) << message;
  auto transaction = store.begin_tx();
  store.erase(std::string("a\0", 2), transaction);  // there can be no such row
  store.commit_tx(transaction);
  expect_works(store);
}

TEST_F(Errors, InvalidUtf8IsRejected) {
  Store store{notes, url(), options()};
  EXPECT_EQ(failure_of(store, {{"a", "\xFF"}}), WriteFailure::rejected);
  expect_works(store);
}

TEST_F(Errors, ARowThatATriggerSuppressesIsRejected) {
  Store store{notes, url(), options()};
  trigger("IF NEW.name = 'bad' THEN RETURN NULL; END IF; RETURN NEW;");
  EXPECT_EQ(failure_of(store, {{"a", ""}, {"bad", ""}, {"c", ""}}), WriteFailure::rejected);
  EXPECT_NE(message.find("did not come back"), std::string::npos) << message;
  expect_works(store);
}

TEST_F(Errors, AnEraseThatATriggerSuppressesIsRejected) {
  exec("INSERT INTO notes VALUES ('a', ''), ('kept', '')");
  Store store{notes, url(), options()};
  trigger("IF OLD.name = 'kept' THEN RETURN NULL; END IF; RETURN OLD;", "BEFORE DELETE");
  expect_one_to_stay(store, {"a", "kept", "absent"});
  EXPECT_EQ(rows(), "a,kept");
  erase(store, {"a", "absent"});
  EXPECT_EQ(rows(), "kept");
  expect_works(store);
}

TEST_F(Errors, AnEraseThatAPolicyForbidsIsRejected) {
  const std::string role = schema() + "_eraser";
  exec("INSERT INTO notes VALUES ('a', ''), ('kept', ''), ('locked', ''); CREATE ROLE " + role +
       " LOGIN; GRANT USAGE ON SCHEMA " + schema() + " TO " + role +
       "; GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO " + role +
       "; ALTER TABLE notes ENABLE ROW LEVEL SECURITY;"
       " CREATE POLICY reading ON notes FOR SELECT USING (true);"
       " CREATE POLICY adding ON notes FOR INSERT WITH CHECK (true);"
       " CREATE POLICY changing ON notes FOR UPDATE USING (name <> 'locked');"
       " CREATE POLICY erasing ON notes FOR DELETE USING (name <> 'kept')");
  {
    Store store{notes, url("&user=" + role), options()};
    expect_one_to_stay(store, {"a", "kept"});
    expect_one_to_stay(store, {"a", "locked"});  // cannot be locked, so it is not even tried
    erase(store, {"a"});
    EXPECT_EQ(rows(), "kept,locked");
    expect_works(store);
  }
  exec("DROP OWNED BY " + role + "; DROP ROLE " + role);
}

TEST_F(Errors, ARowThatATriggerStoresUnderAnotherKeyIsRejected) {
  Store store{notes, url(), options()};
  trigger("IF NEW.name = 'bad' THEN NEW.name := 'other'; END IF; RETURN NEW;");
  EXPECT_EQ(failure_of(store, {{"a", ""}, {"bad", ""}}), WriteFailure::rejected);
  EXPECT_NE(message.find("key that was not sent"), std::string::npos) << message;
  EXPECT_EQ(failure_of(store, {{"other", ""}, {"bad", ""}}), WriteFailure::rejected);
  expect_works(store);
}

TEST_F(Errors, ARowThatATriggerPutsInThePlaceOfAnotherIsRejected) {
  Store store{notes, url(), options()};
  trigger(
      "IF NEW.name = 'z' THEN DELETE FROM notes WHERE name = 'a'; NEW.name := 'a'; END IF;"
      " RETURN NEW;");
  // Two rows come back for two that were sent, but one of them twice.
  EXPECT_EQ(failure_of(store, {{"a", "right"}, {"z", "wrong"}}), WriteFailure::rejected);
  EXPECT_NE(message.find("key that was not sent"), std::string::npos) << message;
  expect_works(store);
}

TEST_F(Errors, ADeferredConstraintFailsAtCommit) {
  exec(
      "CREATE TABLE parents (name text PRIMARY KEY); ALTER TABLE notes ADD FOREIGN KEY (text)"
      " REFERENCES parents DEFERRABLE INITIALLY DEFERRED; INSERT INTO parents VALUES ('fine')");
  Store store{notes, url(), options()};
  Note orphan{"a", "nobody"};
  auto transaction = store.begin_tx();
  store.save(orphan, transaction);
  try {
    store.commit_tx(transaction);
    ADD_FAILURE();
  } catch (const pqxx::sql_error& error) {
    EXPECT_EQ(pg::detail::sqlstate_of(error), "23503");
    EXPECT_EQ(store.classify(error), WriteFailure::rejected);
  }
  EXPECT_EQ(rows(), "");
  expect_works(store);
}

TEST_F(Errors, AnySqlstateOfATriggerIsClassified) {
  Store store{notes, url(), options()};
  trigger(
      "IF NEW.text <> 'fine' THEN RAISE EXCEPTION USING ERRCODE = NEW.text; END IF; RETURN NEW;");
  const auto expect_all = [&](WriteFailure expected, std::initializer_list<const char*> states) {
    for (const char* const state : states) {
      EXPECT_EQ(failure_of(store, {{"a", state}}), expected) << state;
      expect_works(store);
    }
  };
  // What a trigger says about access is the row's fault: the table is there, and so are the rights.
  expect_all(WriteFailure::rejected, {"23505", "22001", "P0001", "54000", "ABCDE", "44000", "21000",
                                      "42501", "42P01", "3F000"});
  expect_all(WriteFailure::transient, {"40001", "40P01", "53200", "55P03", "57014", "2200H",
                                       "0A000", "26000", "XX000", "42703"});
  expect_all(WriteFailure::unavailable,
             {"53100", "53300", "57P01", "58030", "08006", "25006", "28000", "3D000"});
}

TEST_F(Errors, AStatementThatTakesTooLongIsTransient) {
  lazywriter::PqxxOptions chosen = options();
  chosen.lock_timeout = std::chrono::milliseconds{100};
  chosen.statement_timeout = std::chrono::milliseconds{300};
  for (const bool prepared : {true, false}) {
    chosen.prepared = prepared;
    Store store{notes, url(), chosen};
    pqxx::connection blocker{url().c_str()};
    pqxx::nontransaction other{blocker};
    other.exec("BEGIN; LOCK TABLE notes IN ACCESS EXCLUSIVE MODE");
    auto transaction = store.begin_tx();
    Note note{"a", "a"};
    try {
      store.save(note, transaction);
      ADD_FAILURE();
    } catch (const std::exception& error) {
      EXPECT_EQ(pg::detail::sqlstate_of(error), "55P03") << error.what();
      EXPECT_EQ(store.classify(error), WriteFailure::transient);
    }
    other.exec("ROLLBACK");
  }
  trigger("PERFORM pg_sleep(10); RETURN NEW;");
  Store store{notes, url(), chosen};
  EXPECT_EQ(failure_of(store, {{"a", "a"}}), WriteFailure::transient);
}

TEST_F(Errors, PreparedStatementsThatAreLostOrOutdatedAreMadeAnew) {
  Store store{notes, url(), options()};
  expect_works(store);
  exec("ALTER TABLE notes ALTER COLUMN text TYPE varchar(20)");  // cached plan must not change
                                                                 // result type
  EXPECT_EQ(store.find("fine")->text, "fine");
  expect_works(store);
  exec("DROP TABLE notes; CREATE TABLE notes (name text PRIMARY KEY, text text NOT NULL)");
  expect_works(store);
}

TEST_F(Errors, ASessionWhoseStateIsDiscardedIsGivenUp) {
  pg::detail::Environment environment{url(), options(), pg::detail::describe(notes)};
  pg::detail::Session session{environment, true};
  const auto find = [&] { session.exec(pg::detail::StatementName::find, {"fine"}); };
  find();
  session.exec("DISCARD ALL");  // its settings are gone as well
  try {
    find();
    ADD_FAILURE();
  } catch (const std::exception& error) {
    EXPECT_EQ(pg::detail::classify_error(error), WriteFailure::transient) << error.what();
  }
  EXPECT_FALSE(session.usable());
}

TEST_F(Errors, PreparedStatementsAreNamedByTheirText) {
  const auto prepared_by = [this](const auto& table) {
    pg::detail::Environment environment{url(), options(), pg::detail::describe(table)};
    pg::detail::Session session{environment, true};
    session.exec(pg::detail::StatementName::find, {"a"});
    const pqxx::result rows = session.exec("SELECT name FROM pg_prepared_statements");
    return std::string(pg::detail::field_text(rows, 0, 0).value_or(""));
  };
  exec("CREATE TABLE others (LIKE notes)");
  EXPECT_EQ(prepared_by(notes), prepared_by(notes));
  EXPECT_NE(prepared_by(notes),
            prepared_by(pg::table<Note>("others", pg::key(&Note::name, "name"))));
}

TEST_F(Errors, ALookupThatFailsHasNotFoundNothing) {
  const std::string role = schema() + "_tenant";
  exec("INSERT INTO notes VALUES ('a', ''); CREATE ROLE " + role +
       " LOGIN; GRANT USAGE ON SCHEMA " + schema() + " TO " + role +
       "; GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO " + role +
       "; ALTER TABLE notes ENABLE ROW LEVEL SECURITY;"
       " CREATE POLICY tenants ON notes USING (current_setting('app.tenant')::int = 1);"
       " ALTER ROLE " +
       role + " SET app.tenant = ''");
  for (const bool prepared : {true, false}) {
    lazywriter::PqxxOptions chosen = options();
    chosen.prepared = prepared;
    Store store{notes, url("&user=" + role), chosen};
    // The state of a key that cannot be read; but it was the policy's number that could not.
    try {
      store.find("a");
      ADD_FAILURE();
    } catch (const std::exception& error) {
      EXPECT_EQ(pg::detail::sqlstate_of(error), "22P02");
    }
    EXPECT_FALSE(store.find(std::string("\xff", 1)).has_value());  // which cannot be a key
  }
  exec("DROP OWNED BY " + role + "; DROP ROLE " + role);
}

TEST_F(Errors, AMissingTableIsUnavailable) {
  lazywriter::PqxxOptions chosen = options();
  chosen.verify_schema = false;
  for (const bool prepared : {true, false}) {
    chosen.prepared = prepared;
    exec("ALTER TABLE notes RENAME TO elsewhere");
    Store store{notes, url(), chosen};
    EXPECT_EQ(failure_without_rows(store), WriteFailure::unavailable);
    EXPECT_THROW(store.find("a"), std::exception);
    exec("ALTER TABLE elsewhere RENAME TO notes");
    expect_works(store);
  }
}

TEST_F(Errors, AMissingRightIsUnavailableAndARefusingPolicyIsTheRowsFault) {
  exec("CREATE SEQUENCE numbers; ALTER TABLE notes ADD number bigint DEFAULT nextval('numbers')");
  with_role([&](const std::string& role) {
    exec("GRANT USAGE ON SEQUENCE numbers TO " + role);
    Store store{notes, url("&user=" + role), options()};
    for (const auto& [taken, given] : std::vector<std::pair<std::string, std::string>>{
             {"REVOKE INSERT ON notes FROM ", "GRANT INSERT ON notes TO "},
             {"REVOKE UPDATE ON notes FROM ", "GRANT UPDATE ON notes TO "},
             {"REVOKE SELECT ON notes FROM ", "GRANT SELECT ON notes TO "},
             {"REVOKE USAGE ON SEQUENCE numbers FROM ", "GRANT USAGE ON SEQUENCE numbers TO "},
             {"REVOKE USAGE ON SCHEMA " + schema() + " FROM ",
              "GRANT USAGE ON SCHEMA " + schema() + " TO "}}) {
      exec(taken + role);
      EXPECT_EQ(failure_of(store, {{"a", "a"}}), WriteFailure::unavailable) << taken;
      exec(given + role);
      expect_works(store);
    }
    exec("REVOKE DELETE ON notes FROM " + role);
    try {
      erase(store, {"a"});
      ADD_FAILURE();
    } catch (const std::exception& error) {
      EXPECT_EQ(store.classify(error), WriteFailure::unavailable) << error.what();
    }
    exec("GRANT DELETE ON notes TO " + role +
         "; ALTER TABLE notes ENABLE ROW LEVEL SECURITY;"
         " CREATE POLICY theirs ON notes USING (name <> 'bad')");
    EXPECT_EQ(failure_of(store, {{"bad", ""}}), WriteFailure::rejected);
    EXPECT_NE(message.find("row-level security"), std::string::npos) << message;
    expect_works(store);
  });
}

TEST_F(Errors, AMissingTableThatATriggerUsesIsTheRowsFault) {
  Store store{notes, url(), options()};
  trigger("IF NEW.name = 'bad' THEN INSERT INTO archive VALUES (1); END IF; RETURN NEW;");
  EXPECT_EQ(failure_of(store, {{"bad", ""}}), WriteFailure::rejected);
  EXPECT_NE(message.find("archive"), std::string::npos) << message;
  expect_works(store);
}

TEST_F(Errors, AnInquiryNobodyAnswersMeansUnavailable) {
  Store store{notes, url(), options()};
  const pqxx::insufficient_privilege error{"", "", "42501"};
  EXPECT_EQ(store.classify(error), WriteFailure::rejected);
  {
    // The connection that is kept is broken: it is asked once more, on a fresh one.
    expect_works(store);
    exec(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ="
        " 'lazywriter'; SELECT pg_sleep(0.1)");
    EXPECT_EQ(store.classify(error), WriteFailure::rejected);
  }
  store.interrupt();
  EXPECT_EQ(store.classify(error), WriteFailure::unavailable);
}

TEST_F(Errors, AFullQueueOfNotifyIsNobodysFault) {
  const std::string usage =
      "CREATE OR REPLACE FUNCTION pg_notification_queue_usage() RETURNS double precision"
      " LANGUAGE sql AS 'SELECT ";
  exec(usage + "0.99::double precision'");
  // Found before the server's own function.
  const std::string path = "options=-csearch_path%3D";
  std::string own = url();
  own.replace(own.find(path), path.size() + schema().size(), path + schema() + ",pg_catalog");
  Store store{notes, own, options()};
  trigger("IF NEW.name = 'bad' THEN RAISE SQLSTATE '54000'; END IF; RETURN NEW;");
  EXPECT_EQ(failure_of(store, {{"bad", ""}}), WriteFailure::unavailable);
  exec(usage + "0.5::double precision'");
  EXPECT_EQ(failure_of(store, {{"bad", ""}}), WriteFailure::rejected);
}

TEST_F(Errors, NullForAMemberThatIsNotOptionalIsUnreadable) {
  exec("ALTER TABLE notes ALTER COLUMN text DROP NOT NULL; INSERT INTO notes VALUES ('a', NULL)");
  Store store{notes, url(), options()};
  try {
    store.find("a");
    ADD_FAILURE();
  } catch (const pg::UnreadableValue& error) {
    EXPECT_NE(std::string(error.what()).find("\"text\" is NULL"), std::string::npos)
        << error.what();
  }
  expect_works(store);
}

}  // namespace
