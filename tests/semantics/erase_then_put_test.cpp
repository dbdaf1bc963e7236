// An erase and then a put before a flush: the row is as new as with a flush between them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "support/manual_cache.hpp"

namespace lazywriter::testing {
namespace {

class EraseThenPut : public ::testing::Test {
 protected:
  void SetUp() override {
    generate_ids(store_);
    cache_.put({"ann", 1});
    cache_.flush();
    EXPECT_EQ(id(), 1);
  }

  void erase_and_put(int value) {
    cache_.erase("ann");
    cache_.put({"ann", value});
  }
  /// The id of the row: it tells whether the row is a new one.
  [[nodiscard]] std::int64_t id() const { return store_.row("ann")->id; }

  /// Expects the next flush to write the put as a new row, in one transaction.
  void expect_a_new_row(std::int64_t new_id) {
    const FlushResult result = cache_.flush();
    EXPECT_EQ(result.erased, 1U);
    EXPECT_EQ(result.written, 1U);
    EXPECT_TRUE(result.ok());
    EXPECT_EQ(id(), new_id);
    EXPECT_EQ(cache_.peek("ann")->id, new_id);
    cache_.put({"ann", 9});
    EXPECT_EQ(cache_.flush().erased, 0U) << "it is done once";
    EXPECT_EQ(id(), new_id);
  }

  Store store_;
  Cache cache_{store_, manual()};
};

TEST_F(EraseThenPut, IsANewRow) {
  erase_and_put(2);
  EXPECT_EQ(cache_.peek("ann")->id, 0);
  expect_a_new_row(2);
}

TEST_F(EraseThenPut, WhateverWritesAfterTheErase) {
  cache_.erase("ann");
  cache_.compute("ann", [](std::optional<Account>& item) { item = Account{"ann", 2}; });
  expect_a_new_row(2);
}

TEST_F(EraseThenPut, WhateverErases) {
  cache_.compute("ann", [](std::optional<Account>& item) { item.reset(); });
  cache_.put({"ann", 2});
  cache_.update("ann", [](Account& account) { account.value = 3; });
  expect_a_new_row(2);
  EXPECT_EQ(store_.row("ann")->value, 9);
}

TEST_F(EraseThenPut, OfAKeyThatIsNotInMemory) {
  cache_.invalidate("ann");
  erase_and_put(2);
  expect_a_new_row(2);
}

TEST_F(EraseThenPut, SurvivesAttemptsThatFail) {
  for (const auto call : {StoreCall::begin_tx, StoreCall::erase, StoreCall::save}) {
    erase_and_put(2);
    store_.fail_next(call, 1, StoreFault::unavailable);
    EXPECT_EQ(cache_.flush().pending, 1U);
    cache_.put({"ann", 3});  // a newer version owes the erase as well
    const std::int64_t before = id();
    EXPECT_TRUE(cache_.flush().ok());
    EXPECT_GT(id(), before) << static_cast<int>(call);
  }
}

TEST_F(EraseThenPut, SurvivesHalves) {
  cache_.put({"bob", 1});
  erase_and_put(2);
  store_.fail_next(StoreCall::commit_tx, 1, StoreFault::rejected);
  EXPECT_TRUE(cache_.flush().ok());
  EXPECT_EQ(id(), 4) << "ids 2 and 3 went with what was rolled back";
}

TEST_F(EraseThenPut, IsAPlainSaveAfterACommitInDoubt) {
  erase_and_put(2);
  store_.fail_next(StoreCall::commit_tx, 1, StoreFault::in_doubt, FaultTime::after_effect);
  const FlushResult result = cache_.flush(20s);
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result.erased, 0U) << "the row that is there may have children by now";
  EXPECT_EQ(id(), 2);
}

TEST_F(EraseThenPut, GivesUpAParkedErase) {
  cache_.erase("ann");
  store_.reject("ann", "has children", StoreCall::erase);
  EXPECT_EQ(cache_.flush().parked, 1U);
  cache_.put({"ann", 2});
  const FlushResult result = cache_.flush();
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result.erased, 0U);
  EXPECT_EQ(id(), 1);
}

TEST_F(EraseThenPut, AParkedOneIsTriedAgainWithItsErase) {
  erase_and_put(2);
  store_.reject("ann", "has children", StoreCall::erase);
  EXPECT_EQ(cache_.flush().parked, 1U);
  store_.accept("ann");
  cache_.retry_parked();
  expect_a_new_row(2);
}

TEST_F(EraseThenPut, WhileTheEraseIsBeingCommittedIsASaveOnly) {
  cache_.erase("ann");
  const auto gate = block_at(store_, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache_.flush(); });
  gate->wait_for_arrival();
  cache_.put({"ann", 2});
  gate->open();
  EXPECT_EQ(flush.get().erased, 1U);
  const FlushResult result = cache_.flush();
  EXPECT_EQ(result.written, 1U);
  EXPECT_EQ(result.erased, 0U);
  EXPECT_EQ(id(), 2);
}

TEST_F(EraseThenPut, WhileTheEraseFailsOwesItStill) {
  cache_.erase("ann");
  store_.fail_next(StoreCall::commit_tx, 1, StoreFault::unavailable);
  const auto gate = block_at(store_, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache_.flush(); });
  gate->wait_for_arrival();
  cache_.put({"ann", 2});
  gate->open();
  flush.get();
  expect_a_new_row(2);
}

TEST_F(EraseThenPut, WhileAnOlderValueIsBeingSavedErasesThatOne) {
  cache_.put({"ann", 2});
  const auto gate = block_at(store_, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache_.flush(); });
  gate->wait_for_arrival();
  erase_and_put(3);
  gate->open();
  EXPECT_EQ(flush.get().erased, 0U);
  EXPECT_EQ(cache_.peek("ann")->value, 3);
  expect_a_new_row(2);
}

TEST_F(EraseThenPut, AgainWhileTheFirstIsBeingSavedErasesOnceMore) {
  erase_and_put(2);
  const auto gate = block_at(store_, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache_.flush(); });
  gate->wait_for_arrival();
  erase_and_put(3);
  gate->open();
  EXPECT_EQ(flush.get().erased, 1U);
  EXPECT_EQ(id(), 2);
  expect_a_new_row(3);
}

TEST_F(EraseThenPut, DiscardedOwesNothing) {
  erase_and_put(2);
  EXPECT_EQ(cache_.discard_dirty(), 1U);
  cache_.put({"ann", 3});
  EXPECT_EQ(cache_.flush().erased, 0U);
  EXPECT_EQ(id(), 1);
}

TEST_F(EraseThenPut, DiscardedInFlightOwesNothing) {
  erase_and_put(2);
  store_.fail_next(StoreCall::commit_tx, 1, StoreFault::unavailable);
  const auto gate = block_at(store_, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache_.flush(); });
  gate->wait_for_arrival();
  EXPECT_EQ(cache_.discard_dirty(), 1U);
  gate->open();
  flush.get();
  cache_.put({"ann", 3});
  EXPECT_EQ(cache_.flush().erased, 0U);
  EXPECT_EQ(id(), 1);
}

TEST_F(EraseThenPut, OfAnEraseThatIsDiscardedInFlightOwesNothing) {
  cache_.erase("ann");
  store_.fail_next(StoreCall::commit_tx, 1, StoreFault::unavailable);
  const auto gate = block_at(store_, StoreCall::commit_tx);
  auto flush = in_background([&] { return cache_.flush(); });
  gate->wait_for_arrival();
  EXPECT_EQ(cache_.discard_dirty(), 1U);
  cache_.put({"ann", 2});
  gate->open();
  flush.get();
  EXPECT_EQ(cache_.flush().erased, 0U);
  EXPECT_EQ(id(), 1);
}

TEST_F(EraseThenPut, AndEraseAgainIsAnErase) {
  erase_and_put(2);
  cache_.erase("ann");
  const FlushResult result = cache_.flush();
  EXPECT_EQ(result.erased, 1U);
  EXPECT_EQ(result.written, 0U);
  EXPECT_FALSE(store_.row("ann"));
  EXPECT_EQ(cache_.size(), 0U);
}

}  // namespace
}  // namespace lazywriter::testing
