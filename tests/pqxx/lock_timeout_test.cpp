// A row that another session holds: found by halves at little cost, while all others are stored.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <lazywriter/lazy_writer_cache.hpp>
#include <lazywriter/pqxx/lock_timeout.hpp>
#include <string>
#include <vector>

#include "notes.hpp"
#include "server_log.hpp"

namespace {

namespace pg = lazywriter::pg;
using namespace std::chrono_literals;
using pg::detail::LockTimeout;
using pgtest::Note;
using pgtest::notes;
using pgtest::NoteStore;

constexpr LockTimeout::Clock::time_point start{};

TEST(LockTimeout, IsBriefForTenTimesAsLongAfterAWaitInVain) {
  LockTimeout timeout{1s};
  EXPECT_EQ(timeout.brief(), 20ms);
  EXPECT_FALSE(timeout.is_brief(start));
  timeout.waited_in_vain(start, false);
  EXPECT_TRUE(timeout.is_brief(start));
  EXPECT_TRUE(timeout.is_brief(start + 9'999ms));
  EXPECT_FALSE(timeout.is_brief(start + 10s));
}

TEST(LockTimeout, StaysBriefForAsLongAsBatchesAreHalved) {
  LockTimeout timeout{1s};
  timeout.waited_in_vain(start, false);
  timeout.waited_in_vain(start + 9s, false);
  EXPECT_TRUE(timeout.is_brief(start + 18s));
}

TEST(LockTimeout, OfARowAloneIsAWholeOneNowAndThen) {
  LockTimeout timeout{1s};
  timeout.waited_in_vain(start, true);
  timeout.waited_in_vain(start + 9s, true);
  EXPECT_FALSE(timeout.is_brief(start + 10s));
  timeout.waited_in_vain(start + 11s, true);
  EXPECT_TRUE(timeout.is_brief(start + 12s));
}

TEST(LockTimeout, IsNeverZeroWhichWouldBeNoLimit) {
  EXPECT_EQ(LockTimeout{10ms}.brief(), 1ms);
}

TEST(LockTimeout, IsBelowTheStatementTimeoutByDefault) {
  EXPECT_EQ(lazywriter::PqxxOptions{}.lock_timeout, 1s);
  EXPECT_NO_THROW(pg::detail::validate(lazywriter::PqxxOptions{}));
}

class LockedRows : public pgtest::Notes, public testing::WithParamInterface<bool> {
 protected:
  static constexpr int count = 256;

  static void put_all(auto& cache, const std::string& text) {
    for (int number = 0; number < count; ++number)
      cache.put({"note " + std::to_string(number), text});
  }

  std::string stored(const std::string& text) {
    return value("SELECT count(*) FROM notes WHERE text = '" + text + "'");
  }
};

TEST_P(LockedRows, OneWholeWaitAndAllOthersAreStored) {
  lazywriter::PqxxOptions chosen = options();
  chosen.lock_timeout = 2s;  // what is brief then lasts for 20
  chosen.prepared = GetParam();
  lazywriter::LazyWriterCache cache{
      NoteStore{notes,
                url_with_defaults(pgtest::ServerLog::defaults()) + "&application_name=locked",
                chosen},
      {.flush_interval = 0ms}};
  put_all(cache, "old");
  ASSERT_TRUE(cache.flush().ok());
  pgtest::Admin holder = admin();
  // A row that is locked, and one that is not there yet.
  holder.exec(
      "BEGIN; SELECT FROM notes WHERE name = 'note 7' FOR UPDATE; INSERT INTO notes VALUES"
      " ('note new', 'theirs')");
  put_all(cache, "newer");
  cache.put({"note new", "newer"});
  pgtest::ServerLog server_log{"locked"};
  pgtest::wait_until("all others are stored", [&] { return cache.flush().pending == 2; });
  EXPECT_EQ(stored("newer"), std::to_string(count - 1));

  const std::vector<std::string> statements = server_log.statements();
  EXPECT_EQ(std::count(statements.begin(), statements.end(), "begin, id"), 1);
  const auto brief =
      std::count(statements.begin(), statements.end(), "begin with a brief lock timeout, id");
  EXPECT_GE(brief, 2);
  EXPECT_LE(brief, 64);  // two rows, each found by 9 halvings, and what was put off by them

  cache.put({"unrelated", "newer"});
  pgtest::wait_until("it is stored", [&] { return cache.flush().pending == 2; });
  EXPECT_EQ(stored("newer"), std::to_string(count));
  EXPECT_THAT(server_log.statements(), testing::Not(testing::Contains("begin, id")));

  holder.exec("ROLLBACK");
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(stored("newer"), std::to_string(count + 2));
}

INSTANTIATE_TEST_SUITE_P(EitherWay, LockedRows, testing::Bool(),
                         [](const auto& tested) { return tested.param ? "Prepared" : "Pooled"; });

}  // namespace
