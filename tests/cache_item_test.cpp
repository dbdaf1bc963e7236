// CTEST_THREADS: none
#include "lazywriter/cache_item.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "support/items.hpp"

namespace lazywriter::testing {

/// With a hash of its own.
struct Caseless {
  std::string text;
  bool operator==(const Caseless& other) const { return text.size() == other.text.size(); }
};

}  // namespace lazywriter::testing

template <>
struct lazywriter::key_hash<lazywriter::testing::Caseless> {
  std::size_t operator()(const lazywriter::testing::Caseless& key) const { return key.text.size(); }
};

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

template <class Key>
struct Keyed {
  Key name{};
  Key key() const { return name; }
  void copy_key_data_from(const Keyed&) {}
};
using Opaque = WithUnhashableKey::Key;
static_assert(CacheItem<Keyed<std::pair<std::string, std::optional<int>>>>);
static_assert(!CacheItem<Keyed<std::tuple<int, Opaque>>>);
static_assert(!CacheItem<Keyed<std::pair<Opaque, int>>>);
static_assert(!CacheItem<Keyed<std::string_view>>);
static_assert(!CacheItem<Keyed<std::u8string_view>>);
static_assert(!CacheItem<Keyed<const char*>>);
static_assert(!CacheItem<Keyed<std::tuple<int, std::string_view>>>);
static_assert(!CacheItem<Keyed<std::optional<std::pair<int, const char*>>>>);
static_assert(!CacheItem<Keyed<std::variant<int, std::string_view>>>);
static_assert(!detail::OwningKey<std::span<const char>>);
static_assert(!detail::OwningKey<std::tuple<std::array<std::span<int>, 2>>>);
static_assert(!detail::OwningKey<std::tuple<const std::string&, int>>);
static_assert(detail::OwningKey<std::tuple<std::string, std::vector<char>>>);

/// How many hashes a hundred thousand dense pairs of numbers have, seeded or not.
template <class Key, class Hash>
std::size_t distinct_hashes(int rows, Hash&& hash) {
  std::vector<std::size_t> hashes;
  for (int a = 0; a < rows; ++a) {
    for (int b = 0; b < 100'000 / rows; ++b)
      hashes.push_back(hash(Key(a, b)));
  }
  std::sort(hashes.begin(), hashes.end());
  return static_cast<std::size_t>(std::unique(hashes.begin(), hashes.end()) - hashes.begin());
}

TEST(KeyHash, PairsOfNumbersSpreadAsWellAsTuples) {
  using Pair = std::pair<int, int>;
  using Tuple = std::tuple<int, int>;
  const auto seeded = [](const auto& key) {
    return detail::table_hash<std::remove_cvref_t<decltype(key)>>(key, detail::HashSeed::of(1, 2));
  };
  for (const int rows : {100, 1'000}) {
    EXPECT_EQ(distinct_hashes<Pair>(rows, key_hash<Pair>{}), 100'000U) << rows;
    EXPECT_EQ(distinct_hashes<Tuple>(rows, key_hash<Tuple>{}), 100'000U) << rows;
    EXPECT_EQ(distinct_hashes<Pair>(rows, seeded), 100'000U) << rows;
    EXPECT_EQ(distinct_hashes<Tuple>(rows, seeded), 100'000U) << rows;
  }
}

enum class Color { red, green };

TEST(KeyHash, TimesAndEnumsHaveOne) {
  using namespace std::chrono_literals;
  using Key = std::tuple<std::chrono::sys_seconds, std::chrono::milliseconds, Color,
                         std::chrono::duration<double>>;
  static_assert(CacheItem<Keyed<Key>>);
  static_assert(CacheItem<Keyed<std::chrono::steady_clock::time_point>>);
  static_assert(CacheItem<Keyed<std::chrono::sys_days>>);
  static_assert(CacheItem<Keyed<Color>>);
  const key_hash<Key> hash;
  const std::chrono::sys_seconds now{100s};
  EXPECT_EQ(hash({now, 5ms, Color::red, 0s}), hash({now, 5ms, Color::red, -0.0s}));
  EXPECT_NE(hash({now, 5ms, Color::red, 0s}), hash({now + 1s, 5ms, Color::red, 0s}));
  EXPECT_NE(hash({now, 5ms, Color::red, 0s}), hash({now, 6ms, Color::red, 0s}));
  EXPECT_NE(hash({now, 5ms, Color::red, 0s}), hash({now, 5ms, Color::green, 0s}));
}

TEST(KeyHash, NothingIsAKeyOfItsOwn) {
  const key_hash<std::optional<int>> hash;
  EXPECT_NE(hash(std::nullopt), hash(0));
  EXPECT_NE(hash(0), hash(1));
  EXPECT_EQ(hash(1), hash(1));
}

template <class Key>
void expect_another_hash_with_every_seed(const Key& key) {
  std::set<std::size_t> hashes;
  for (std::uint64_t i = 0; i < 100; ++i) {
    const detail::FixedHashSeed fixed(i);
    hashes.insert(detail::table_hash<Key>(key, detail::HashSeed::fresh()));
  }
  EXPECT_EQ(hashes.size(), 100U);
}

TEST(TableHash, DependsOnTheSeed) {
  expect_another_hash_with_every_seed(std::string("ann"));
  expect_another_hash_with_every_seed(std::wstring(L"ann"));
  expect_another_hash_with_every_seed(7);
  expect_another_hash_with_every_seed(Color::red);
  expect_another_hash_with_every_seed(std::chrono::milliseconds{7});
  expect_another_hash_with_every_seed(std::pair<int, int>(1, 2));
  expect_another_hash_with_every_seed(std::tuple<std::string>("ann"));
  expect_another_hash_with_every_seed(std::optional<std::string>("ann"));
  expect_another_hash_with_every_seed(Caseless{"ann"});
}

/// Effect: `key(i)` is a text, one of many that have the same hash wherever strings are hashed
/// without a seed, or with one that enters only one factor.
std::string chosen_text(std::uint64_t i) {
  std::string text(16, '\0');
  const std::uint64_t mask = detail::HashSeed::known().mask;
  std::memcpy(text.data(), &mask, sizeof mask);
  std::memcpy(text.data() + sizeof mask, &i, sizeof i);
  return text;
}

TEST(TableHash, ChosenTextsDoNotCollideWhereverTheyStand) {
  constexpr std::size_t count = 1'000;
  const detail::HashSeed seed = detail::HashSeed::fresh();
  std::set<std::size_t> known;
  std::array<std::set<std::size_t>, 5> hashes;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string text = chosen_text(i);
    known.insert(key_hash<std::string>{}(text));
    hashes[0].insert(detail::table_hash<std::string>(text, seed));
    hashes[1].insert(detail::table_hash<std::pair<std::string, int>>(std::pair(text, 1), seed));
    hashes[2].insert(detail::table_hash<std::tuple<int, std::string>>(std::tuple(1, text), seed));
    using Nested = std::pair<int, std::optional<std::string>>;
    hashes[3].insert(detail::table_hash<Nested>(Nested(1, text), seed));
    using Local =
        std::basic_string<char, std::char_traits<char>, std::pmr::polymorphic_allocator<>>;
    hashes[4].insert(detail::table_hash<Local>(Local(text), seed));
  }
  EXPECT_EQ(known.size(), 1U) << "the texts are not chosen well";
  for (const auto& each : hashes)
    EXPECT_EQ(each.size(), count);
}

TEST(TableHash, NumbersChosenForOneBucketSpread) {
  // A table of 10,007 buckets, and the multiples of that.
  constexpr std::uint64_t buckets = 10'007;
  const detail::HashSeed seed = detail::HashSeed::fresh();
  std::vector<std::size_t> load(buckets);
  std::set<std::size_t> shards;
  for (std::uint64_t i = 0; i < buckets; ++i) {
    const std::size_t hash = detail::table_hash<std::uint64_t>(i * buckets, seed);
    ++load[hash % buckets];
    shards.insert((hash * 0x9E3779B97F4A7C15ULL) >> 56);
  }
  // Of 10,007 thrown at random 8 or 9 meet in one.
  EXPECT_LT(*std::max_element(load.begin(), load.end()), 16U);
  EXPECT_EQ(shards.size(), 256U);
}

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
