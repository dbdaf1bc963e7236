// The small parts of detail/: backoff, call scope, mutex, slot budget, stamp clock, flush token,
// log.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "lazywriter/detail/base/backoff.hpp"
#include "lazywriter/detail/base/call_scope.hpp"
#include "lazywriter/detail/table/entry.hpp"
#include "lazywriter/detail/flush/flush_token.hpp"
#include "lazywriter/detail/base/key_text.hpp"
#include "lazywriter/detail/base/mutex.hpp"
#include "lazywriter/detail/shard/slot_budget.hpp"
#include "lazywriter/detail/base/stamp_clock.hpp"
#include "lazywriter/detail/flush/store_monitor.hpp"
#include "lazywriter/detail/flush/transaction_halt.hpp"
#include "support/eventually.hpp"

namespace lazywriter::detail {
namespace {

using std::chrono::milliseconds;

TEST(DeadlineTest, DoesNotOverflowHoweverFarItIs) {
  EXPECT_LT(deadline_after(milliseconds::min()), Clock::now());
  EXPECT_GT(deadline_after(milliseconds::max()), Clock::now());
  // As nanoseconds of 64 bits this would be some two seconds from now.
  EXPECT_LT(deadline_after(milliseconds{-18'446'744'073'709 + 2'000}), Clock::now());
}

TEST(BackoffTest, DoublesWithJitterUpToTheMost) {
  Backoff backoff(milliseconds{100}, milliseconds{1'000});
  EXPECT_EQ(backoff.after(0).count(), 0);
  const std::vector<int> whole{100, 200, 400, 800, 1'000, 1'000};
  for (unsigned failures = 1; failures <= whole.size(); ++failures) {
    for (int i = 0; i < 50; ++i) {
      const auto wait = backoff.after(failures);
      EXPECT_GE(wait, milliseconds{whole[failures - 1]} / 2);
      EXPECT_LE(wait, milliseconds{whole[failures - 1]});
    }
  }
  EXPECT_LE(backoff.after(4'000'000'000U), milliseconds{1'000});
}

TEST(BackoffTest, GrowsFromAMillisecondWhereNoneIsAskedFor) {
  Backoff backoff(milliseconds{0}, milliseconds{1'000});
  EXPECT_EQ(backoff.after(0).count(), 0);
  EXPECT_EQ(backoff.after(1), milliseconds{1});
  EXPECT_GE(backoff.after(2), milliseconds{1});
  EXPECT_LE(backoff.after(2), milliseconds{2});
  EXPECT_GE(backoff.after(3), milliseconds{2});
  EXPECT_GE(backoff.after(20), milliseconds{500});
}

TEST(BackoffTest, IsNeverLessThanAMillisecondAfterAFailure) {
  Backoff none(milliseconds{0}, milliseconds{0});
  EXPECT_EQ(none.after(0).count(), 0);
  EXPECT_EQ(none.after(1), milliseconds{1});
  EXPECT_EQ(none.after(4'000'000'000U), milliseconds{1});
  EXPECT_EQ(none.most().count(), 0) << "parking waits for that, and need not";
  Backoff one(milliseconds{1}, milliseconds{1});
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(one.after(1), milliseconds{1});
}

TEST(FlushTokenTest, NobodyWaitsForARetiredOne) {
  FlushToken token;
  std::optional<FlushToken::Hold> held(std::in_place, token, std::nullopt);
  EXPECT_TRUE(*held);
  bool got_it = true;
  std::thread waiting([&] { got_it = static_cast<bool>(FlushToken::Hold(token, std::nullopt)); });
  token.retire();
  waiting.join();
  EXPECT_FALSE(got_it);
  held.reset();
  EXPECT_FALSE(FlushToken::Hold(token, std::nullopt)) << "it is free, and nobody gets it";
}

TEST(CallScopeTest, KnowsTheCachesAndKindsOfThisThread) {
  int a = 0;
  int b = 0;
  EXPECT_FALSE(VisitorScope::active(&a));
  {
    const VisitorScope outer(&a);
    const AdapterScope inner(&b);
    EXPECT_TRUE(VisitorScope::active(&a));
    EXPECT_FALSE(VisitorScope::active(&b));
    EXPECT_TRUE(AdapterScope::active(&b));
    bool elsewhere = true;
    std::thread([&] { elsewhere = VisitorScope::active(&a); }).join();
    EXPECT_FALSE(elsewhere);
  }
  EXPECT_FALSE(VisitorScope::active(&a));
}

/// Effect: four threads count in turns under `Lock`s.
template <class... Lock>
void expect_exclusion() {
  SleepingPlace place;
  Mutex mutex{place};
  int shared = 0;
  const auto count = [&]<class L>(const L* /*type*/) {
    for (int i = 0; i < 20'000; ++i) {
      const L lock(mutex);
      if (++shared % 5'000 == 0) std::this_thread::yield();  // sometimes held while not running
    }
  };
  {
    std::array<std::jthread, sizeof...(Lock)> threads{
        std::jthread(count, static_cast<const Lock*>(nullptr))...};
  }
  EXPECT_EQ(shared, 20'000 * static_cast<int>(sizeof...(Lock)));
}

TEST(MutexTest, Excludes) {
  expect_exclusion<MutexLock, MutexLock, MutexLock, MutexLock>();
  expect_exclusion<YieldingLock, YieldingLock, YieldingLock>();
  expect_exclusion<YieldingLock, MutexLock, MutexLock, YieldingLock>();
}

TEST(MutexTest, WakesWhoSleeps) {
  for (const bool yielding : {false, true}) {
    SleepingPlace place;
    Mutex mutex{place};
    int shared = 0;
    std::latch about_to_wait(3);
    std::vector<std::jthread> threads;
    mutex.lock();
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        about_to_wait.count_down();
        const MutexLock lock(mutex);
        ++shared;
      });
    }
    about_to_wait.wait();
    // Much longer than a waiter spins.
    for (int i = 0; i < 2'000; ++i)
      std::this_thread::yield();
    EXPECT_EQ(shared, 0);
    yielding ? mutex.unlock_to_waiters() : mutex.unlock();
    threads.clear();
    EXPECT_EQ(shared, 3);
  }
}

TEST(MutexTest, TellsItsHolderWhetherAnotherThreadWaits) {
  SleepingPlace place;
  Mutex mutex{place};
  mutex.lock();
  EXPECT_FALSE(mutex.waited_for());
  std::jthread other([&] { const MutexLock lock(mutex); });
  EXPECT_TRUE(lazywriter::testing::eventually([&] { return mutex.waited_for(); }));
  mutex.unlock();
  other.join();
  EXPECT_FALSE(mutex.waited_for());
}

TEST(SlotBudgetTest, IsExactWhateverCreditsAreDrawn) {
  SlotBudget budget(10, 1);
  EXPECT_FALSE(budget.unlimited());
  EXPECT_EQ(budget.take(4), 4U);
  EXPECT_EQ(budget.take(100), 6U);
  EXPECT_EQ(budget.take(1), 0U);
  budget.give(2);
  EXPECT_EQ(budget.take(3), 2U);
}

TEST(SlotBudgetTest, AWaiterIsWokenByASlotThatIsItsOwn) {
  SlotBudget budget(1, 1);
  ASSERT_EQ(budget.take(1), 1U);
  EXPECT_FALSE(budget.wanted());
  SlotBudget::Waiter waiter(budget);
  EXPECT_TRUE(budget.wanted());
  EXPECT_FALSE(waiter.wait_until(Clock::now(), [] { return false; }));
  EXPECT_FALSE(waiter.take_slot());
  std::thread giver([&] { budget.give(1); });
  EXPECT_TRUE(waiter.wait_until(Clock::time_point::max(), [] { return false; }));
  giver.join();
  EXPECT_FALSE(budget.wanted());
  EXPECT_EQ(budget.take(1), 0U);
  EXPECT_TRUE(waiter.take_slot());
  EXPECT_FALSE(waiter.take_slot());
}

TEST(SlotBudgetTest, WaitersAreServedInTurnAndEachSlotWakesOne) {
  SlotBudget budget(3, 1);
  ASSERT_EQ(budget.take(3), 3U);
  SlotBudget::Waiter first(budget);
  SlotBudget::Waiter second(budget);
  SlotBudget::Waiter third(budget);
  budget.give(2);
  EXPECT_TRUE(first.has_slot());
  EXPECT_TRUE(second.has_slot());
  EXPECT_FALSE(third.has_slot());
  EXPECT_EQ(budget.wakes(), 2U);
  budget.give(1);
  EXPECT_TRUE(third.has_slot());
  EXPECT_EQ(budget.wakes(), 3U);
  budget.give(1);
  EXPECT_EQ(budget.wakes(), 3U);
  EXPECT_EQ(budget.take(1), 1U);
}

TEST(SlotBudgetTest, WhoeverWaitsWhileManyAreGivenIsServedAtTheEndOfIt) {
  SlotBudget budget(5, 1);
  ASSERT_EQ(budget.take(5), 5U);
  SlotBudget::Waiter early(budget);
  auto together = std::make_unique<SlotBudget::GivingMany>(budget);
  budget.give(1);
  budget.give(1);
  SlotBudget::Waiter late(budget);
  EXPECT_FALSE(early.has_slot());
  EXPECT_FALSE(late.has_slot());
  EXPECT_EQ(budget.take(1), 0U) << "they are for those who wait";
  budget.give(2);
  together.reset();
  EXPECT_TRUE(early.has_slot());
  EXPECT_TRUE(late.has_slot());
  EXPECT_EQ(budget.take(5), 2U);
}

TEST(SlotBudgetTest, NobodyTakesASlotPastThoseWhoWait) {
  SlotBudget budget(2, 1);
  ASSERT_EQ(budget.take(2), 2U);
  {
    SlotBudget::Waiter first(budget);
    SlotBudget::Waiter second(budget);
    budget.give(1);
    EXPECT_EQ(budget.take(1), 0U);
    EXPECT_TRUE(first.has_slot());
    EXPECT_FALSE(second.has_slot());
  }
  EXPECT_EQ(budget.take(2), 1U) << "a slot that nobody took is free again";
}

TEST(SlotBudgetTest, AWaiterThatCameTooLateForASlotGetsItAtOnce) {
  SlotBudget budget(1, 1);
  SlotBudget::Waiter waiter(budget);
  EXPECT_TRUE(waiter.has_slot());
  EXPECT_TRUE(waiter.wait_until(Clock::now(), [] { return false; }));
}

TEST(SlotBudgetTest, AllWaitersCanBeToldToStop) {
  SlotBudget budget(1, 1);
  ASSERT_EQ(budget.take(1), 1U);
  std::atomic<bool> stop{false};
  std::latch waiting(4);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      SlotBudget::Waiter waiter(budget);
      bool first = true;
      EXPECT_FALSE(waiter.wait_until(Clock::now() + std::chrono::minutes{2}, [&] {
        if (std::exchange(first, false)) waiting.count_down();  // under the lock that waking needs
        return stop.load();
      }));
    });
  }
  waiting.wait();
  stop = true;
  const auto start = Clock::now();
  budget.wake_all();
  threads.clear();
  EXPECT_LT(Clock::now() - start, std::chrono::minutes{1});
}

TEST(SlotBudgetTest, WhereSlotsAreFewNoneIsKeptInReserve) {
  EXPECT_EQ(SlotBudget(1, 65'536).credit(), 0U);
  EXPECT_EQ(SlotBudget(7, 1).credit(), 0U);
  EXPECT_EQ(SlotBudget(8, 1).credit(), 1U);
  EXPECT_EQ(SlotBudget(1'000'000, 64).credit(), 32U);
}

TEST(SlotBudgetTest, OnlyShardsThatHaveSpareCreditsAreLookedAt) {
  SlotBudget budget(1'000'000, 65'536);
  const auto spare = [&] {
    std::vector<std::size_t> shards;
    budget.for_each_spare([&](std::size_t shard) { shards.push_back(shard); });
    return shards;
  };
  EXPECT_TRUE(spare().empty());
  for (const std::size_t shard : {0U, 63U, 64U, 65'535U})
    budget.note_spare(shard, true);
  EXPECT_EQ(spare(), (std::vector<std::size_t>{0, 63, 64, 65'535}));
  budget.note_spare(63, false);
  EXPECT_EQ(spare(), (std::vector<std::size_t>{0, 64, 65'535}));
}

TEST(StampClockTest, EveryTickIsNewAndKeepsTime) {
  StampClock clock;
  EXPECT_NE(clock.now(), no_stamp);
  const Stamp first = clock.now();
  EXPECT_EQ(clock.tick(), first);
  EXPECT_GT(clock.now(), first);
  const Stamp second = clock.tick();
  EXPECT_GT(clock.now(), second);
  const auto age = StampClock::age(first);
  EXPECT_LT(age, std::chrono::hours{1});
  EXPECT_GE(StampClock::age(first), age);
}

TEST(FlushTokenTest, HasOneHolderAndAWaitThatEnds) {
  FlushToken token;
  {
    const FlushToken::Hold first(token, std::nullopt);
    EXPECT_TRUE(first);
    const FlushToken::Hold second(token, Clock::now());
    EXPECT_FALSE(second);
  }
  const FlushToken::Hold third(token, Clock::now());
  EXPECT_TRUE(third);
}

TEST(TransactionHaltTest, LetsNoneBeginAndWaitsForTheOneUnderWay) {
  TransactionHalt halt;
  std::optional<TransactionHalt::UnderWay> under_way(std::in_place, halt);
  EXPECT_TRUE(*under_way);
  halt.halt();
  EXPECT_TRUE(halt.halted());
  EXPECT_FALSE(TransactionHalt::UnderWay(halt));
  EXPECT_FALSE(halt.wait_for_the_last(Clock::now()));
  std::atomic<bool> ended{false};
  std::latch waiting(1);
  std::jthread waiter([&] {
    waiting.count_down();
    EXPECT_TRUE(halt.wait_for_the_last(Clock::time_point::max()));
    EXPECT_TRUE(ended);
  });
  waiting.wait();
  ended = true;
  under_way.reset();
  waiter.join();
  EXPECT_FALSE(TransactionHalt::UnderWay(halt));
  EXPECT_TRUE(halt.wait_for_the_last(Clock::now()));
}

TEST(KeyTextTest, WritesWhatPeopleUseAsKeys) {
  EXPECT_EQ(key_text(std::string("ann")), "\"ann\"");
  EXPECT_EQ(key_text(-7), "-7");
  EXPECT_EQ(key_text(std::tuple{1, std::string("x")}), "(1, \"x\")");
  EXPECT_EQ(key_text(std::pair{2U, 3L}), "(2, 3)");
  struct Opaque {};
  const std::string beginning(199, 'x');
  EXPECT_EQ(key_text(beginning + "y"), '"' + beginning + "y\"");
  EXPECT_EQ(key_text(beginning + "\u00e9!"), '"' + beginning + "...\" (202 bytes)");
  EXPECT_EQ(key_text(Opaque{}), "(a key without a text form)");
}

struct Log {
  std::vector<std::string> lines;
  void info(std::string_view text) { lines.push_back("info " + std::string(text)); }
  void warn(std::string_view text) { lines.push_back("warn " + std::string(text)); }
};

TEST(StoreMonitorTest, TellsEachChangeOnce) {
  Log log;
  StoreMonitor<Log> monitor(log, 100);
  monitor.recovered();
  EXPECT_TRUE(log.lines.empty());
  monitor.failed("process 12 is in the way");
  monitor.failed("process 345 is in the way");
  EXPECT_EQ(log.lines.size(), 1U);
  monitor.failed("disk full");
  EXPECT_EQ(log.lines.size(), 2U);
  monitor.recovered();
  monitor.recovered();
  ASSERT_EQ(log.lines.size(), 3U);
  EXPECT_EQ(log.lines[2].substr(0, 4), "info");
}

TEST(StoreMonitorTest, WarnsOfABacklogOnceUntilItIsGone) {
  Log log;
  StoreMonitor<Log> monitor(log, 100);
  monitor.backlog(50);
  EXPECT_TRUE(log.lines.empty());
  monitor.backlog(51);
  monitor.backlog(90);
  monitor.backlog(40);
  EXPECT_EQ(log.lines.size(), 1U);
  monitor.backlog(24);
  monitor.backlog(51);
  EXPECT_EQ(log.lines.size(), 3U);
}

TEST(SameErrorTest, IgnoresNumbersOnly) {
  EXPECT_TRUE(same_error("", ""));
  EXPECT_TRUE(same_error("pid 1 of 22", "pid 333 of 4"));
  EXPECT_FALSE(same_error("pid 1", "pid x"));
  EXPECT_FALSE(same_error("pid 1", "pid 1 "));
}

}  // namespace
}  // namespace lazywriter::detail
