// CTEST_THREADS: none
#include "lazywriter/detail/table/dirty_list.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <random>
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

// Lists of every length below and above the distance that links reach, however many nodes were
// taken off their fronts before.
TEST_F(DirtyListTest, JoinsListsOfAllLengths) {
  constexpr std::size_t longest = 11;
  std::vector<Node> nodes;
  for (int i = 0; i < 40; ++i)
    nodes.push_back({i, {}});
  for (std::size_t first = 0; first <= longest; ++first) {
    for (std::size_t second = 0; second <= longest; ++second) {
      for (std::size_t popped = 0; popped < 4; ++popped) {
        for (const bool in_front : {false, true}) {
          DirtyList<Node> list;
          DirtyList<Node> other;
          std::size_t next = 0;
          std::deque<int> expected;
          std::deque<int> others;
          for (std::size_t i = 0; i < popped + first; ++i, ++next) {
            list.push_back(nodes[next]);
            if (i >= popped) expected.push_back(static_cast<int>(next));
          }
          for (std::size_t i = 0; i < popped; ++i)
            list.pop_front();
          for (std::size_t i = 0; i < second; ++i, ++next) {
            other.push_back(nodes[next]);
            others.push_back(static_cast<int>(next));
          }
          expected.insert(in_front ? expected.begin() : expected.end(), others.begin(),
                          others.end());
          in_front ? list.prepend(other) : list.append(other);
          list.push_back(nodes[next]);
          expected.push_back(static_cast<int>(next));
          EXPECT_EQ(list.size(), expected.size());
          EXPECT_TRUE(other.empty());
          EXPECT_EQ(drain(list), std::vector(expected.begin(), expected.end()))
              << first << " and " << second << " after " << popped << (in_front ? " in front" : "");
        }
      }
    }
  }
}

TEST_F(DirtyListTest, KeepsTheOrderOfADequeThroughAnySequenceOfOperations) {
  std::vector<Node> nodes;
  for (int i = 0; i < 32; ++i)
    nodes.push_back({i, {}});
  std::deque<Node*> idle;
  for (Node& node : nodes)
    idle.push_back(&node);
  std::deque<Node*> in_list;
  std::deque<Node*> in_other;
  std::mt19937 random{3};
  const auto push = [&](DirtyList<Node>& list, std::deque<Node*>& model) {
    if (idle.empty()) return;
    list.push_back(*idle.front());
    model.push_back(idle.front());
    idle.pop_front();
  };
  const auto to_front_of = [](std::deque<Node*>& model, std::deque<Node*>& moved) {
    model.insert(model.begin(), moved.begin(), moved.end());
    moved.clear();
  };
  for (int step = 0; step < 20'000; ++step) {
    switch (random() % 8) {
      case 0:
      case 1:
        push(list_, in_list);
        break;
      case 2:
      case 3:
        push(other_, in_other);
        break;
      case 4: {
        Node* const node = list_.pop_front();
        ASSERT_EQ(node, in_list.empty() ? nullptr : in_list.front());
        if (node == nullptr) break;
        in_list.pop_front();
        idle.push_back(node);
        break;
      }
      case 5:
        list_.append(other_);
        to_front_of(in_other, in_list);
        in_list.swap(in_other);
        break;
      case 6:
        list_.prepend(other_);
        to_front_of(in_list, in_other);
        break;
      case 7: {
        if (in_list.empty()) break;
        const auto at = in_list.begin() + static_cast<std::ptrdiff_t>(random() % in_list.size());
        ASSERT_TRUE(list_.unlink(**at));
        idle.push_back(*at);
        in_list.erase(at);
        break;
      }
      default:
        break;
    }
    ASSERT_EQ(list_.size(), in_list.size());
    ASSERT_EQ(other_.size(), in_other.size());
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
