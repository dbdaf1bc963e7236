// Faults of the server and of the way to it: connections cut, the server hung, killed, not there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "cache_on_faults.hpp"

namespace {

using namespace pgtest;
using testing::ElementsAre;
using testing::HasSubstr;

class FaultyServer : public CacheOnFaults {
 protected:
  void TearDown() override { control_server("start"); }

  /// Expects that the log told of an outage: every line differs from the one before, and only the
  /// last says that it is over.
  void expect_one_outage_told(Cache& cache) {
    auto lines = told(cache);
    ASSERT_GE(lines.size(), 2U) << testing::PrintToString(lines);
    EXPECT_THAT(lines.back(), says_up());
    lines.pop_back();
    EXPECT_THAT(lines, testing::Each(says_down("")));
    EXPECT_LE(lines.size(), 4U) << testing::PrintToString(lines);
    EXPECT_EQ(std::adjacent_find(lines.begin(), lines.end(), lazywriter::detail::same_error),
              lines.end());
  }

  /// Effect: cuts the connection of a writer that waits for a lock, and waits until its transaction
  /// has failed; meanwhile one of the items in flight is written anew and another erased.
  void cut_while_waiting(Cache& cache) {
    wait_for_lock_waiters("lazywriter", 1);
    put(cache, {"note 1", "newer"});
    erase(cache, "note 2");
    EXPECT_EQ(value("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
                    "wait_event_type = 'Lock' AND application_name = 'lazywriter'"),
              "1");
    EXPECT_TRUE(eventually([&] { return cache.stats().failed_transactions != 0; }));
    expect_readable(cache);
  }
};

TEST_F(FaultyServer, AConnectionCutDuringAStatementLosesNothing) {
  Cache cache{store(), running()};
  put_many(cache, "note ", 20);
  expect_recovery(cache);
  {
    Admin blocker{url()};
    blocker.exec("BEGIN; LOCK notes IN SHARE MODE");
    for (int i = 0; i < 20; ++i)
      put(cache, {"note " + std::to_string(i), "new"});
    cut_while_waiting(cache);
  }
  expect_recovery(cache);
  expect_one_outage_told(cache);
}

// What was in doubt is tried again in the same pass, so there is no outage to tell of.
TEST_F(FaultyServer, AConnectionCutDuringCommitLosesNothing) {
  trigger("PERFORM pg_advisory_xact_lock(7); RETURN NULL;", at_commit);
  auto chosen = options();
  chosen.lock_timeout = 20s;  // what is tried again waits for the blocker to go
  Cache cache{Store{notes, url(), chosen}, by_hand()};
  std::future<lazywriter::FlushResult> flushed;
  {
    Admin blocker{url()};
    blocker.exec("SELECT pg_advisory_lock(7)");
    put_many(cache, "note ", 20);
    flushed = std::async(std::launch::async, [&] { return cache.flush(); });
    cut_while_waiting(cache);
  }
  EXPECT_THAT(flushed.get().error, HasSubstr("COMMIT was sent"));
  EXPECT_TRUE(cache.flush().ok());
  expect_readable(cache);
  expect_stored();
  EXPECT_EQ(cache.stats().failed_transactions, 1U);
  EXPECT_TRUE(log.lines().empty());
}

TEST_F(FaultyServer, AServerThatHangsIsLeftByTheWatchdogAndComesBack) {
  auto chosen = options();
  chosen.lock_timeout = 100ms;
  chosen.statement_timeout = 200ms;
  chosen.watchdog = 400ms;
  chosen.connect_timeout = 2s;
  Cache cache{Store{notes, url(), chosen}, running()};
  put_many(cache, "before ", 20);
  expect_recovery(cache);
  control_server("pause");
  put_many(cache, "during ", 20);
  put(cache, {"before 1", "newer"});
  erase(cache, "before 2");
  EXPECT_TRUE(eventually([&] { return !log.lines().empty(); }));
  EXPECT_THAT(log.lines().front(), says_down("did not answer within 400 ms"));
  put_many(cache, "later ", 20);
  expect_readable(cache);
  EXPECT_EQ(cache.dirty_count(), 42U);
  control_server("continue");
  expect_recovery(cache);
  expect_one_outage_told(cache);
}

TEST_F(FaultyServer, KilledUnderLoadAndStartedAgainMissesNoWrite) {
  Cache cache{store(), running()};
  std::atomic<bool> stop{false};
  std::array<int, 2> written{};
  std::vector<std::jthread> writers;
  for (std::size_t w = 0; w < written.size(); ++w) {
    writers.emplace_back([&, w] {
      for (; !stop; ++written[w]) {
        const std::string prefix = std::string(1, static_cast<char>('a' + w)) + " ";
        cache.put({prefix + std::to_string(written[w] % 500), std::to_string(written[w])});
        std::this_thread::sleep_for(100us);  // the pace of the load
      }
    });
  }
  const auto wait_for_more = [&](auto counter) {
    const auto before = counter();
    EXPECT_TRUE(eventually([&] { return counter() > before + 1'000; }));
  };
  const auto saved = [&] { return cache.stats().flushed_items; };
  for (int round = 0; round < 3; ++round) {
    wait_for_more(saved);
    control_server("kill");
    wait_for_more([&] { return cache.stats().puts; });
    control_server("start");
    wait_for_more(saved);
  }
  stop = true;
  writers.clear();
  EXPECT_TRUE(cache.close().unsaved.empty());
  for (std::size_t w = 0; w < written.size(); ++w) {
    const std::string prefix = std::string(1, static_cast<char>('a' + w)) + " ";
    for (int last = written[w] - 1; last >= 0 && last >= written[w] - 500; --last)
      remember({prefix + std::to_string(last % 500), std::to_string(last)});
  }
  expect_stored();
  EXPECT_EQ(cache.stats().parkings, 0U);
  const auto lines = log.lines();
  EXPECT_EQ(std::count(lines.begin(), lines.end(), "notes: the store takes writes again"), 3);
}

TEST_F(FaultyServer, UnreachableAtTheStartIsAClearError) {
  control_server("stop");
  try {
    const Store unreachable{notes, url("&password=secret"), options()};
    ADD_FAILURE();
  } catch (const pg::ConnectionLost& error) {
    EXPECT_THAT(error.what(), HasSubstr("cannot connect to PostgreSQL: "));
    EXPECT_THAT(error.what(), testing::Not(HasSubstr("secret")));
  }
  EXPECT_TRUE(log.lines().empty());
}

TEST_F(FaultyServer, UnreachableAtTheStartCanBeWaitedFor) {
  control_server("stop");
  auto chosen = options();
  chosen.verify_schema = false;
  Cache cache{Store{notes, url(), chosen}, running()};
  put_many(cache, "note ", 20);
  erase(cache, "note 3");
  EXPECT_THROW(cache.get("nobody"), pg::ConnectionLost);
  EXPECT_TRUE(eventually([&] { return cache.stats().failed_transactions > 10; }));
  expect_readable(cache);
  control_server("start");
  expect_recovery(cache);
  EXPECT_FALSE(cache.get("nobody"));
  expect_one_outage_told(cache);
  EXPECT_THAT(log.lines().front(), says_down("cannot connect to PostgreSQL"));
}

TEST_F(FaultyServer, UnreachableLaterIsToldOnceAndLivedThrough) {
  Cache cache{store(), running()};
  put_many(cache, "before ", 20);
  expect_recovery(cache);
  control_server("stop");
  put_many(cache, "during ", 20);
  put(cache, {"before 1", "newer"});
  erase(cache, "before 2");
  EXPECT_TRUE(eventually([&] { return cache.stats().failed_transactions > 10; }));
  expect_readable(cache);
  EXPECT_FALSE(cache.get("before 2"));  // known to be gone
  EXPECT_THROW(cache.get("nobody"), pg::ConnectionLost);
  control_server("start");
  expect_recovery(cache);
  EXPECT_FALSE(cache.get("nobody"));
  expect_one_outage_told(cache);
}

TEST_F(FaultyServer, ARestartBetweenTwoWritesCostsNothing) {
  Cache cache{store(), by_hand()};
  put_many(cache, "before ", 20);
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_FALSE(cache.get("nobody"));
  control_server("restart");
  put_many(cache, "after ", 20);
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_FALSE(cache.get("somebody else"));
  expect_stored();
  EXPECT_EQ(cache.stats().failed_transactions, 0U);
  EXPECT_TRUE(log.lines().empty());
}

TEST_F(FaultyServer, CloseWhileTheServerHangsHandsEverythingBackInTime) {
  auto chosen = options();  // the watchdog takes 35 s
  chosen.connect_timeout = 2s;
  Cache cache{Store{notes, url(), chosen}, running()};
  put_many(cache, "before ", 20);
  expect_recovery(cache);
  control_server("pause");
  put_many(cache, "during ", 20);
  erase(cache, "before 2");
  EXPECT_TRUE(eventually([&] { return cache.stats().in_flight != 0; }));
  const auto started = std::chrono::steady_clock::now();
  const auto closed = cache.close(500ms);
  EXPECT_LT(std::chrono::steady_clock::now() - started, 20s);
  EXPECT_EQ(closed.unsaved.size(), 21U);
  EXPECT_EQ(std::count_if(closed.unsaved.begin(), closed.unsaved.end(),
                          [](const auto& unsaved) { return !unsaved.item; }),
            1);
  expect_readable(cache);
}

}  // namespace
