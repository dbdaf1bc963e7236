// Faults of the table, its rights or the session: writes are kept meanwhile, and stored unaided
// once it is mended.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>
#include <vector>

#include "cache_on_faults.hpp"

namespace {

using namespace pgtest;
using testing::ElementsAre;
using testing::HasSubstr;

class Outages : public CacheOnFaults {
 protected:
  /// Effect: a fault that one SQL command makes and another mends.
  void live_through(const std::string& breaks, const std::string& mends, const std::string& error,
                    Takes takes = Takes::nothing) {
    Cache cache{store(), running()};
    CacheOnFaults::live_through(
        cache, [&] { exec(breaks); }, [&] { exec(mends); }, error, takes);
  }
};

TEST_F(Outages, ADiskThatIsFull) {
  trigger("RAISE SQLSTATE '53100' USING MESSAGE = 'could not extend file: No space left'; ",
          "BEFORE INSERT OR UPDATE OR DELETE");
  exec("ALTER TABLE notes DISABLE TRIGGER act");
  live_through("ALTER TABLE notes ENABLE TRIGGER act", "ALTER TABLE notes DISABLE TRIGGER act",
               "No space left");
}

TEST_F(Outages, ADiskThatIsFullAtCommit) {
  trigger("RAISE SQLSTATE '53100' USING MESSAGE = 'could not extend file: No space left'; ",
          "AFTER INSERT OR UPDATE OR DELETE");
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
               "reached maximum value of sequence", Takes::erases);
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
  EXPECT_THAT(told(cache), ElementsAre(says_down("\"notes\" does not exist"), says_up()));
}

// ---- the session

// By hand, so that all of it is in one batch: a part of that is tried again in the same pass.

TEST_F(Outages, PreparedStatementsThatAreLostCostOneRetry) {
  trigger("IF NEW.text = 'forget' THEN DEALLOCATE ALL; END IF; RETURN NEW;");
  Cache cache{store(), by_hand()};
  put(cache, {"a", "forget"});
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(cache.stats().failed_transactions, 0U);
  put_many(cache, "note ", 20);
  EXPECT_TRUE(cache.flush().ok());
  expect_stored();
  EXPECT_EQ(cache.stats().failed_transactions, 1U);
  EXPECT_EQ(cache.stats().failed_items, 20U);
  EXPECT_THAT(log.lines(), testing::IsEmpty());
}

TEST_F(Outages, ACachedPlanThatIsOutdatedCostsOneRetryAndNoReader) {
  Cache cache{store(), by_hand()};
  put_many(cache, "note ", 20);
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_FALSE(cache.get("nobody"));
  exec("ALTER TABLE notes ALTER id TYPE integer");  // of what a save and a find return
  EXPECT_FALSE(cache.get("somebody else"));
  put_many(cache, "note ", 30);
  EXPECT_TRUE(cache.flush().ok());
  expect_stored();
  EXPECT_EQ(cache.stats().failed_transactions, 1U);
  EXPECT_EQ(cache.stats().failed_items, 30U);
  EXPECT_THAT(log.lines(), testing::IsEmpty());
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

// By hand, so that the others are in its batch: what fails alone is named, and the store is not to
// blame.

TEST_F(Outages, ALockThatIsNotGivenHoldsUpItsRowOnly) {
  auto chosen = options();
  chosen.lock_timeout = 100ms;
  Cache cache{Store{notes, url(), chosen}, by_hand()};
  put_many(cache, "note ", 20);
  EXPECT_TRUE(cache.flush().ok());
  Blocker blocker{url(), "SELECT FROM notes WHERE name = 'note 7' FOR UPDATE"};
  for (int i = 0; i < 20; ++i)
    put(cache, {"note " + std::to_string(i), "newer"});
  for (int again = 0; again < 3; ++again) {
    put(cache, {"later " + std::to_string(again), "stored"});
    EXPECT_EQ(cache.flush().pending, 1U);
  }
  EXPECT_EQ(value("SELECT string_agg(name, ',') FROM notes WHERE text = 'fine'"), "note 7");
  EXPECT_TRUE(cache.parked().empty());
  expect_readable(cache);
  blocker.commit();
  EXPECT_TRUE(cache.flush().ok());
  expect_stored();
  EXPECT_THAT(log.lines(), ElementsAre(says_alone("note 7", "lock timeout")));
}

TEST_F(Outages, AStatementThatTakesTooLongHoldsUpItsRowOnly) {
  trigger("IF NEW.text = 'slow' THEN PERFORM pg_sleep(600); END IF; RETURN NEW;");
  auto chosen = options();
  chosen.lock_timeout = 100ms;
  chosen.statement_timeout = 500ms;
  Cache cache{Store{notes, url(), chosen}, by_hand()};
  put_many(cache, "note ", 20);
  put(cache, {"note 7", "slow"});
  for (int again = 0; again < 3; ++again) {
    put(cache, {"later " + std::to_string(again), "stored"});
    EXPECT_EQ(cache.flush().pending, 1U);
  }
  EXPECT_TRUE(cache.parked().empty());
  expect_readable(cache);
  expect_stored({"note 7"});
  exec("ALTER TABLE notes DISABLE TRIGGER act");
  EXPECT_TRUE(cache.flush().ok());
  expect_stored();
  EXPECT_THAT(log.lines(), ElementsAre(says_alone("note 7", "statement timeout")));
}

TEST_F(Outages, ARowThatIsHeldUpIsStoredByTheLoopOnceItCanBe) {
  auto chosen = options();
  chosen.lock_timeout = 100ms;
  Cache cache{Store{notes, url(), chosen}, running()};
  put_many(cache, "note ", 20);
  expect_recovery(cache);
  Blocker blocker{url(), "SELECT FROM notes WHERE name = 'note 7' FOR UPDATE"};
  for (int i = 0; i < 20; ++i)
    put(cache, {"note " + std::to_string(i), "newer"});
  const auto failed = [&] { return cache.stats().failed_transactions; };
  EXPECT_TRUE(eventually([&] { return cache.dirty_count() == 1 && failed() >= 3; }));
  blocker.commit();
  expect_recovery(cache);
}

TEST_F(Outages, ADeadlockWithAWriterOfTheOppositeOrderIsTriedAgain) {
  auto chosen = options();
  chosen.lock_timeout = 20s;  // longer than the server takes to look for a deadlock
  Cache cache{Store{notes, url(), chosen}, by_hand()};
  put(cache, {"a", "fine"});
  put(cache, {"b", "fine"});
  EXPECT_TRUE(cache.flush().ok());
  // It changes nothing: which of the two is through first is not the point.
  Blocker other{url(), "SELECT FROM notes WHERE name = 'b' FOR UPDATE"};
  put(cache, {"a", "ours"});
  put(cache, {"b", "ours"});
  auto flushed = std::async(std::launch::async, [&] { return cache.flush(); });
  wait_for_lock_waiters("lazywriter", 1);
  // Until the server has chosen us.
  other.exec("SELECT FROM notes WHERE name = 'a' FOR UPDATE");
  other.commit();
  EXPECT_TRUE(flushed.get().ok());
  expect_stored();
  EXPECT_EQ(cache.stats().failed_transactions, 1U);
  EXPECT_THAT(log.lines(), testing::IsEmpty());
}

// ---- nothing goes any more

TEST_F(Outages, EveryWriteRejectedFillsMaxDirtyAndNoMore) {
  auto config = running();
  config.max_dirty = 40;
  config.backpressure_timeout = 50ms;
  config.park_after = 2;
  config.retry_backoff_min = config.retry_backoff_max = 0ms;  // two rejections park
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
  std::vector<testing::Matcher<std::string>> expected{
      HasSubstr("more than half of max_dirty"), HasSubstr("below a quarter of max_dirty again")};
  for (int i = 0; i < 40; ++i)
    expected.push_back(
        says_parked("note " + std::to_string(i), "violates check constraint \"never\""));
  EXPECT_THAT(told(cache), testing::UnorderedElementsAreArray(expected));
}

}  // namespace
