// CTEST_THREADS: none
#include "lazywriter/detail/table/dirty_queue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace lazywriter::detail {
namespace {

struct State;
using Node = std::pair<const int, State>;
struct State {
  Stamp unsaved_since = no_stamp;
  bool in_flight = false;
  Node* next_dirty = nullptr;
};

class DirtyQueueTest : public ::testing::Test {
 protected:
  Node& write(int i, Stamp stamp) {
    Node& node = nodes_.at(static_cast<std::size_t>(i));
    node.second.unsaved_since = stamp;
    queue_.wait(node);
    return node;
  }

  /// Returns: what a whole turn comes to, in order; all of it waits again afterwards.
  std::vector<int> turn() {
    queue_.begin_turn();
    std::vector<int> order;
    while (Node* const node = queue_.next()) {
      order.push_back(node->first);
      queue_.requeue(*node, Place::front);
    }
    queue_.end_turn();
    return order;
  }

  std::vector<Node> nodes_{{0, {}}, {1, {}}, {2, {}}, {3, {}}};
  DirtyQueue<Node> queue_;
};

TEST_F(DirtyQueueTest, ATurnComesToWhatWaitedWhenItBeganOldestFirst) {
  write(0, 10);
  write(1, 20);
  queue_.begin_turn();
  write(2, 30);
  EXPECT_EQ(queue_.next(), &nodes_[0]);
  EXPECT_EQ(queue_.next(), &nodes_[1]);
  EXPECT_EQ(queue_.next(), nullptr);
  queue_.end_turn();
  EXPECT_EQ(turn(), std::vector{2});
}

TEST_F(DirtyQueueTest, WhatIsKeptWaitsInFrontOfWhatWasWrittenMeanwhile) {
  write(0, 10);
  write(1, 20);
  write(2, 30);
  queue_.begin_turn();
  write(3, 40);
  queue_.requeue(*queue_.next(), Place::front);
  queue_.requeue(*queue_.next(), Place::back);
  queue_.requeue(*queue_.next(), Place::front);
  queue_.end_turn();
  EXPECT_EQ(turn(), (std::vector{0, 2, 3, 1}));
}

TEST_F(DirtyQueueTest, WhatTheTurnDidNotComeToWaitsBehindWhatIsKept) {
  write(0, 10);
  write(1, 20);
  write(2, 30);
  queue_.begin_turn();
  write(3, 40);
  Node& first = *queue_.next();
  queue_.requeue(*queue_.next(), Place::front);
  queue_.requeue(first, Place::back);
  queue_.end_turn();
  EXPECT_EQ(queue_.oldest(), 10);
  EXPECT_EQ(turn(), (std::vector{1, 2, 3, 0}));
  for (int i = 0; i < 4; ++i)
    EXPECT_NE(queue_.take(), nullptr);
  write(2, 30);
  queue_.begin_turn();
  queue_.end_turn();
  EXPECT_EQ(queue_.oldest(), 30);
  EXPECT_EQ(turn(), std::vector{2});
}

TEST_F(DirtyQueueTest, WhatTheFlusherHoldsIsNotLinkedAndStillTellsItsAge) {
  nodes_[0].second.in_flight = true;
  write(0, 10);
  EXPECT_EQ(queue_.oldest(), 10);
  EXPECT_TRUE(turn().empty());
}

TEST_F(DirtyQueueTest, TellsTheOldestThroughATurn) {
  EXPECT_EQ(queue_.oldest(), no_stamp);
  write(0, 10);
  write(1, 20);
  EXPECT_EQ(queue_.oldest(), 10);
  queue_.begin_turn();
  EXPECT_EQ(queue_.oldest(), 10);
  EXPECT_EQ(queue_.next(), &nodes_[0]);  // saved
  Node& kept = *queue_.next();
  EXPECT_EQ(queue_.oldest(), 10) << "the flusher is not through with it";
  queue_.requeue(kept, Place::back);
  queue_.end_turn();
  EXPECT_EQ(queue_.oldest(), 20);
  queue_.begin_turn();
  EXPECT_EQ(queue_.next(), &kept);
  queue_.end_turn();
  EXPECT_EQ(queue_.oldest(), no_stamp);
}

TEST_F(DirtyQueueTest, AnEntryLeavesOutOfTurnWhereverItStands) {
  const auto stand_everywhere = [&] {
    write(0, 10);
    write(1, 20);
    queue_.begin_turn();
    write(2, 30);
    queue_.requeue(*queue_.next(), Place::front);  // 0 is kept, 1 due, 2 waits
  };
  const auto due_then_next_turn = [&] {
    std::vector<int> order;
    while (Node* const node = queue_.next())
      order.push_back(node->first);
    queue_.end_turn();
    for (const int next : turn())
      order.push_back(next);
    while (queue_.take() != nullptr)
      continue;
    queue_.end_turn();
    return order;
  };
  stand_everywhere();
  queue_.remove(nodes_[0]);
  EXPECT_EQ(due_then_next_turn(), (std::vector{1, 2}));
  stand_everywhere();
  queue_.remove(nodes_[1]);
  EXPECT_EQ(due_then_next_turn(), (std::vector{0, 2}));
  stand_everywhere();
  queue_.remove(nodes_[2]);
  EXPECT_EQ(due_then_next_turn(), (std::vector{1, 0}));
}

TEST_F(DirtyQueueTest, AllThreeListsAreWalkedAndTakenFrom) {
  write(0, 10);
  write(1, 20);
  queue_.begin_turn();
  queue_.requeue(*queue_.next(), Place::front);
  write(2, 30);
  EXPECT_EQ(queue_.size(), 3U);
  std::vector<int> walked;
  DirtyQueue<Node>::Walk walk;
  while (queue_.step(walk, [&](Node& node) { walked.push_back(node.first); })) {
  }
  std::sort(walked.begin(), walked.end());
  EXPECT_EQ(walked, (std::vector{0, 1, 2}));
  for (int i = 0; i < 3; ++i)
    EXPECT_NE(queue_.take(), nullptr);
  EXPECT_EQ(queue_.take(), nullptr);
  EXPECT_EQ(queue_.size(), 0U);
  queue_.end_turn();
  EXPECT_EQ(queue_.oldest(), no_stamp);
  EXPECT_TRUE(turn().empty());
}

TEST_F(DirtyQueueTest, AWalkInStepsComesToWhatIsWrittenMeanwhile) {
  std::deque<Node> many;
  for (int i = 0; i < 100; ++i)
    queue_.wait(many.emplace_back(i, State{}));
  std::vector<int> walked;
  const auto visit = [&](Node& node) { walked.push_back(node.first); };
  DirtyQueue<Node>::Walk walk;
  ASSERT_TRUE(queue_.step(walk, visit));
  EXPECT_LT(walked.size(), 50U);
  for (int i = 100; i < 200; ++i)
    queue_.wait(many.emplace_back(i, State{}));
  while (queue_.step(walk, visit)) {
  }
  ASSERT_EQ(walked.size(), 200U);
  for (int i = 0; i < 200; ++i)
    EXPECT_EQ(walked[static_cast<std::size_t>(i)], i);
}

}  // namespace
}  // namespace lazywriter::detail
