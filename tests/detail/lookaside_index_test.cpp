// CTEST_THREADS: none
#include "lazywriter/detail/table/lookaside_index.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <list>
#include <random>
#include <vector>

namespace lazywriter::detail {
namespace {

struct Node {
  std::size_t hash;
};

class LookasideIndexTest : public ::testing::Test {
 protected:
  Node& add(std::size_t hash) {
    nodes_.push_back({hash});
    index_.insert(hash, nodes_.back());
    return nodes_.back();
  }
  Node* find(std::size_t hash) const {
    return index_.find(hash, [hash](const Node& node) { return node.hash == hash; });
  }

  std::list<Node> nodes_;
  LookasideIndex<Node> index_;
};

TEST_F(LookasideIndexTest, WithoutRoomItKnowsNothing) {
  Node& node = add(1);
  EXPECT_EQ(find(1), nullptr);
  index_.erase(1, node);
  EXPECT_EQ(index_.capacity(), 0U);
  EXPECT_EQ(index_.memory_bytes(), 0U);
}

TEST_F(LookasideIndexTest, FindsNearlyAllThatItHasRoomFor) {
  index_.reserve(10'000);
  ASSERT_GE(index_.capacity(), 10'000U);
  for (std::size_t hash = 0; hash < 10'000; ++hash)
    add(hash);
  std::size_t found = 0;
  for (Node& node : nodes_) {
    Node* const hit = find(node.hash);
    if (hit != nullptr) {
      EXPECT_EQ(hit, &node);
      ++found;
    }
  }
  EXPECT_GT(found, 9'000U);
  EXPECT_EQ(find(10'001), nullptr);
}

TEST_F(LookasideIndexTest, BeginsInMemoryOfOthersAndGrowsInItsOwn) {
  const std::size_t bytes = LookasideIndex<Node>::bytes_for(1'000);
  LargePages pages(bytes);
  index_.reserve(1'000, pages);
  EXPECT_EQ(index_.memory_bytes(), bytes);
  EXPECT_EQ(pages.take(1), nullptr);
  Node& node = add(1);
  EXPECT_EQ(find(1), &node);
  EXPECT_FALSE(index_.reserve(1'000));
  EXPECT_TRUE(index_.reserve(10'000));
  EXPECT_GE(index_.capacity(), 10'000U);
  EXPECT_EQ(find(1), nullptr) << "a larger one is empty";
}

TEST_F(LookasideIndexTest, BeginsInItsOwnMemoryIfTheOthersHaveNone) {
  LargePages pages(64);
  index_.reserve(1'000, pages);
  EXPECT_GE(index_.capacity(), 1'000U);
  Node& node = add(1);
  EXPECT_EQ(find(1), &node);
  EXPECT_NE(pages.take(64), nullptr);
}

TEST_F(LookasideIndexTest, WhatIsErasedIsNotFound) {
  index_.reserve(8);
  Node& a = add(1);
  EXPECT_EQ(find(1), &a);
  index_.erase(1, a);
  EXPECT_EQ(find(1), nullptr);
}

TEST_F(LookasideIndexTest, EqualHashesAreToldApartByTheCaller) {
  index_.reserve(8);
  Node& first = add(7);
  Node& second = add(7);
  EXPECT_EQ(index_.find(7, [&](const Node& node) { return &node == &second; }), &second);
  EXPECT_EQ(index_.find(7, [&](const Node& node) { return &node == &first; }), &first);
}

TEST_F(LookasideIndexTest, WithoutRoomNothingIsComplete) {
  EXPECT_FALSE(index_.complete(1));
}

TEST_F(LookasideIndexTest, ALineIsCompleteUntilItWasFull) {
  index_.reserve(1);
  EXPECT_TRUE(index_.complete(7));
  for (int i = 0; i < 7; ++i)
    add(7);
  EXPECT_TRUE(index_.complete(7));
  index_.erase(7, nodes_.front());
  EXPECT_TRUE(index_.complete(7)) << "it forgot nothing yet";
  nodes_.pop_front();
  for (int i = 0; i < 3; ++i)
    add(7);
  EXPECT_FALSE(index_.complete(7));
  while (!nodes_.empty()) {
    index_.erase(7, nodes_.front());
    nodes_.pop_front();
  }
  EXPECT_FALSE(index_.complete(7)) << "it cannot know whether it remembered all";
  EXPECT_EQ(index_.find(7, [](const Node&) { return true; }), nullptr);
}

// Against a list: what is found is there, and where a line is complete what is not found is not.
TEST_F(LookasideIndexTest, NeverDeniesANodeThatIsThere) {
  std::mt19937 random(20'070'101);
  std::vector<std::size_t> certain(2);
  index_.reserve(200);
  for (int step = 0; step < 20'000; ++step) {
    const std::size_t hash = random() % 300;
    const auto at = std::find_if(nodes_.begin(), nodes_.end(),
                                 [&](const Node& node) { return node.hash == hash; });
    Node* const found = find(hash);
    if (at == nodes_.end()) {
      EXPECT_EQ(found, nullptr);
      certain[0] += index_.complete(hash) ? 1U : 0U;
      add(hash);
    } else {
      EXPECT_TRUE(found == &*at || (found == nullptr && !index_.complete(hash)));
      certain[1] += found != nullptr ? 1U : 0U;
      index_.erase(hash, *at);
      nodes_.erase(at);
    }
  }
  EXPECT_GT(certain[0], 5'000U);
  EXPECT_GT(certain[1], 8'000U);
}

TEST_F(LookasideIndexTest, AFullLineForgetsOneForTheNewOne) {
  index_.reserve(1);
  for (int i = 0; i < 100; ++i) {
    Node& newest = add(7);
    EXPECT_EQ(index_.find(7, [&](const Node& node) { return &node == &newest; }), &newest);
  }
}

}  // namespace
}  // namespace lazywriter::detail
