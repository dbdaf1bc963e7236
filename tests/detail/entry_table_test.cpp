// CTEST_THREADS: none
#include "lazywriter/detail/table/entry_table.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lazywriter::detail {
namespace {

struct Row {
  std::string name;
  int value = 0;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Row&) {}
};

struct Shared {
  std::string name;
  std::shared_ptr<int> value;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Shared&) {}
};

struct SharedByNumber {
  int number = 0;
  std::shared_ptr<int> value;
  int key() const { return number; }
  void copy_key_data_from(const SharedByNumber&) {}
};

struct Numbered {
  int number = 0;
  std::string text;
  int key() const { return number; }
  void copy_key_data_from(const Numbered&) {}
};

// Long enough to lie on the heap, so that a dangling key shows under AddressSanitizer.
std::string long_key(int i) {
  return "a key that does not fit into the object " + std::to_string(i);
}

class EntryTableTest : public ::testing::Test {
 protected:
  using Table = EntryTable<Row>;
  using Node = Table::Node;

  static std::size_t hash(std::string_view key) { return key_hash<std::string>{}(key); }
  Node* find(std::string_view key) {
    return table_.find(KeyProbe<std::string_view>{hash(key), key});
  }
  Node& clean(const std::string& key, int value = 1) {
    return table_.insert_item(hash(key), Row{key, value});
  }
  Node& dirty(const std::string& key, Stamp stamp = 10) {
    Node& node = clean(key);
    table_.grant_slot(node);
    table_.mark_written(node, stamp);
    return node;
  }
  void put(const std::string& key, int value, Stamp stamp) {
    Node& node = *find(key);
    if (!node.second.holds_slot) table_.grant_slot(node);
    Row row{key, value};
    Leftover<Row> old;
    table_.replace_item(node, row, old);
    table_.mark_written(node, stamp);
  }
  Node& in_flight(const std::string& key, Stamp stamp = 10) {
    Node& node = dirty(key, stamp);
    table_.begin_turn();
    EXPECT_EQ(table_.pin_next(), &node);
    EXPECT_EQ(Table::stage(node), stamp);
    return node;
  }
  /// The next of a turn over everything dirty, without changing anything for good.
  std::vector<std::string> dirty_order() {
    std::vector<std::string> keys;
    std::vector<Node*> nodes;
    table_.begin_turn();
    while (Node* const node = table_.pin_next())
      nodes.push_back(node);
    for (Node* const node : nodes) {
      keys.push_back(Table::key_of(*node));
      table_.complete(*node, Place::front);
    }
    table_.end_turn();
    return keys;
  }
  /// Returns: how many were discarded, and how many of them left.
  std::pair<std::size_t, std::size_t> discard_all() {
    std::size_t discarded = 0;
    std::size_t left = 0;
    const auto discard = [&](Node& node) {
      ++discarded;
      left += table_.discard(node).empty() ? 0U : 1U;
    };
    while (Node* const node = table_.take_waiting())
      discard(*node);
    for (Node& node : table_.entries()) {
      if (node.second.in_flight && node.second.holds_slot && !node.second.parked()) discard(node);
    }
    return {discarded, left};
  }
  void expect_counts(std::size_t visible, std::size_t clean, std::size_t slots,
                     std::size_t parked = 0, std::size_t in_flight = 0) {
    EXPECT_EQ(table_.visible(), visible);
    EXPECT_EQ(table_.clean(), clean);
    EXPECT_EQ(table_.slots(), slots);
    EXPECT_EQ(table_.parked(), parked);
    EXPECT_EQ(table_.in_flight(), in_flight);
  }

  Table table_{0};
  Leftover<Row> old_;
};

TEST_F(EntryTableTest, FindsWhatWasInserted) {
  clean(long_key(1), 7);
  ASSERT_NE(find(long_key(1)), nullptr);
  EXPECT_EQ(find(long_key(1))->second.item().value, 7);
  EXPECT_EQ(find(long_key(2)), nullptr);
  expect_counts(1, 1, 0);
}

TEST_F(EntryTableTest, TellsEntriesOfOneHashApart) {
  constexpr std::size_t hash = 7;
  const auto find_twin = [&](int i) {
    const std::string key = long_key(i);
    return table_.find(KeyProbe<std::string_view>{hash, key});
  };
  std::vector<Node*> nodes;
  for (int i = 0; i < 20; ++i) {  // more than the index remembers
    EXPECT_EQ(find_twin(i), nullptr);
    nodes.push_back(&table_.insert_item(hash, Row{long_key(i), i}));
    for (int j = 0; j <= i; ++j)
      ASSERT_EQ(find_twin(j), nodes[static_cast<std::size_t>(j)]) << j << " of " << i;
  }
  table_.remove(*nodes[3]);
  EXPECT_EQ(find_twin(3), nullptr);
  EXPECT_EQ(find_twin(19), nodes[19]);
}

TEST_F(EntryTableTest, KeepsFindingAnItemWhoseKeyMovedWithIt) {
  Node& node = clean(long_key(1));
  for (int i = 0; i < 100; ++i)
    clean(long_key(100 + i));  // rehashes
  Row other{long_key(1), 2};
  {
    Leftover<Row> old;
    table_.replace_item(node, other, old);
    EXPECT_EQ(old.item(), nullptr) << "an assignment to a Row destroys nothing";
  }
  EXPECT_EQ(node.second.item().value, 2);
  other.name.assign(other.name.size(), '-');
  EXPECT_EQ(find(long_key(1)), &node);
}

/// Effect: expects what a put replaces to outlive the put, and to end with the leftover.
template <class Item, class Key>
void expect_handed_out(EntryTable<Item>& table, Key key) {
  constexpr std::size_t hash = 7;
  std::weak_ptr<int> replaced;
  {
    auto value = std::make_shared<int>(1);
    replaced = value;
    table.insert_item(hash, Item{key, std::move(value)});
  }
  Item other{key, nullptr};
  {
    Leftover<Item> old;
    table.replace_item(*table.find(KeyProbe<const Key&>{hash, key}), other, old);
    EXPECT_FALSE(replaced.expired());
  }
  EXPECT_TRUE(replaced.expired());
}

TEST_F(EntryTableTest, HandsOutWhatItReplacesSoThatItIsDestroyedWithoutTheLock) {
  EntryTable<Shared> table(0);
  expect_handed_out(table, long_key(1));
  EntryTable<SharedByNumber> by_number(0);
  expect_handed_out(by_number, 1);
}

TEST_F(EntryTableTest, AnEntryByValueOwnsItsKey) {
  EntryTable<Numbered> table(0);
  auto& node = table.insert_item(5, Numbered{5, "five"});
  node.second.item().number = 6;
  const int five = 5;
  EXPECT_EQ(table.find(KeyProbe<const int&>{5, five}), &node);
}

template <class Item>
void expect_order(Item item) {
  EntryTable<Item> table(0);
  using Node = typename EntryTable<Item>::Node;
  Node& node = table.insert_item(1, std::move(item));
  const auto place = [&](const auto& part) {
    return static_cast<std::size_t>(reinterpret_cast<const std::byte*>(&part) -
                                    reinterpret_cast<const std::byte*>(&node));
  };
  EXPECT_LE(place(node.second.item()) + sizeof(Item), Touched<Node>::by_read);
  EXPECT_EQ(place(node.second.unsaved_since), Touched<Node>::by_read);
  EXPECT_LT(place(node.second.failure), Touched<Node>::by_write);
  EXPECT_EQ(place(node.second.next_dirty), Touched<Node>::by_write);
  EXPECT_EQ(place(node.second.eviction_links), Touched<Node>::by_flush);
}

TEST_F(EntryTableTest, MembersLieInTheOrderInWhichTheyAreNeeded) {
  expect_order(Row{"a", 1});
  expect_order(Numbered{1, "one"});
  EXPECT_GE(Touched<Node>::before, 24u);
  EXPECT_EQ(Touched<EntryTable<Numbered>::Node>::before, 0u);
}

TEST_F(EntryTableTest, DirtyEntriesWaitInTheOrderOfTheirFirstWrite) {
  dirty("a", 10);
  dirty("b", 11);
  put("a", 2, 12);
  expect_counts(2, 0, 2);
  EXPECT_EQ(table_.oldest_unsaved(), 10);
  EXPECT_EQ(dirty_order(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(dirty_order(), (std::vector<std::string>{"a", "b"}));
}

TEST_F(EntryTableTest, CommittedAndNotWrittenIsClean) {
  Node& node = in_flight("a");
  expect_counts(1, 0, 1, 0, 1);
  EXPECT_TRUE(table_.complete(node, Place::back).empty());
  table_.end_turn();
  expect_counts(1, 1, 0);
  EXPECT_EQ(table_.oldest_unsaved(), no_stamp);
  EXPECT_TRUE(dirty_order().empty());
}

TEST_F(EntryTableTest, TheShortLandingIsForVisibleEntriesThatHaveNothingUnsavedAndNoTrouble) {
  Node& saved = in_flight("a");
  EXPECT_TRUE(table_.complete_saved(saved));
  table_.end_turn();
  expect_counts(1, 1, 0);
  EXPECT_FALSE(saved.second.holds_slot);
  EXPECT_EQ(table_.oldest_unsaved(), no_stamp);

  Node& written_again = in_flight("b", 10);
  put("b", 2, 20);
  EXPECT_FALSE(table_.complete_saved(written_again));
  table_.complete(written_again, Place::back);
  table_.end_turn();

  Node& erased = dirty("c");
  table_.hide_item(erased, "c", old_);
  table_.begin_turn();
  while (table_.pin_next() != &erased)
    continue;
  Table::stage(erased);
  EXPECT_FALSE(table_.complete_saved(erased));
  EXPECT_FALSE(table_.complete(erased, Place::back).empty());
}

TEST_F(EntryTableTest, TheShortLandingLeavesATroubleAndADiscardedEntryToTheLongOne) {
  Node& troubled = in_flight("a");
  troubled.second.failure = std::make_unique<FailureState<std::string>>();
  EXPECT_FALSE(table_.complete_saved(troubled));
  table_.complete(troubled, Place::back);
  table_.end_turn();

  Node& discarded = in_flight("b");
  discard_all();
  EXPECT_FALSE(table_.complete_saved(discarded)) << "it gave its slot back already";
  table_.complete(discarded, Place::back);
  table_.end_turn();
  expect_counts(2, 2, 0);
}

TEST_F(EntryTableTest, WrittenInFlightStaysDirtyWithTheTimeOfThatWrite) {
  Node& node = in_flight("a", 10);
  put("a", 2, 20);
  table_.complete(node, Place::back);
  table_.end_turn();
  expect_counts(1, 0, 1);
  EXPECT_EQ(table_.oldest_unsaved(), 20);
  EXPECT_EQ(dirty_order(), std::vector<std::string>{"a"});
}

TEST_F(EntryTableTest, AFailedAttemptLeavesTheEntryAsUnsavedAsBefore) {
  Node& node = in_flight("a", 10);
  put("a", 2, 20);
  Table::unstage_failed(node, 10, false, true);
  EXPECT_FALSE(node.second.failed) << "it was an older version that failed";
  table_.complete(node, Place::front);
  table_.end_turn();
  EXPECT_EQ(table_.oldest_unsaved(), 10);

  table_.begin_turn();
  table_.pin_next();
  Table::unstage_failed(node, Table::stage(node), false, true);
  EXPECT_TRUE(node.second.failed);
  table_.complete(node, Place::front);
  table_.end_turn();
  expect_counts(1, 0, 1);
}

TEST_F(EntryTableTest, WhatIsKeptComesBeforeWhatWasWrittenMeanwhileAndWhatIsSentBackAfter) {
  Node& a = dirty("a", 10);
  Node& b = dirty("b", 11);
  table_.begin_turn();
  table_.pin_next();
  table_.pin_next();
  dirty("c", 12);
  table_.complete(a, Place::back);
  table_.complete(b, Place::front);
  table_.end_turn();
  EXPECT_EQ(dirty_order(), (std::vector<std::string>{"b", "c", "a"}));
  EXPECT_EQ(table_.oldest_unsaved(), 10);
}

TEST_F(EntryTableTest, TheAgeOfTheOldestDoesNotOutliveIt) {
  Node& a = in_flight("a", 10);
  dirty("b", 20);
  EXPECT_EQ(table_.oldest_unsaved(), 10);
  table_.complete(a, Place::back);
  table_.end_turn();
  EXPECT_EQ(table_.oldest_unsaved(), 20);
}

TEST_F(EntryTableTest, CountsAllThatIsUnsavedWhereTheOldestIsOldEnough) {
  EXPECT_EQ(table_.unsaved_by(100), 0U);
  Node& flying = in_flight("flying", 10);
  dirty("early", 20);
  clean("clean");
  EXPECT_EQ(table_.unsaved_by(5), 0U);
  EXPECT_EQ(table_.unsaved_by(10), 2U);
  Table::unstage_failed(flying, 10, false, true);
  flying.second.failure = std::make_unique<FailureState<std::string>>();
  table_.mark_parked(flying);
  table_.complete(flying, Place::front);
  table_.end_turn();
  EXPECT_EQ(table_.unsaved_by(19), 0U) << "what is left was written later";
  EXPECT_EQ(table_.unsaved_by(20), 1U);
}

TEST_F(EntryTableTest, WhatIsInFlightOrParkedIsFoundAndWhatLandsIsNot) {
  const auto apart = [&] {
    std::vector<std::string> keys;
    Table::Apart::Walk walk;
    walk.begin(table_.apart());
    while (walk.step(table_.apart(), [&](Node& node) { keys.push_back(Table::key_of(node)); })) {
    }
    Table::Apart::Walk::end(table_.apart());
    std::sort(keys.begin(), keys.end());
    return keys;
  };
  using Keys = std::vector<std::string>;
  EXPECT_EQ(apart(), Keys{});
  for (const auto* key : {"a", "b", "c", "d"})
    dirty(key);
  EXPECT_EQ(apart(), Keys{});
  table_.begin_turn();
  while (Node* const node = table_.pin_next())
    Table::stage(*node);
  EXPECT_EQ(apart(), (Keys{"a", "b", "c", "d"}));
  EXPECT_TRUE(table_.complete_saved(*find("b")));
  for (const auto* key : {"a", "c"}) {
    Node& node = *find(key);
    Table::unstage_failed(node, 10, false, true);
    node.second.failure = std::make_unique<FailureState<std::string>>();
    table_.mark_parked(node);
    table_.complete(node, Place::back);
  }
  table_.complete(*find("d"), Place::back);
  table_.end_turn();
  EXPECT_EQ(apart(), (Keys{"a", "c"}));
  EXPECT_TRUE(table_.unpark(*find("a")));
  EXPECT_EQ(apart(), Keys{"c"});
  put("c", 2, 20);
  EXPECT_EQ(apart(), Keys{});
  Node& displaced = *find("a");
  auto failure = std::make_unique<FailureState<std::string>>();
  failure->displaced_key = "a";
  table_.park_displaced(displaced, std::move(failure), 30);
  EXPECT_EQ(apart(), Keys{"a"});
  table_.forget_parked(displaced);
  EXPECT_EQ(apart(), Keys{});
}

TEST_F(EntryTableTest, ATombstoneIsInvisibleAndLeavesOnceCommitted) {
  Node& node = dirty(long_key(1));
  table_.hide_item(node, long_key(1), old_);
  table_.mark_written(node, 11);
  EXPECT_EQ(find(long_key(1)), &node);
  EXPECT_FALSE(node.second.has_item());
  ASSERT_NE(old_.item(), nullptr);
  EXPECT_EQ(old_.item()->name, long_key(1)) << "its destructor may need its key";
  expect_counts(0, 0, 1);
  table_.begin_turn();
  ASSERT_EQ(table_.pin_next(), &node);
  Table::stage(node);
  EXPECT_FALSE(table_.complete(node, Place::back).empty());
  table_.end_turn();
  EXPECT_EQ(find(long_key(1)), nullptr);
  expect_counts(0, 0, 0);
}

TEST_F(EntryTableTest, ATombstoneOfAnUnknownKeyOwnsTheKeyAndCanComeToLife) {
  Node& node = table_.insert_tombstone(hash(long_key(1)), long_key(1));
  table_.grant_slot(node);
  table_.mark_written(node, 10);
  EXPECT_EQ(find(long_key(1)), &node);
  expect_counts(0, 0, 1);
  put(long_key(1), 5, 11);
  EXPECT_EQ(find(long_key(1))->second.item().value, 5);
  expect_counts(1, 0, 1);
}

TEST_F(EntryTableTest, ParkedEntriesWaitOutsideOfTheListUntilTheyAreWrittenOrRetried) {
  Node& node = in_flight("a", 10);
  Table::unstage_failed(node, 10, false, true);
  node.second.failure = std::make_unique<FailureState<std::string>>();
  table_.mark_parked(node);
  table_.complete(node, Place::back);
  table_.end_turn();
  expect_counts(1, 0, 1, 1);
  EXPECT_TRUE(dirty_order().empty());
  EXPECT_EQ(table_.oldest_unsaved(), no_stamp);

  EXPECT_TRUE(table_.unpark(node));
  EXPECT_FALSE(table_.unpark(node));
  expect_counts(1, 0, 1);
  EXPECT_EQ(dirty_order(), std::vector<std::string>{"a"});
}

TEST_F(EntryTableTest, AWriteReleasesAParkedEntry) {
  Node& node = in_flight("a", 10);
  Table::unstage_failed(node, 10, false, true);
  node.second.failure = std::make_unique<FailureState<std::string>>();
  table_.mark_parked(node);
  table_.complete(node, Place::back);
  table_.end_turn();
  put("a", 2, 20);
  expect_counts(1, 0, 1);
  EXPECT_EQ(dirty_order(), std::vector<std::string>{"a"});
  EXPECT_EQ(table_.oldest_unsaved(), 10) << "unsaved since it was first written";
}

TEST_F(EntryTableTest, AForgottenParkedEntryLeaves) {
  Node& node = in_flight("a", 10);
  Table::unstage_failed(node, 10, false, true);
  node.second.failure = std::make_unique<FailureState<std::string>>();
  table_.mark_parked(node);
  table_.complete(node, Place::back);
  table_.end_turn();
  EXPECT_FALSE(table_.forget_parked(node).empty());
  EXPECT_EQ(find("a"), nullptr);
  expect_counts(0, 0, 0);
}

TEST_F(EntryTableTest, ADisplacedItemStaysUnderItsKeyWhateverHappensToIt) {
  Node& node = dirty(long_key(1), 10);
  node.second.item().name = long_key(2);
  auto failure = std::make_unique<FailureState<std::string>>();
  failure->displaced_key = long_key(1);
  table_.park_displaced(node, std::move(failure), 11);
  EXPECT_EQ(find(long_key(1)), &node);
  EXPECT_EQ(find(long_key(2)), nullptr);
  expect_counts(1, 0, 1, 1);
  EXPECT_TRUE(dirty_order().empty());
  EXPECT_FALSE(table_.unpark(node)) << "it would be saved under another key";

  table_.hide_item(node, long_key(1), old_);
  table_.mark_written(node, 12);
  EXPECT_EQ(find(long_key(1)), &node);
  expect_counts(0, 0, 1);
  EXPECT_EQ(dirty_order(), std::vector<std::string>{long_key(1)});
}

TEST_F(EntryTableTest, DiscardingMakesDirtyCleanAndForgetsTombstones) {
  dirty("a");
  Node& b = dirty("b");
  table_.hide_item(b, "b", old_);
  clean("c");
  const auto [discarded, left] = discard_all();
  EXPECT_EQ(discarded, 2U);
  EXPECT_EQ(left, 1U);
  expect_counts(2, 2, 0);
  EXPECT_TRUE(dirty_order().empty());
  EXPECT_EQ(table_.oldest_unsaved(), no_stamp);
}

TEST_F(EntryTableTest, ADiscardInFlightIsHonouredWhenItLands) {
  Node& node = in_flight("a", 10);
  EXPECT_EQ(discard_all().first, 1U);
  EXPECT_EQ(find("a"), &node) << "the flusher still points to it";
  expect_counts(1, 0, 0, 0, 1);
  Table::unstage_failed(node, 10, false, true);
  table_.complete(node, Place::front);
  table_.end_turn();
  expect_counts(1, 1, 0);
}

TEST_F(EntryTableTest, AWriteAfterADiscardInFlightSurvivesTheFailure) {
  Node& node = in_flight("a", 10);
  discard_all();
  put("a", 2, 20);
  Table::unstage_failed(node, 10, false, true);
  EXPECT_EQ(node.second.unsaved_since, 20);
  // Taken again in the same pass, and failed again: the mark of the old discard must not eat the
  // write.
  Table::unstage_failed(node, Table::stage(node), false, true);
  table_.complete(node, Place::front);
  table_.end_turn();
  EXPECT_EQ(node.second.unsaved_since, 20);
  expect_counts(1, 0, 1);
}

TEST_F(EntryTableTest, OnlyCleanEntriesAreEvicted) {
  EntryTable<Row> table(1);
  auto& pinned = table.insert_item(hash("pinned"), Row{"pinned", 1});
  table.grant_slot(pinned);
  table.mark_written(pinned, 1);
  table.insert_item(hash("clean"), Row{"clean", 1});
  std::size_t budget = 64;
  EXPECT_FALSE(table.evict(budget).empty());
  EXPECT_TRUE(table.evict(budget).empty());
  EXPECT_EQ(table.visible(), 1U);
  EXPECT_EQ(table.clean(), 0U);
}

TEST_F(EntryTableTest, WhatMustStayForAnotherReasonIsNotEvicted) {
  clean("a");
  clean("b");
  std::size_t budget = 64;
  const auto stays = [&](const Node& node) noexcept { return &node == find("a"); };
  const auto evicted = table_.evict(budget, stays);
  ASSERT_FALSE(evicted.empty());
  EXPECT_EQ(evicted.mapped().item().key(), "b");
  EXPECT_TRUE(table_.evict(budget, stays).empty());
  EXPECT_FALSE(table_.evict(budget).empty());
}

}  // namespace
}  // namespace lazywriter::detail
