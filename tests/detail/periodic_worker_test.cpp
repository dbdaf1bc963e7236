#include "lazywriter/detail/base/periodic_worker.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <semaphore>

namespace lazywriter::detail {
namespace {

constexpr auto never = Clock::time_point::max();

TEST(PeriodicWorkerTest, RunsAtItsTimeAndWhenTheJobAskedForTheNextRun) {
  std::latch three_runs(3);
  std::atomic<int> runs{0};
  PeriodicWorker worker([&] {
    if (++runs <= 3) three_runs.count_down();
    return runs < 3 ? Clock::now() : never;
  });
  worker.start(Clock::now());
  three_runs.wait();
  worker.join();
  EXPECT_EQ(runs, 3);
}

TEST(PeriodicWorkerTest, RunsEarlyWhenItIsWoken) {
  std::counting_semaphore<> ran(0);
  PeriodicWorker worker([&] {
    ran.release();
    return never;
  });
  worker.start(never);
  for (int i = 0; i < 10; ++i) {
    worker.wake();
    ran.acquire();
  }
}

TEST(PeriodicWorkerTest, AWakeDuringARunIsNotLost) {
  std::binary_semaphore in_job(0);
  std::binary_semaphore go_on(0);
  std::atomic<int> runs{0};
  PeriodicWorker worker([&] {
    ++runs;
    in_job.release();
    go_on.acquire();
    return never;
  });
  worker.start(Clock::now());
  in_job.acquire();
  worker.wake();
  go_on.release();
  in_job.acquire();
  go_on.release();
  worker.join();
  EXPECT_EQ(runs, 2);
}

TEST(PeriodicWorkerTest, JoinWaitsForTheRunUnderWayAndStartsNoOther) {
  std::latch in_job(1);
  std::latch go_on(1);
  std::atomic<bool> finished{false};
  std::atomic<int> runs{0};
  PeriodicWorker worker([&] {
    ++runs;
    in_job.count_down();
    go_on.wait();
    finished = true;
    return Clock::now();
  });
  worker.start(Clock::now());
  in_job.wait();
  worker.request_stop();
  worker.wake();
  go_on.count_down();
  worker.join();
  EXPECT_TRUE(finished);
  EXPECT_EQ(runs, 1);
}

TEST(PeriodicWorkerTest, AWakeWaitsForTheTimeThatTheLastRunAskedForAHurryDoesNot) {
  std::counting_semaphore<> ran(0);
  std::atomic<int> runs{0};
  PeriodicWorker worker([&]() -> PeriodicWorker::Turn {
    ran.release();
    // The first one asks to be left alone for good, the second one until a moment from now.
    if (++runs == 1) return {never, never};
    return {never, Clock::now() + std::chrono::milliseconds{1}};
  });
  worker.start(Clock::now());
  ran.acquire();
  worker.wake();
  EXPECT_FALSE(ran.try_acquire_for(std::chrono::milliseconds{20}));
  worker.hurry();
  ran.acquire();
  worker.wake();
  ran.acquire();
}

TEST(PeriodicWorkerTest, FinishRunsOneLastThingAfterTheRunUnderWay) {
  for (const bool with_job : {false, true}) {
    std::latch in_job(1);
    std::latch go_on(1);
    std::atomic<int> runs{0};
    std::atomic<bool> last{false};
    PeriodicWorker worker([&] {
      ++runs;
      in_job.count_down();
      go_on.wait();
      return Clock::now();
    });
    if (with_job) {
      worker.start(Clock::now());
      in_job.wait();
    } else {
      worker.start_for_finish();
      worker.wake();
    }
    worker.finish([&] {
      EXPECT_EQ(runs, with_job ? 1 : 0);
      last = true;
    });
    EXPECT_EQ(
        worker.wait_until_done(Clock::now() + std::chrono::milliseconds{with_job ? 1 : 60'000}),
        !with_job);
    go_on.count_down();
    EXPECT_TRUE(worker.wait_until_done(Clock::now() + std::chrono::minutes{1}));
    worker.join();
    EXPECT_TRUE(last);
    EXPECT_EQ(runs, with_job ? 1 : 0);
  }
}

TEST(PeriodicWorkerTest, WithoutAStartNothingRuns) {
  bool ran = false;
  {
    PeriodicWorker worker([&] {
      ran = true;
      return never;
    });
    worker.wake();
    worker.join();
  }
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace lazywriter::detail
