#include "lazywriter/detail/periodic_worker.hpp"

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
