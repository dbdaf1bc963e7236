// Batches of every size that matters: insert, update, erase.
// CTEST_TIMEOUT: 900
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "database.hpp"

namespace {

namespace pg = lazywriter::pg;

struct Counter {
  std::string name;
  std::int64_t count{};
  std::int64_t id{};
  const std::string& key() const { return name; }
  void copy_key_data_from(const Counter& stored) { id = stored.id; }
};

class Batch : public pgtest::Database, public testing::WithParamInterface<int> {
 protected:
  void SetUp() override {
    pgtest::Database::SetUp();
    exec("CREATE TABLE counters (name text PRIMARY KEY, count bigint NOT NULL, id bigserial)");
  }

  lazywriter::PqxxReaderWriter<Counter, pg::Column<pg::ColumnRole::key, Counter, std::string>,
                               pg::Column<pg::ColumnRole::value, Counter, std::int64_t>,
                               pg::Column<pg::ColumnRole::generated, Counter, std::int64_t>>
  make_store() {
    return lazywriter::PqxxReaderWriter{
        pg::table<Counter>("counters", pg::key(&Counter::name, "name"),
                           pg::column(&Counter::count, "count"), pg::generated(&Counter::id, "id")),
        url(), options()};
  }
};

TEST_P(Batch, IsInsertedUpdatedAndErased) {
  auto store = make_store();
  const int size = GetParam();
  std::vector<Counter> items;
  for (int number = 0; number < size; ++number) {
    items.push_back({"key " + std::to_string(number * 7919 % size), number, 0});
  }
  const std::string expected_sum = std::to_string(std::int64_t{size} * (size - 1) / 2);
  const std::string size_text = std::to_string(size);

  pgtest::save_all(store, items);
  EXPECT_EQ(value("SELECT count(*) FROM counters"), size_text);
  EXPECT_EQ(value("SELECT sum(count) FROM counters"), expected_sum);
  for (const Counter& item : items)
    ASSERT_GT(item.id, 0);

  const std::vector<Counter> inserted = items;
  for (Counter& item : items) {
    item.count += 10;
    item.id = -1;
  }
  pgtest::save_all(store, items);
  EXPECT_EQ(value("SELECT count(*) FROM counters"), size_text);
  EXPECT_EQ(value("SELECT sum(count) FROM counters"),
            std::to_string(std::stoll(expected_sum) + 10LL * size));
  for (std::size_t at = 0; at < items.size(); ++at)
    ASSERT_EQ(items[at].id, inserted[at].id);

  std::vector<std::string> keys{"absent"};
  for (std::size_t at = 0; at < items.size(); at += 2)
    keys.push_back(items[at].name);
  auto transaction = store.begin_tx();
  store.erase_batch(keys, transaction);
  store.commit_tx(transaction);
  EXPECT_EQ(value("SELECT count(*) FROM counters"), std::to_string(size / 2));
}

INSTANTIATE_TEST_SUITE_P(Sizes, Batch, testing::Values(1, 2, 999, 1'000, 1'001, 100'000));

using SmallBatches = Batch;

TEST_F(SmallBatches, WritesNothing) {
  auto store = make_store();
  auto transaction = store.begin_tx();
  store.save_batch({}, transaction);
  store.erase_batch({}, transaction);
  store.commit_tx(transaction);
  EXPECT_EQ(value("SELECT count(*) FROM counters"), "0");
}

TEST_F(SmallBatches, ErasesThenSavesInOneTransaction) {
  auto store = make_store();
  std::vector<Counter> items{{"a", 1, 0}, {"b", 2, 0}};
  pgtest::save_all(store, items);
  auto transaction = store.begin_tx();
  store.erase("a", transaction);
  Counter again{"b", 3, 0};
  store.save(again, transaction);
  Counter other{"c", 4, 0};
  store.save(other, transaction);
  store.commit_tx(transaction);
  EXPECT_EQ(value("SELECT string_agg(name || count, ',' ORDER BY name) FROM counters"), "b3,c4");
}

TEST_F(SmallBatches, ATransactionThatIsNotCommittedIsRolledBack) {
  auto store = make_store();
  {
    auto transaction = store.begin_tx();
    Counter item{"a", 1, 0};
    store.save(item, transaction);
    auto moved = std::move(transaction);
    store.save(item, moved);
  }
  EXPECT_EQ(value("SELECT count(*) FROM counters"), "0");
  {
    auto transaction = store.begin_tx();
    Counter item{"a", 1, 0};
    store.save(item, transaction);
    store.commit_tx(transaction);
    EXPECT_THROW(store.commit_tx(transaction), pg::RolledBack);
    EXPECT_THROW(store.save(item, transaction), pg::RolledBack);
  }
  EXPECT_EQ(value("SELECT count(*) FROM counters"), "1");
}

}  // namespace
