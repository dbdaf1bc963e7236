#include "lazywriter/detail/dirty_list.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace lazywriter::detail {
namespace {

struct Links;
using Node = std::pair<const int, Links>;
struct Links {
  Node* next_dirty = nullptr;
};

class DirtyListTest : public ::testing::Test {
 protected:
  static std::vector<int> drain(DirtyList<Node>& list) {
    std::vector<int> order;
    while (Node* const node = list.pop_front())
      order.push_back(node->first);
    return order;
  }

  std::vector<Node> nodes_{{0, {}}, {1, {}}, {2, {}}, {3, {}}};
  DirtyList<Node> list_;
  DirtyList<Node> other_;
};

TEST_F(DirtyListTest, FirstInIsFirstOut) {
  for (Node& node : nodes_)
    list_.push_back(node);
  EXPECT_EQ(list_.size(), 4U);
  EXPECT_EQ(drain(list_), (std::vector{0, 1, 2, 3}));
  EXPECT_TRUE(list_.empty());
  EXPECT_EQ(list_.size(), 0U);
}

TEST_F(DirtyListTest, CanBeUsedAgainAfterItWasEmptied) {
  list_.push_back(nodes_[0]);
  EXPECT_EQ(list_.pop_front(), &nodes_[0]);
  EXPECT_EQ(list_.pop_front(), nullptr);
  list_.push_back(nodes_[1]);
  list_.push_back(nodes_[0]);
  EXPECT_EQ(drain(list_), (std::vector{1, 0}));
}

TEST_F(DirtyListTest, AppendAndPrependKeepBothOrders) {
  list_.push_back(nodes_[0]);
  list_.push_back(nodes_[1]);
  other_.push_back(nodes_[2]);
  other_.push_back(nodes_[3]);
  list_.append(other_);
  EXPECT_TRUE(other_.empty());
  EXPECT_EQ(drain(list_), (std::vector{0, 1, 2, 3}));

  list_.push_back(nodes_[0]);
  other_.push_back(nodes_[1]);
  other_.push_back(nodes_[2]);
  list_.prepend(other_);
  EXPECT_EQ(list_.size(), 3U);
  EXPECT_TRUE(other_.empty());
  EXPECT_EQ(drain(list_), (std::vector{1, 2, 0}));
}

TEST_F(DirtyListTest, JoiningWithAnEmptyListChangesNothing) {
  list_.push_back(nodes_[0]);
  list_.append(other_);
  list_.prepend(other_);
  EXPECT_EQ(list_.size(), 1U);
  other_.prepend(list_);
  EXPECT_EQ(drain(other_), std::vector{0});
}

TEST_F(DirtyListTest, UnlinksAtEveryPlace) {
  for (std::size_t gone = 0; gone < nodes_.size(); ++gone) {
    for (Node& node : nodes_)
      list_.push_back(node);
    EXPECT_TRUE(list_.unlink(nodes_[gone]));
    EXPECT_FALSE(list_.unlink(nodes_[gone]));
    list_.push_back(nodes_[gone]);  // the tail is right, too
    std::vector<int> expected;
    for (int i = 0; i < 4; ++i)
      if (i != static_cast<int>(gone)) expected.push_back(i);
    expected.push_back(static_cast<int>(gone));
    EXPECT_EQ(drain(list_), expected);
  }
}

TEST_F(DirtyListTest, ForgetsWithoutTouchingNodes) {
  list_.push_back(nodes_[0]);
  list_.push_back(nodes_[1]);
  list_.forget();
  EXPECT_TRUE(list_.empty());
  EXPECT_EQ(list_.pop_front(), nullptr);
  list_.push_back(nodes_[2]);
  EXPECT_EQ(drain(list_), std::vector{2});
}

}  // namespace
}  // namespace lazywriter::detail
