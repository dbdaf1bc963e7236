// The second thread of the cache cannot start: the constructor throws and the first one is joined.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <cerrno>
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
  const Cache healthy{Store{}, CacheConfig{}};
  EXPECT_EQ(thread_count(), before + 2);
}

TEST(ThreadStart, CloseWithoutAThreadToKeepTheTimeHandsEverythingBack) {
  Store store;
  Cache cache{store, manual()};
  cache.put({"a", 1});
  threads_left = 0;
  const auto result = cache.close(1s);
  threads_left = -1;
  EXPECT_EQ(store.size(), 0U);
  ASSERT_EQ(result.unsaved.size(), 1U);
  EXPECT_EQ(result.unsaved[0].key, "a");
}

}  // namespace
}  // namespace lazywriter::testing

#endif
