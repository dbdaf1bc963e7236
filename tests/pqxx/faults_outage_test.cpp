// Faults of the table, its rights or the session: writes are kept meanwhile, and stored unaided
// once it is mended.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "cache_on_faults.hpp"

namespace {

using namespace pgtest;
using testing::ElementsAre;
using testing::HasSubstr;

class Outages : public CacheOnFaults {
 protected:
  /// Effect: a fault that one SQL command makes and another mends.
  void live_through(const std::string& breaks, const std::string& mends, const std::string& error) {
    Cache cache{store(), running()};
    CacheOnFaults::live_through(
        cache, [&] { exec(breaks); }, [&] { exec(mends); }, error);
  }
};

TEST_F(Outages, ADiskThatIsFull) {
  trigger("RAISE SQLSTATE '53100' USING MESSAGE = 'could not extend file: No space left'; ");
  exec("ALTER TABLE notes DISABLE TRIGGER act");
  live_through("ALTER TABLE notes ENABLE TRIGGER act", "ALTER TABLE notes DISABLE TRIGGER act",
               "No space left");
}

TEST_F(Outages, ADiskThatIsFullAtCommit) {
  trigger("RAISE SQLSTATE '53100' USING MESSAGE = 'could not extend file: No space left'; ",
          at_commit);
  exec("ALTER TABLE notes DISABLE TRIGGER act");
  live_through("ALTER TABLE notes ENABLE TRIGGER act", "ALTER TABLE notes DISABLE TRIGGER act",
               "No space left");
}

TEST_F(Outages, APermissionRevokedAndGrantedAgain) {
  const std::string role = schema() + "_writer";
  exec("CREATE ROLE " + role + " LOGIN; GRANT USAGE ON SCHEMA " + schema() + " TO " + role +
       "; GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO " + role);
  Cache cache{Store{notes, url("&user=" + role), options()}, running()};
  CacheOnFaults::live_through(
      cache, [&] { exec("REVOKE INSERT, UPDATE, DELETE ON notes FROM " + role); },
      [&] { exec("GRANT INSERT, UPDATE, DELETE ON notes TO " + role); }, "permission denied");
}

TEST_F(Outages, ASequenceExhausted) {
  live_through("ALTER TABLE notes ALTER id SET MAXVALUE 100; SELECT setval('notes_id_seq', 100)",
               "ALTER TABLE notes ALTER id SET MAXVALUE 1000000",
               "reached maximum value of sequence");
}

TEST_F(Outages, ATableDroppedAndMadeAgain) {
  Cache cache{store(), running()};
  cache.put({"of the first table", "fine"});
  EXPECT_TRUE(eventually([&] { return !cache.is_dirty(); }));
  exec("DROP TABLE notes");
  put_many(cache, "note ", 50);
  EXPECT_TRUE(eventually([&] { return cache.stats().failed_transactions > 10; }));
  expect_readable(cache);
  exec(create_notes);
  expect_recovery(cache);
  EXPECT_TRUE(eventually([&] { return log.lines().size() >= 2; }));
  EXPECT_THAT(log.lines(), ElementsAre(says_down("\"notes\" does not exist"), says_up()));
}

// ---- the session

TEST_F(Outages, PreparedStatementsThatAreLostCostOneRetry) {
  trigger("IF NEW.text = 'forget' THEN DEALLOCATE ALL; END IF; RETURN NEW;");
  Cache cache{store(), running()};
  put(cache, {"a", "forget"});
  expect_recovery(cache);
  put_many(cache, "note ", 20);
  expect_recovery(cache);
  EXPECT_TRUE(eventually([&] { return log.lines().size() >= 2; }));
  EXPECT_THAT(log.lines(), ElementsAre(says_down("does not exist"), says_up()));
  EXPECT_EQ(cache.stats().failed_transactions, 1U);
}

TEST_F(Outages, ACachedPlanThatIsOutdatedCostsOneRetryAndNoReader) {
  Cache cache{store(), running()};
  put_many(cache, "note ", 20);
  expect_recovery(cache);
  EXPECT_FALSE(cache.get("nobody"));
  exec("ALTER TABLE notes ALTER id TYPE integer");  // of what a save and a find return
  EXPECT_FALSE(cache.get("somebody else"));
  put_many(cache, "note ", 30);
  expect_recovery(cache);
  EXPECT_TRUE(eventually([&] { return log.lines().size() >= 2; }));
  EXPECT_THAT(log.lines(), ElementsAre(says_down("cached plan"), says_up()));
  EXPECT_EQ(cache.stats().failed_transactions, 1U);
}

// ---- locks and time limits

class Blocker {
 public:
  Blocker(const std::string& url, const std::string& sql) : session_(url) {
    session_.exec("BEGIN; SET LOCAL deadlock_timeout = '5min'; " + sql);
  }
  void exec(const std::string& sql) { session_.exec(sql); }
  void commit() { session_.exec("COMMIT"); }

 private:
  Admin session_;
};

TEST_F(Outages, ALockThatIsNotGivenHoldsUpItsRowOnly) {
  auto chosen = options();
  chosen.lock_timeout = 100ms;
  Cache cache{Store{notes, url(), chosen}, running()};
  put_many(cache, "note ", 20);
  expect_recovery(cache);
  Blocker blocker{url(), "SELECT FROM notes WHERE name = 'note 7' FOR UPDATE"};
  for (int i = 0; i < 20; ++i)
    put(cache, {"note " + std::to_string(i), "newer"});
  EXPECT_TRUE(eventually([&] { return cache.dirty_count() == 1; }));
  EXPECT_EQ(value("SELECT string_agg(name, ',') FROM notes WHERE text = 'fine'"), "note 7");
  EXPECT_TRUE(cache.parked().empty());
  blocker.commit();
  expect_recovery(cache);
  EXPECT_TRUE(eventually([&] { return log.lines().size() >= 2; }));
  EXPECT_THAT(log.lines(), ElementsAre(says_down("lock timeout"), says_up()));
}

TEST_F(Outages, AStatementThatTakesTooLongHoldsUpItsRowOnly) {
  trigger("IF NEW.text = 'slow' THEN PERFORM pg_sleep(600); END IF; RETURN NEW;");
  auto chosen = options();
  chosen.lock_timeout = 100ms;
  chosen.statement_timeout = 500ms;
  Cache cache{Store{notes, url(), chosen}, running()};
  put_many(cache, "note ", 20);
  put(cache, {"note 7", "slow"});
  EXPECT_TRUE(eventually([&] { return cache.dirty_count() == 1; }));
  EXPECT_TRUE(cache.parked().empty());
  expect_stored({"note 7"});
  exec("ALTER TABLE notes DISABLE TRIGGER act");
  expect_recovery(cache);
  EXPECT_TRUE(eventually([&] { return log.lines().size() >= 2; }));
  EXPECT_THAT(log.lines(), ElementsAre(says_down("statement timeout"), says_up()));
}

TEST_F(Outages, ADeadlockWithAWriterOfTheOppositeOrderIsTriedAgain) {
  auto chosen = options();
  chosen.lock_timeout = 20s;  // longer than the server takes to look for a deadlock
  Cache cache{Store{notes, url(), chosen}, running()};
  put(cache, {"a", "fine"});
  put(cache, {"b", "fine"});
  expect_recovery(cache);
  Blocker other{url(), "UPDATE notes SET text = 'other' WHERE name = 'b'"};
  put(cache, {"a", "ours"});
  put(cache, {"b", "ours"});
  wait_for_lock_waiters("lazywriter", 1);
  other.exec("UPDATE notes SET text = 'other' WHERE name = 'a'");  // until the server has chosen us
  other.commit();
  expect_recovery(cache);
  EXPECT_TRUE(eventually([&] { return log.lines().size() >= 2; }));
  EXPECT_THAT(log.lines(), ElementsAre(says_down("deadlock detected"), says_up()));
}

// ---- nothing goes any more

TEST_F(Outages, EveryWriteRejectedFillsMaxDirtyAndNoMore) {
  auto config = running();
  config.max_dirty = 40;
  config.backpressure_timeout = 50ms;
  config.park_after = 2;
  Cache cache{store(), config};
  put_many(cache, "before ", 20);
  expect_recovery(cache);
  exec("ALTER TABLE notes ADD CONSTRAINT never CHECK (text = 'never') NOT VALID");
  int accepted = 0;
  EXPECT_THROW(for (;; ++accepted) put(cache, {"note " + std::to_string(accepted), "fine"}),
               lazywriter::CacheFull);
  EXPECT_EQ(accepted, 40);
  EXPECT_TRUE(eventually([&] { return cache.parked().size() == 40; }));
  expect_readable(cache);
  EXPECT_FALSE(cache.try_put({"one more", "fine"}));
  put(cache, {"note 1", "never"});  // has its slot, and is what the check wants
  EXPECT_TRUE(eventually([&] { return cache.parked().size() == 39; }));

  exec("ALTER TABLE notes DROP CONSTRAINT never");
  EXPECT_EQ(cache.retry_parked(), 39U);
  put(cache, {"one more", "fine"});
  expect_recovery(cache);
  EXPECT_TRUE(eventually([&] { return log.lines().size() >= 42; }));
  auto lines = log.lines();
  const auto told = [&](const std::string& text) {
    return std::erase_if(
        lines, [&](const std::string& line) { return line.find(text) != std::string::npos; });
  };
  EXPECT_EQ(told("violates check constraint \"never\""), 40U);
  EXPECT_THAT(lines, ElementsAre(HasSubstr("more than half of max_dirty"),
                                 HasSubstr("below a quarter of max_dirty")));
}

}  // namespace
