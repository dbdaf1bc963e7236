// CTEST_THREADS: none
#include "lazywriter/detail/flush/retry_policy.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>

namespace lazywriter::detail {
namespace {

using std::chrono::milliseconds;
using Fate = RetryPolicy::Fate;

class RetryPolicyTest : public ::testing::Test {
 protected:
  static CacheConfig config(milliseconds most = milliseconds{0}) {
    CacheConfig config;
    config.max_batch = 100;
    config.park_after = 3;
    config.retry_backoff_min = std::min(milliseconds{10'000}, most);
    config.retry_backoff_max = most;
    return config;
  }

  /// Attempts of that outcome until the pass is over. Returns: how many.
  static unsigned fail_until_over(RetryPolicy& policy, Outcome outcome) {
    for (unsigned tries = 1; tries < 1'000; ++tries) {
      if (policy.decide(outcome, policy.batch_limit(), false).ends_pass) return tries;
    }
    return 1'000;
  }

  void SetUp() override { policy_.begin_pass(); }

  RetryPolicy policy_{config()};
  Trouble<std::string> trouble_;
};

TEST_F(RetryPolicyTest, EveryFailureForNowHalvesTheBatchAndEveryCommitDoublesIt) {
  EXPECT_EQ(policy_.batch_limit(), 100U);
  EXPECT_EQ(policy_.decide(Outcome::transient, 60, false).fate, Fate::split);
  EXPECT_EQ(policy_.batch_limit(), 30U);
  policy_.decide(Outcome::transient, 30, false);
  EXPECT_EQ(policy_.batch_limit(), 15U);
  EXPECT_EQ(policy_.decide(Outcome::committed, 15, false).fate, Fate::complete);
  EXPECT_EQ(policy_.batch_limit(), 30U);
  policy_.decide(Outcome::committed, 30, false);
  policy_.decide(Outcome::committed, 60, false);
  EXPECT_EQ(policy_.batch_limit(), 100U);
}

TEST_F(RetryPolicyTest, ALargeBatchLimitDoesNotOverflow) {
  CacheConfig huge;
  huge.max_batch = static_cast<std::size_t>(-1);
  RetryPolicy policy(huge);
  policy.begin_pass();
  policy.decide(Outcome::transient, huge.max_batch, false);
  for (int i = 0; i < 3; ++i)
    policy.decide(Outcome::committed, 1, false);
  EXPECT_EQ(policy.batch_limit(), huge.max_batch);
}

TEST_F(RetryPolicyTest, ARejectionSaysNothingOfTheSize) {
  EXPECT_EQ(policy_.decide(Outcome::rejected, 100, false).fate, Fate::split);
  EXPECT_EQ(policy_.decide(Outcome::rejected, 1, false).fate, Fate::isolate);
  EXPECT_EQ(policy_.batch_limit(), 100U);
  EXPECT_FALSE(policy_.descends());
  EXPECT_FALSE(policy_.store_failed());
}

TEST_F(RetryPolicyTest, WhatFailsForNowIsHalvedUntilItStandsAloneAndThenOthersAreTriedAsAWhole) {
  EXPECT_FALSE(policy_.descends());
  unsigned attempts = 0;
  for (std::size_t size = 100; size != 0; size /= 2, ++attempts)
    policy_.decide(Outcome::transient, size, false);
  while (policy_.descends()) {
    policy_.decide(Outcome::transient, 1, false);
    ++attempts;
  }
  EXPECT_EQ(attempts, 8U);
  EXPECT_EQ(policy_.batch_limit(), 100U);
  policy_.decide(Outcome::committed, 1, false);
  EXPECT_EQ(policy_.batch_limit(), 2U) << "that one was in the way, but who knows of the others";
}

TEST_F(RetryPolicyTest, AStoreThatTakesNothingIsGivenUpForThisPass) {
  EXPECT_LE(fail_until_over(policy_, Outcome::transient), 80U);
  EXPECT_TRUE(policy_.store_failed());
}

TEST_F(RetryPolicyTest, FailuresBesideCommitsAreNotTheStores) {
  policy_.decide(Outcome::committed, 10, false);
  EXPECT_LE(fail_until_over(policy_, Outcome::transient), 80U);
  EXPECT_FALSE(policy_.store_failed());
}

TEST_F(RetryPolicyTest, AnUnavailableStoreEndsThePassAndTheNextOneBeginsWithASingleEntry) {
  EXPECT_EQ(policy_.decide(Outcome::unavailable, 100, false).fate, Fate::requeue);
  EXPECT_TRUE(policy_.store_failed());
  policy_.begin_pass();
  EXPECT_EQ(policy_.batch_limit(), 1U);
  const auto failed_probe = policy_.decide(Outcome::unavailable, 1, false);
  EXPECT_EQ(failed_probe.fate, Fate::requeue_last) << "another one each time";
  EXPECT_TRUE(failed_probe.ends_pass);
  policy_.begin_pass();
  EXPECT_EQ(policy_.batch_limit(), 1U);
  EXPECT_EQ(policy_.decide(Outcome::committed, 1, false).fate, Fate::complete);
  EXPECT_EQ(policy_.batch_limit(), 100U) << "the old size";
  const auto again = policy_.decide(Outcome::unavailable, 100, false);
  EXPECT_EQ(again.fate, Fate::split) << "perhaps an item breaks the store";
  EXPECT_FALSE(again.ends_pass);
}

TEST_F(RetryPolicyTest, AStoreThatLooksAtTheSingleEntryIsNotAway) {
  for (const auto answer : {Outcome::transient, Outcome::rejected}) {
    RetryPolicy policy{config()};
    policy.begin_pass();
    policy.decide(Outcome::unavailable, 100, false);
    policy.begin_pass();
    do {
      EXPECT_EQ(policy.decide(answer, 1, false).fate, Fate::isolate);
    } while (policy.descends());
    EXPECT_EQ(policy.batch_limit(), 100U);
  }
}

TEST_F(RetryPolicyTest, APassGoesOnWithTheHalvesAtWhichTheLastOneEnded) {
  EXPECT_EQ(policy_.suspect_limit(), 100U);
  policy_.decide(Outcome::rejected, 100, false);
  policy_.decide(Outcome::rejected, 50, true);
  policy_.begin_pass();
  EXPECT_EQ(policy_.batch_limit(), 100U);
  EXPECT_EQ(policy_.suspect_limit(), 25U);
  policy_.decide(Outcome::committed, 100, false);
  EXPECT_EQ(policy_.suspect_limit(), 25U) << "others say nothing of it";
  policy_.decide(Outcome::committed, 25, true);
  EXPECT_EQ(policy_.suspect_limit(), 50U);
  policy_.suspects_ended();
  EXPECT_EQ(policy_.suspect_limit(), 100U);
}

TEST_F(RetryPolicyTest, WhileTheStoreTakesNothingWhatFailedBeforeIsTriedOneByOne) {
  EXPECT_FALSE(policy_.doubts_the_store());
  do {
    policy_.decide(Outcome::transient, 1, false);
  } while (policy_.descends());
  EXPECT_TRUE(policy_.doubts_the_store());
  EXPECT_EQ(policy_.batch_limit(), 100U);
  EXPECT_EQ(policy_.suspect_limit(), 1U);
}

TEST_F(RetryPolicyTest, AnItemKnownToBreakTheStoreSaysNothingOfIt) {
  EXPECT_FALSE(policy_.decide_retry(Outcome::unavailable, 1, true).ends_pass);
  EXPECT_FALSE(policy_.store_failed());
  EXPECT_TRUE(policy_.decide_retry(Outcome::unavailable, 1, false).ends_pass);
  EXPECT_TRUE(policy_.store_failed());
}

TEST_F(RetryPolicyTest, ABeginThatFailsEndsThePassAndKeepsTheSize) {
  const auto decision = policy_.decide(Outcome::not_begun, 100, false);
  EXPECT_EQ(decision.fate, Fate::requeue);
  EXPECT_TRUE(decision.ends_pass);
  EXPECT_TRUE(policy_.store_failed());
  EXPECT_EQ(policy_.batch_limit(), 100U);
}

TEST_F(RetryPolicyTest, ADeadlineMakesTheNextTransactionSmaller) {
  EXPECT_EQ(policy_.decide(Outcome::stopped, 100, false).fate, Fate::requeue);
  EXPECT_EQ(policy_.batch_limit(), 50U);
  EXPECT_FALSE(policy_.store_failed());
}

TEST_F(RetryPolicyTest, TheLoopWaitsAfterAFailedPassUntilOneGoesThrough) {
  RetryPolicy policy(config(milliseconds{10'000}));
  const auto pass = [&](std::optional<Outcome> outcome) {
    policy.begin_pass();
    if (outcome) policy.decide(*outcome, 1, false);
    policy.end_pass();
  };
  EXPECT_LE(policy.not_before(), Clock::now());
  pass(Outcome::transient);
  EXPECT_GT(policy.not_before(), Clock::now());
  pass(std::nullopt);
  EXPECT_GT(policy.not_before(), Clock::now()) << "a pass with nothing to write proves nothing";
  pass(Outcome::committed);
  EXPECT_LE(policy.not_before(), Clock::now());
}

TEST_F(RetryPolicyTest, RetriesOfWhatFailedAloneGrowWithEachThatCommitsAndNeverBlameTheStore) {
  EXPECT_EQ(policy_.retry_group(), 1U);
  EXPECT_EQ(policy_.decide_retry(Outcome::transient, 1, false).fate, Fate::isolate);
  EXPECT_FALSE(policy_.store_failed());
  policy_.decide_retry(Outcome::committed, 1, false);
  const std::size_t group = policy_.retry_group();
  EXPECT_GT(group, 1U);
  EXPECT_EQ(policy_.decide_retry(Outcome::transient, group, false).fate, Fate::split);
  EXPECT_EQ(policy_.retry_group(), 1U);
}

TEST_F(RetryPolicyTest, AnEntryThatFailedAloneHasABackoffOfItsOwn) {
  RetryPolicy policy(config(milliseconds{3'600'000}));
  policy.failed_alone(trouble_, Isolated::transient, "down");
  EXPECT_EQ(trouble_.isolated, Isolated::transient);
  EXPECT_EQ(trouble_.error, "down");
  EXPECT_EQ(trouble_.failures, 1U);
  EXPECT_GT(trouble_.retry_at, Clock::now());
  EXPECT_LE(policy.not_before(), Clock::now());
}

TEST_F(RetryPolicyTest, ParksAfterEnoughRejections) {
  policy_.rejected_alone(trouble_, "no!");
  EXPECT_EQ(trouble_.isolated, Isolated::rejected);
  EXPECT_EQ(trouble_.rejections, 0U) << "whether it counts is not known yet";
  EXPECT_FALSE(policy_.count_rejection(trouble_));
  EXPECT_FALSE(policy_.count_rejection(trouble_));
  EXPECT_TRUE(policy_.count_rejection(trouble_));
  EXPECT_EQ(trouble_.rejections, 3U);
  EXPECT_EQ(trouble_.error, "no!");
}

TEST_F(RetryPolicyTest, ParksNotBeforeTheLongestBackoffHasPassed) {
  RetryPolicy policy(config(milliseconds{3'600'000}));
  for (int i = 0; i < 100; ++i)
    EXPECT_FALSE(policy.count_rejection(trouble_));
  trouble_.first_rejected -= std::chrono::hours{1};
  EXPECT_TRUE(policy.count_rejection(trouble_));
}

}  // namespace
}  // namespace lazywriter::detail
