// operator new fails at its N-th call on this thread, for every N.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <limits>
#include <new>
#include <string>

#include "lazywriter/no_op_reader_writer.hpp"
#include "support/scenario.hpp"

namespace {

struct Allocations {
  static inline thread_local std::size_t countdown = 0;  // 0: never fails
  static inline thread_local bool lasting = false;
  static inline thread_local bool met = false;
  static inline thread_local std::size_t largest = std::numeric_limits<std::size_t>::max();
};

void* allocate(std::size_t size) {
  if (Allocations::countdown != 0 &&
      (Allocations::countdown == 1 || --Allocations::countdown == 0)) {
    Allocations::met = true;
    if (!Allocations::lasting) Allocations::countdown = 0;
    throw std::bad_alloc();
  }
  if (size > Allocations::largest) throw std::bad_alloc();
  void* const memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t size) {
  return allocate(size);
}
void* operator new[](std::size_t size) {
  return allocate(size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace lazywriter::testing {
namespace {

class OutOfMemory : public ::testing::TestWithParam<bool> {};

TEST_P(OutOfMemory, AtEveryAllocationLosesNothing) {
  bool met = true;
  std::size_t nth = 1;
  for (; met; ++nth) {
    Scenario<Account> scenario;
    Allocations::met = false;
    Allocations::lasting = GetParam();
    Allocations::countdown = nth;
    scenario.run();
    Allocations::countdown = 0;
    met = Allocations::met;
    SCOPED_TRACE("allocation " + std::to_string(nth));
    scenario.expect_consistent();
    scenario.expect_recovery();
    ASSERT_LT(nth, 10'000U);
    if (HasFailure()) return;
  }
  EXPECT_GT(nth, 30U);
}

TEST_P(OutOfMemory, AtEveryAllocationOfFlushesWithBadItemsLosesNothing) {
  constexpr int items = 12;
  bool met = true;
  std::size_t nth = 1;
  for (; met; ++nth) {
    Store store;
    Cache cache{store, manual({.max_batch = 8, .park_after = 2, .shards = 2})};
    for (int i = 0; i < items; ++i) {
      const std::string key = long_key(std::to_string(i));
      if (i % 4 == 0) store.reject(key);
      if (i % 5 == 1) store.reject(key, "no", StoreCall::commit_tx, StoreFault::transient);
      if (i == 7) store.reject(key, "1.4 GB", StoreCall::save, StoreFault::unavailable);
      if (i % 3 == 0) cache.erase(key);
      cache.put({key, i});
    }
    Allocations::met = false;
    Allocations::lasting = GetParam();
    Allocations::countdown = nth;
    for (int i = 0; i < 4; ++i)
      cache.flush();
    Allocations::countdown = 0;
    met = Allocations::met;
    SCOPED_TRACE("allocation " + std::to_string(nth));
    EXPECT_EQ(cache.stats().in_flight, 0U);
    std::size_t unsaved = 0;
    for (int i = 0; i < items; ++i) {
      const std::string key = long_key(std::to_string(i));
      EXPECT_EQ(seen(cache, key), i);
      const bool pinned = !cache.invalidate(key);
      unsaved += pinned ? 1U : 0U;
      if (!pinned) {
        EXPECT_EQ(value_of(store.row(key)), i);
      }
      store.accept(key);
    }
    EXPECT_EQ(cache.dirty_count() + cache.parked().size(), unsaved);
    cache.retry_parked();
    EXPECT_TRUE(cache.flush(20s).ok());
    EXPECT_EQ(store.size(), static_cast<std::size_t>(items));
    ASSERT_LT(nth, 10'000U);
    if (HasFailure()) return;
  }
  EXPECT_GT(nth, 60U);
}

INSTANTIATE_TEST_SUITE_P(OnceAndFromThenOn, OutOfMemory, ::testing::Bool());

/// With no memory to remember a key, the Reading says that it has overflowed, and no call throws.
TEST(OutOfMemory, AReadingThatCannotRememberAKeyOverflows) {
  Store store;
  store.insert({"ann", 1});
  store.insert({"bob", 1});
  Cache cache{store, manual()};
  const auto rows = store.rows();
  cache.erase("ann");
  EXPECT_TRUE(cache.flush().ok());
  const Reading early = cache.reading();
  cache.get("bob");
  Allocations::lasting = true;
  Allocations::countdown = 1;
  const bool invalidated = cache.invalidate("bob");
  Allocations::countdown = 0;
  EXPECT_TRUE(invalidated);
  EXPECT_TRUE(early.overflowed());
  EXPECT_EQ(cache.preload(rows, early), 0U);

  Allocations::countdown = 1;
  EXPECT_THROW((void)cache.reading(), std::bad_alloc);
  Allocations::countdown = 0;
  const Reading next = cache.reading();
  EXPECT_TRUE(cache.invalidate("ann"));
  EXPECT_FALSE(next.overflowed());
  EXPECT_EQ(cache.preload(rows, next), 1U);
}

TEST(OutOfMemory, ABatchTooLargeForTheMemoryIsWrittenInParts) {
  LazyWriterCache<Account, NoOpReaderWriter<Account>> cache{{}, manual({.max_batch = 1'000'000})};
  for (int i = 0; i < 5'000; ++i)
    cache.put({std::to_string(i), 1});
  Allocations::largest = std::size_t{16} * 1024;
  const FlushResult result = cache.flush();
  Allocations::largest = std::numeric_limits<std::size_t>::max();
  EXPECT_EQ(result.written, 5'000U);
  EXPECT_GE(cache.stats().transactions, 5'000 * sizeof(Account) / (16 * 1024));
  EXPECT_EQ(cache.stats().failed_transactions, 0U);
}

TEST(OutOfMemory, AHitAllocatesNothingButTheCopy) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"ann", 1});
  Allocations::lasting = true;
  Allocations::met = false;
  Allocations::countdown = 1;
  const bool hit = cache.visit("ann", [](const Account&) {});
  const bool there = cache.contains("ann");
  const bool copied = cache.get("ann").has_value();  // a short string: no allocation in the copy
  cache.put({"ann", 2});
  Allocations::countdown = 0;
  EXPECT_TRUE(hit && there && copied);
  EXPECT_FALSE(Allocations::met);
}

}  // namespace
}  // namespace lazywriter::testing
