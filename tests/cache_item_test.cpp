// CTEST_THREADS: none
#include "lazywriter/cache_item.hpp"

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <utility>

#include "support/items.hpp"

namespace lazywriter::testing {
namespace {

static_assert(CacheItem<Account>);
static_assert(CacheItem<Counter>);
static_assert(CacheItem<Cell>);
static_assert(std::is_same_v<key_type_t<Account>, std::string>);
static_assert(std::is_same_v<key_type_t<Cell>, std::tuple<int, std::string>>);

struct WithoutKeyData {
  int key() const { return 1; }
};
struct WithThrowingMove {
  WithThrowingMove(const WithThrowingMove&) {}
  WithThrowingMove& operator=(const WithThrowingMove&) { return *this; }
  int key() const { return 1; }
  void copy_key_data_from(const WithThrowingMove&) {}
};
struct WithUnhashableKey {
  struct Key {
    bool operator==(const Key&) const = default;
  };
  Key key() const { return {}; }
  void copy_key_data_from(const WithUnhashableKey&) {}
};
static_assert(!CacheItem<int>);
static_assert(!CacheItem<WithoutKeyData>);
static_assert(!CacheItem<WithThrowingMove>);
static_assert(!CacheItem<WithUnhashableKey>);

TEST(KeyHash, StringsAndViewsAgree) {
  const key_hash<std::string> hash;
  EXPECT_EQ(hash(std::string("ann")), hash(std::string_view("ann")));
  EXPECT_NE(hash(std::string_view("ann")), hash(std::string_view("bob")));
}

TEST(KeyHash, TheOrderOfPartsCounts) {
  const key_hash<std::tuple<int, int>> hash;
  EXPECT_NE(hash({1, 2}), hash({2, 1}));
  EXPECT_NE(hash({1, 1}), hash({2, 2}));
  EXPECT_EQ(hash({1, 2}), hash({1, 2}));
}

TEST(KeyHash, PairsAndTuplesNest) {
  using Key = std::pair<std::tuple<int, std::string>, std::string>;
  const key_hash<Key> hash;
  EXPECT_EQ(hash({{1, "a"}, "b"}), hash({{1, "a"}, "b"}));
  EXPECT_NE(hash({{1, "a"}, "b"}), hash({{1, "b"}, "a"}));
}

}  // namespace
}  // namespace lazywriter::testing
