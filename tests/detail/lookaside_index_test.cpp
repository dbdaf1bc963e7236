#include "lazywriter/detail/lookaside_index.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <list>

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

TEST_F(LookasideIndexTest, AFullLineForgetsOneForTheNewOne) {
  index_.reserve(1);
  for (int i = 0; i < 100; ++i) {
    Node& newest = add(7);
    EXPECT_EQ(index_.find(7, [&](const Node& node) { return &node == &newest; }), &newest);
  }
}

}  // namespace
}  // namespace lazywriter::detail
