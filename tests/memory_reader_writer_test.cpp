#include "lazywriter/memory_reader_writer.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <future>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lazywriter {
namespace {

struct Account {
  std::string login;
  int balance = 0;
  std::int64_t id = 0;
  const std::string& key() const { return login; }
  void copy_key_data_from(const Account& stored) { id = stored.id; }
};

using Store = MemoryReaderWriter<Account>;

static_assert(CacheReaderWriter<Store, Account>);
static_assert(BatchSaver<Store, Account>);
static_assert(Eraser<Store, Account>);
static_assert(BatchEraser<Store, Account>);
static_assert(FailureClassifier<Store>);
static_assert(Interruptible<Store>);

void save_one(Store& store, Account account) {
  auto transaction = store.begin_tx();
  store.save(account, transaction);
  store.commit_tx(transaction);
}

TEST(MemoryReaderWriter, AppliesATransactionAtItsCommit) {
  Store store;
  auto transaction = store.begin_tx();
  Account ann{"ann", 1};
  store.save(ann, transaction);
  EXPECT_FALSE(store.find("ann"));
  store.commit_tx(transaction);
  ASSERT_TRUE(store.find("ann"));
  EXPECT_EQ(store.find("ann")->balance, 1);
  EXPECT_EQ(store.size(), 1U);
}

TEST(MemoryReaderWriter, DropsATransactionThatIsNotCommitted) {
  Store store;
  {
    auto transaction = store.begin_tx();
    Account ann{"ann", 1};
    store.save(ann, transaction);
  }
  EXPECT_EQ(store.size(), 0U);
}

TEST(MemoryReaderWriter, ErasesRowsAtCommit) {
  Store store;
  store.insert({"ann", 1});
  store.insert({"bob", 2});
  auto transaction = store.begin_tx();
  const std::vector<std::string> keys{"ann", "nobody"};
  store.erase_batch(keys, transaction);
  EXPECT_EQ(store.size(), 2U);
  store.commit_tx(transaction);
  EXPECT_FALSE(store.row("ann"));
  EXPECT_TRUE(store.row("bob"));
}

TEST(MemoryReaderWriter, SharesItsRowsWithItsCopies) {
  Store store;
  Store copy = store;
  save_one(copy, {"ann", 1});
  EXPECT_TRUE(store.row("ann"));
}

TEST(MemoryReaderWriter, FillsInGeneratedFieldsAndKeepsThoseOfTheRow) {
  Store store;
  store.on_save([next = std::int64_t{0}](Account& account) mutable {
    if (account.id == 0) account.id = ++next;
  });
  std::vector<Account> accounts{{"ann", 1}, {"bob", 2}};
  auto transaction = store.begin_tx();
  store.save_batch(accounts, transaction);
  store.commit_tx(transaction);
  EXPECT_EQ(accounts[0].id, 1);
  EXPECT_EQ(accounts[1].id, 2);

  Account again{"ann", 3};
  transaction = store.begin_tx();
  store.save(again, transaction);
  store.commit_tx(transaction);
  EXPECT_EQ(again.id, 1);
}

TEST(MemoryReaderWriter, AnEraseInTheSameTransactionForgetsTheKeyDataOfTheRow) {
  Store store;
  store.insert({"ann", 1, 7});
  auto transaction = store.begin_tx();
  Account again{"ann", 3};
  store.erase("ann", transaction);
  store.save(again, transaction);
  store.commit_tx(transaction);
  EXPECT_EQ(again.id, 0);
}

TEST(MemoryReaderWriter, FailsAsOftenAsScripted) {
  Store store;
  store.fail_next(StoreCall::save, 2);
  EXPECT_THROW(save_one(store, {"ann"}), StoreDown);
  EXPECT_THROW(save_one(store, {"ann"}), StoreDown);
  save_one(store, {"ann"});
  EXPECT_EQ(store.calls(StoreCall::save), 3U);
  EXPECT_EQ(store.calls(StoreCall::commit_tx), 1U);
}

TEST(MemoryReaderWriter, CanFailAfterTheEffect) {
  Store store;
  store.fail_next(StoreCall::commit_tx, 1, StoreFault::transient, FaultTime::after_effect);
  EXPECT_THROW(save_one(store, {"ann"}), StoreDown);
  EXPECT_TRUE(store.row("ann"));
}

TEST(MemoryReaderWriter, CanFailWithWhatIsNoStdException) {
  Store store;
  store.fail_next(StoreCall::begin_tx, 1, StoreFault::unknown);
  EXPECT_THROW(store.begin_tx(), int);
}

TEST(MemoryReaderWriter, IsDownUntilItRecovers) {
  Store store;
  store.fail_always();
  EXPECT_THROW(store.find("ann"), StoreDown);
  EXPECT_THROW(store.begin_tx(), StoreDown);
  store.recover();
  save_one(store, {"ann"});
  EXPECT_TRUE(store.find("ann"));
}

TEST(MemoryReaderWriter, RejectsAKeyUntilItIsAccepted) {
  Store store;
  store.reject("bob", "bob may not");
  save_one(store, {"ann"});
  try {
    save_one(store, {"bob"});
    FAIL();
  } catch (const StoreRejected& error) {
    EXPECT_STREQ(error.what(), "bob may not");
    EXPECT_EQ(store.classify(error), WriteFailure::rejected);
  }
  store.accept("bob");
  save_one(store, {"bob"});
}

TEST(MemoryReaderWriter, ARejectionAtCommitDropsTheWholeTransaction) {
  Store store;
  store.reject("bob", "deferred", StoreCall::commit_tx);
  auto transaction = store.begin_tx();
  std::vector<Account> accounts{{"ann"}, {"bob"}};
  store.save_batch(accounts, transaction);
  EXPECT_THROW(store.commit_tx(transaction), StoreRejected);
  EXPECT_EQ(store.size(), 0U);
}

TEST(MemoryReaderWriter, ClassifiesEverythingElseAsTransient) {
  Store store;
  EXPECT_EQ(store.classify(StoreDown("down")), WriteFailure::transient);
  EXPECT_EQ(store.classify(std::runtime_error("?")), WriteFailure::transient);
}

TEST(MemoryReaderWriter, AHangingCallEndsWithRecovery) {
  Store store;
  store.fail_next(StoreCall::find, 1, StoreFault::hang);
  store.insert({"ann", 1});
  auto found = std::async(std::launch::async, [store]() mutable { return store.find("ann"); });
  store.wait_for_calls(StoreCall::find, 1);
  store.interrupt();  // does not touch find
  store.recover();
  store.fail_always(StoreCall::find);  // the call under way is past its script
  EXPECT_TRUE(found.get());
}

TEST(MemoryReaderWriter, AHangingTransactionEndsWithInterrupt) {
  Store store;
  store.fail_next(StoreCall::commit_tx, 1, StoreFault::hang);
  auto saved = std::async(std::launch::async, [store]() mutable { save_one(store, {"ann"}); });
  store.wait_for_calls(StoreCall::commit_tx, 1);
  store.interrupt();
  EXPECT_THROW(saved.get(), StoreDown);
  EXPECT_TRUE(store.interrupted());
  EXPECT_THROW(store.begin_tx(), StoreDown);
  EXPECT_FALSE(store.find("ann"));
}

TEST(MemoryReaderWriter, TheHookSeesEveryCallAndMayUseTheStore) {
  Store store;
  std::vector<std::pair<StoreCall, FaultTime>> seen;
  store.on_call([&](StoreCall call, FaultTime time) {
    seen.emplace_back(call, time);
    (void)store.size();
  });
  store.begin_tx();
  EXPECT_EQ(seen, (std::vector<std::pair<StoreCall, FaultTime>>{
                      {StoreCall::begin_tx, FaultTime::before_effect},
                      {StoreCall::begin_tx, FaultTime::after_effect}}));
  store.on_call(nullptr);
  store.begin_tx();
  EXPECT_EQ(seen.size(), 2U);
}

TEST(MemoryReaderWriter, ReportsEveryCommittedRow) {
  Store store;
  std::vector<std::string> committed;
  store.on_commit([&](const std::string& key, const Account* account) {
    committed.push_back(key + (account != nullptr ? " saved" : " erased"));
  });
  save_one(store, {"ann"});
  auto transaction = store.begin_tx();
  store.erase("ann", transaction);
  store.commit_tx(transaction);
  EXPECT_EQ(committed, (std::vector<std::string>{"ann saved", "ann erased"}));
}

TEST(MemoryReaderWriter, KeepsWhatIsLogged) {
  Store store;
  store.info("one");
  store.warn("two");
  EXPECT_EQ(store.infos(), std::vector<std::string>{"one"});
  EXPECT_EQ(store.warnings(), std::vector<std::string>{"two"});
}

TEST(MemoryReaderWriter, RowsCanBeWrittenPastTheCache) {
  Store store;
  store.insert({"ann", 1});
  store.insert({"ann", 2});
  EXPECT_EQ(store.row("ann")->balance, 2);
  store.remove("ann");
  EXPECT_TRUE(store.rows().empty());
}

}  // namespace
}  // namespace lazywriter
