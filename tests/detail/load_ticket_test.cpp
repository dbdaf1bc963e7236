#include "lazywriter/detail/load_ticket.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

namespace lazywriter::detail {
namespace {

class LoadTicketTest : public ::testing::Test {
 protected:
  using Ticket = LoadTicket<std::string>;
  using Probe = KeyProbe<std::string_view>;

  std::shared_ptr<Ticket> open(const std::string& key) {
    auto ticket = std::make_shared<Ticket>(1, key);
    tickets_.open(ticket);
    return ticket;
  }

  // The same hash for all: keys must be compared, too.
  Probe a_{1, "a"};
  Probe b_{1, "b"};
  LoadTickets<std::string> tickets_;
};

TEST_F(LoadTicketTest, ALoadIsJoinedByItsKeyUntilItIsOver) {
  EXPECT_EQ(tickets_.join(a_), nullptr);
  const auto ticket = open("a");
  EXPECT_EQ(tickets_.join(a_), ticket);
  EXPECT_EQ(tickets_.join(b_), nullptr);
  EXPECT_TRUE(tickets_.close(ticket, LoadState::absent));
  EXPECT_EQ(tickets_.join(a_), nullptr);
  EXPECT_EQ(ticket->wait(), LoadState::absent);
}

TEST_F(LoadTicketTest, AStaleLoadIsNeitherJoinedNorUsable) {
  const auto ticket = open("a");
  const auto other = open("b");
  tickets_.make_stale(a_);
  EXPECT_EQ(tickets_.join(a_), nullptr);
  EXPECT_EQ(tickets_.join(b_), other);
  EXPECT_EQ(ticket->wait(), LoadState::stale);
  EXPECT_FALSE(tickets_.close(ticket, LoadState::found));
  EXPECT_EQ(ticket->wait(), LoadState::stale);
}

TEST_F(LoadTicketTest, AFreshLoadMayStandBesideAStaleOne) {
  const auto old = open("a");
  tickets_.make_stale(a_);
  const auto fresh = open("a");
  EXPECT_EQ(tickets_.join(a_), fresh);
  EXPECT_FALSE(tickets_.close(old, LoadState::found));
  EXPECT_EQ(tickets_.join(a_), fresh);
  EXPECT_TRUE(tickets_.close(fresh, LoadState::found));
}

TEST_F(LoadTicketTest, EveryLoadCanBeMadeStaleAtOnce) {
  const auto a = open("a");
  const auto b = open("b");
  tickets_.make_all_stale();
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
  tickets_.close(ticket, LoadState::failed, std::make_exception_ptr(std::runtime_error("down")));
  waiter.join();
  EXPECT_EQ(seen, LoadState::failed);
  EXPECT_EQ(text, "down");
}

}  // namespace
}  // namespace lazywriter::detail
