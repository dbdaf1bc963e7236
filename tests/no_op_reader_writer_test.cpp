#include "lazywriter/no_op_reader_writer.hpp"

#include <gtest/gtest.h>

#include "lazywriter/cache_reader_writer.hpp"
#include "support/manual_cache.hpp"

namespace lazywriter::testing {
namespace {

using NoOp = NoOpReaderWriter<Account>;

static_assert(CacheReaderWriter<NoOp, Account>);
static_assert(BatchSaver<NoOp, Account>);
static_assert(Eraser<NoOp, Account>);
static_assert(BatchEraser<NoOp, Account>);
static_assert(!FailureClassifier<NoOp>);
static_assert(!Interruptible<NoOp>);

TEST(NoOpReaderWriter, MakesTheCacheAPlainMap) {
  LazyWriterCache cache{NoOp{}, manual({.capacity = 0})};
  EXPECT_FALSE(cache.get("ann"));
  cache.put({"ann", 1});
  cache.erase("bob");
  const FlushResult result = cache.flush();
  EXPECT_EQ(result.written, 1U);
  EXPECT_EQ(result.erased, 1U);
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(cache.get("ann")->value, 1);
  EXPECT_FALSE(cache.get("bob"));
  EXPECT_TRUE(cache.close().unsaved.empty());
}

TEST(NoOpReaderWriter, ForgetsWhatTheCacheForgets) {
  LazyWriterCache cache{NoOp{}, manual()};
  cache.put({"ann", 1});
  cache.flush();
  EXPECT_TRUE(cache.invalidate("ann"));
  EXPECT_FALSE(cache.get("ann"));
}

}  // namespace
}  // namespace lazywriter::testing
