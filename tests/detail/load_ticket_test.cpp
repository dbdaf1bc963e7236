#include "lazywriter/detail/shard/load_ticket.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "support/items.hpp"

namespace lazywriter::detail {
namespace {

using testing::Account;

class LoadTicketTest : public ::testing::Test {
 protected:
  using Ticket = LoadTicket<Account>;
  using Probe = KeyProbe<std::string_view>;

  std::shared_ptr<Ticket> open(const std::string& key) {
    auto ticket = std::make_shared<Ticket>(1, key);
    tickets_.open(ticket);
    return ticket;
  }

  // The same hash for all: keys must be compared, too.
  Probe a_{1, "a"};
  Probe b_{1, "b"};
  LoadTickets<Account> tickets_;
};

TEST_F(LoadTicketTest, ALoadIsJoinedByItsKeyUntilItIsOver) {
  EXPECT_EQ(tickets_.join(a_), nullptr);
  const auto ticket = open("a");
  EXPECT_EQ(tickets_.join(a_), ticket);
  EXPECT_EQ(tickets_.join(b_), nullptr);
  EXPECT_TRUE(tickets_.settle(*ticket, LoadState::absent));
  EXPECT_EQ(tickets_.join(a_), nullptr);
  EXPECT_EQ(ticket->wait(), LoadState::absent);
}

TEST_F(LoadTicketTest, AStaleLoadIsNeitherJoinedNorUsable) {
  const auto ticket = open("a");
  const auto other = open("b");
  tickets_.forget(a_);
  EXPECT_EQ(tickets_.join(a_), nullptr);
  EXPECT_EQ(tickets_.join(b_), other);
  EXPECT_EQ(ticket->wait(), LoadState::stale);
  EXPECT_FALSE(tickets_.settle(*ticket, LoadState::found));
  EXPECT_EQ(ticket->wait(), LoadState::stale);
}

TEST_F(LoadTicketTest, AFreshLoadMayStandBesideAStaleOne) {
  const auto old = open("a");
  tickets_.forget(a_);
  const auto fresh = open("a");
  EXPECT_EQ(tickets_.join(a_), fresh);
  EXPECT_FALSE(tickets_.settle(*old, LoadState::found));
  EXPECT_EQ(tickets_.join(a_), fresh);
  EXPECT_TRUE(tickets_.settle(*fresh, LoadState::found));
}

TEST_F(LoadTicketTest, EveryLoadCanBeMadeStaleAtOnce) {
  const auto a = open("a");
  const auto b = open("b");
  tickets_.forget_all();
  EXPECT_EQ(a->wait(), LoadState::stale);
  EXPECT_EQ(b->wait(), LoadState::stale);
}

TEST_F(LoadTicketTest, WaitersGetTheErrorOfTheLoad) {
  const auto ticket = open("a");
  LoadState seen = LoadState::loading;
  std::string text;
  std::thread waiter([&] {
    seen = ticket->wait();
    try {
      ticket->rethrow();
    } catch (const std::runtime_error& error) {
      text = error.what();
    }
  });
  tickets_.settle(*ticket, LoadState::failed, std::make_exception_ptr(std::runtime_error("down")));
  waiter.join();
  EXPECT_EQ(seen, LoadState::failed);
  EXPECT_EQ(text, "down");
}

TEST_F(LoadTicketTest, AnEntryThatComesInMakesEveryLoadOfItsKeyStale) {
  const auto a = open("a");
  const auto b = open("b");
  tickets_.entry_comes(a_);
  EXPECT_EQ(a->since(), Since::nothing) << "it could not be inserted, for all we know";
  EXPECT_EQ(a->wait(), LoadState::stale);
  tickets_.entry_came();
  EXPECT_EQ(a->since(), Since::entry);
  EXPECT_EQ(b->since(), Since::nothing);
  EXPECT_EQ(tickets_.join(b_), b);
}

TEST_F(LoadTicketTest, AnInsertionThatFailedIsForgottenByTheNext) {
  const auto a = open("a");
  tickets_.entry_comes(a_);
  tickets_.entry_comes(b_);
  tickets_.entry_came();
  EXPECT_EQ(a->since(), Since::nothing);
}

TEST_F(LoadTicketTest, AnOpenTicketLearnsWhatLeaves) {
  const auto a = open("a");
  const auto b = open("b");
  EXPECT_TRUE(tickets_.watched(1));
  EXPECT_FALSE(tickets_.watched(2));
  EXPECT_TRUE(tickets_.settle(*a, LoadState::found));
  tickets_.entry_leaves(a_, Account{"a", 7});
  EXPECT_EQ(a->since(), Since::copy);
  ASSERT_TRUE(a->copy().has_value());
  EXPECT_EQ(a->copy()->value, 7);
  EXPECT_EQ(b->since(), Since::nothing);
  tickets_.entry_comes(a_);
  tickets_.entry_came();
  EXPECT_EQ(a->since(), Since::entry);
  tickets_.entry_is_given_up(1);
  EXPECT_EQ(a->since(), Since::unknown);
  tickets_.close(a);
  tickets_.close(b);
  EXPECT_FALSE(tickets_.watched(1));
}

}  // namespace
}  // namespace lazywriter::detail
