// A thread cannot start: in the constructor, which throws and leaves none, or later, when the cache
// needs none any more.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <cerrno>
#include <memory>
#include <system_error>

#include "support/manual_cache.hpp"
#include "support/sanitizer.hpp"
#include "support/thread_count.hpp"

// Sanitizers put their own function in this place.
#if !LAZYWRITER_THREAD_SANITIZER && !LAZYWRITER_ADDRESS_SANITIZER

namespace {
// Threads that may still start; negative: any number.
thread_local int threads_left = -1;
}  // namespace

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*start)(void*), void* argument) {
  if (threads_left == 0) return EAGAIN;
  if (threads_left > 0) --threads_left;
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  return create(thread, attributes, start, argument);
}

namespace lazywriter::testing {
namespace {

TEST(ThreadStart, AThreadThatCannotStartFailsTheConstructorAndLeavesNone) {
  const auto before = thread_count();
  for (const int possible : {0, 1}) {
    threads_left = possible;
    EXPECT_THROW((Cache{Store{}, CacheConfig{}}), std::system_error);
    threads_left = -1;
    EXPECT_TRUE(comes_down_to(before));
  }
  {
    const Cache healthy{Store{}, CacheConfig{}};
    EXPECT_EQ(thread_count(), before + 2);
  }
  const Cache without_loops{Store{}, manual()};
  EXPECT_TRUE(comes_down_to(before + 1)) << "the one that close flushes on";
}

TEST(ThreadStart, CloseAndTheDestructorSaveWhereNoFurtherThreadCanStart) {
  for (const bool loops : {false, true}) {
    Store store;
    CacheConfig config = manual();
    config.close_timeout = 20s;
    if (loops) config.flush_interval = config.prune_interval = 1h;
    auto closed = std::make_unique<Cache>(store, config);
    auto destroyed = std::make_unique<Cache>(store, config);
    closed->put({"a", 1});
    destroyed->put({"b", 1});
    threads_left = 0;
    EXPECT_TRUE(closed->close().unsaved.empty());
    destroyed.reset();
    threads_left = -1;
    EXPECT_EQ(store.size(), 2U);
    EXPECT_TRUE(store.warnings().empty());
  }
}

}  // namespace
}  // namespace lazywriter::testing

#endif
