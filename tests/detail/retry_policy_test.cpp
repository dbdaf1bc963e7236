// CTEST_THREADS: none
#include "lazywriter/detail/retry_policy.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>

namespace lazywriter::detail {
namespace {

using std::chrono::milliseconds;

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

  RetryPolicy policy_{config()};
  Trouble<std::string> trouble_;
};

TEST_F(RetryPolicyTest, ABatchThatFailedIsHalvedAndGrowsAgainWithPassesThatGoThrough) {
  EXPECT_EQ(policy_.batch_limit(), 100U);
  policy_.batch_failed(60);
  EXPECT_EQ(policy_.batch_limit(), 30U);
  policy_.pass_ended(true, true);
  EXPECT_EQ(policy_.batch_limit(), 30U) << "the retry must not be larger";
  policy_.pass_ended(false, true);
  EXPECT_EQ(policy_.batch_limit(), 60U);
  policy_.pass_ended(false, true);
  EXPECT_EQ(policy_.batch_limit(), 100U);
  policy_.batch_failed(1);
  EXPECT_EQ(policy_.batch_limit(), 1U);
}

TEST_F(RetryPolicyTest, ALargeBatchLimitDoesNotOverflow) {
  CacheConfig huge;
  huge.max_batch = static_cast<std::size_t>(-1);
  RetryPolicy policy(huge);
  policy.batch_failed(huge.max_batch);
  for (int i = 0; i < 3; ++i)
    policy.pass_ended(false, true);
  EXPECT_EQ(policy.batch_limit(), huge.max_batch);
}

TEST_F(RetryPolicyTest, TheLoopWaitsAfterAFailedPassUntilOneGoesThrough) {
  RetryPolicy policy(config(milliseconds{10'000}));
  EXPECT_LE(policy.not_before(), Clock::now());
  policy.pass_ended(true, false);
  EXPECT_GT(policy.not_before(), Clock::now());
  policy.pass_ended(false, false);
  EXPECT_GT(policy.not_before(), Clock::now()) << "a pass with nothing to write proves nothing";
  policy.pass_ended(false, true);
  EXPECT_LE(policy.not_before(), Clock::now());
}

TEST_F(RetryPolicyTest, AnEntryThatFailedAloneIsTriedAloneUntilOneLikeItRecovers) {
  EXPECT_FALSE(policy_.is_loner(trouble_));
  policy_.failed_alone(trouble_, "down");
  EXPECT_TRUE(policy_.is_loner(trouble_));
  EXPECT_EQ(trouble_.error, "down");
  EXPECT_EQ(trouble_.failures, 1U);
  policy_.loner_recovered();
  EXPECT_FALSE(policy_.is_loner(trouble_));
}

TEST_F(RetryPolicyTest, ParksAfterEnoughRejections) {
  EXPECT_FALSE(policy_.rejected(trouble_, "no"));
  EXPECT_FALSE(policy_.rejected(trouble_, "no"));
  EXPECT_TRUE(policy_.rejected(trouble_, "no!"));
  EXPECT_EQ(trouble_.rejections, 3U);
  EXPECT_EQ(trouble_.error, "no!");
}

TEST_F(RetryPolicyTest, ParksNotBeforeTheLongestBackoffHasPassed) {
  RetryPolicy policy(config(milliseconds{3'600'000}));
  for (int i = 0; i < 100; ++i)
    EXPECT_FALSE(policy.rejected(trouble_, "no"));
  trouble_.first_rejected -= std::chrono::hours{1};
  EXPECT_TRUE(policy.rejected(trouble_, "no"));
}

}  // namespace
}  // namespace lazywriter::detail
