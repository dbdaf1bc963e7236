#include "lazywriter/detail/table/table_walk.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <map>
#include <string>

#include "lazywriter/detail/table/entry_table.hpp"
#include "support/items.hpp"

namespace lazywriter::detail {
namespace {

using testing::Counter;

class TableWalkTest : public ::testing::Test {
 protected:
  using Table = EntryTable<Counter>;
  using Node = Table::Node;

  static std::size_t hash(int number) { return static_cast<std::size_t>(number) * 0x9E3779B97F4AU; }
  void insert(int number) { table_.insert_item(hash(number), Counter{number}); }
  void remove(int number) {
    Node* const node = table_.find(KeyProbe<const int&>{hash(number), number});
    ASSERT_NE(node, nullptr);
    table_.remove(*node);
  }
  /// Effect: walks to the end; `between()` runs between two steps.
  void walk(const std::function<void()>& between = [] {}) {
    TableWalk walk;
    steps_ = 0;
    while (walk.step(
        table_.entries(),
        [&](Node& node) {
          ++visits_[node.second.item().number];
          return true;
        },
        [] { return false; })) {
      ++steps_;
      ASSERT_LT(steps_, 100'000U);
      between();
    }
  }

  Table table_{0};
  std::map<int, int> visits_;
  std::size_t steps_ = 0;
};

TEST_F(TableWalkTest, VisitsEveryEntryOnceInShortSteps) {
  for (int i = 0; i < 5'000; ++i)
    insert(i);
  walk();
  EXPECT_EQ(visits_.size(), 5'000U);
  for (const auto& [number, visits] : visits_)
    ASSERT_EQ(visits, 1) << number;
  EXPECT_GT(steps_, 5'000U / 80);
}

TEST_F(TableWalkTest, AnEmptyTableIsWalkedInOneStep) {
  walk();
  EXPECT_TRUE(visits_.empty());
  EXPECT_EQ(steps_, 0U);
}

TEST_F(TableWalkTest, VisitsOnceWhatStaysHoweverOftenTheTableGrows) {
  for (int i = 0; i < 1'000; ++i)
    insert(i);
  const std::size_t buckets = table_.entries().bucket_count();
  int next = 1'000;
  int gone = 0;
  walk([&] {
    if (next < 60'000) {
      for (int i = 0; i < 700; ++i)
        insert(next++);
    }
    // Of the first thousand, every second one stays.
    if (gone < 1'000) {
      remove(gone);
      gone += 2;
    }
  });
  EXPECT_GT(table_.entries().bucket_count(), 10 * buckets);
  for (int i = 1; i < 1'000; i += 2)
    ASSERT_EQ(visits_[i], 1) << i;
  for (const auto& [number, visits] : visits_)
    ASSERT_LE(visits, 1) << number;
}

TEST_F(TableWalkTest, WhatIsVisitedMayLeave) {
  for (int i = 0; i < 1'000; ++i)
    insert(i);
  TableWalk walk;
  std::size_t visits = 0;
  while (walk.step(
      table_.entries(),
      [&](Node& node) {
        ++visits;
        table_.remove(node);
        return true;
      },
      [] { return false; })) {
  }
  EXPECT_EQ(visits, 1'000U);
  EXPECT_TRUE(table_.entries().empty());
}

TEST_F(TableWalkTest, EndsWhenItIsToldToAndEndsAStepSoonerForOneWhoWaits) {
  for (int i = 0; i < 1'000; ++i)
    insert(i);
  TableWalk walk;
  std::size_t visits = 0;
  const auto count = [&](Node&) { return ++visits != 20; };
  EXPECT_TRUE(walk.step(table_.entries(), count, [] { return true; }));
  EXPECT_LT(visits, 10U);
  EXPECT_FALSE(walk.step(table_.entries(), count, [] { return false; }));
  EXPECT_EQ(visits, 20U);
}

}  // namespace
}  // namespace lazywriter::detail
