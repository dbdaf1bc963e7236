// What happened to a key between its row being read past the cache and preload(rows, reading): one
// table of (what the memory held) x (what happened) x (flushed or not) x (evicted or not), each
// with what readers get then.
#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include "support/manual_cache.hpp"

namespace lazywriter::testing {
namespace {

/// What the memory holds when the Reading begins. The store holds `in_store` each time.
enum class Before { nothing, clean, dirty };

constexpr int in_store = 1;
constexpr int unsaved = 2;
const std::string the_key = long_key("the key");

struct Case {
  Before before;
  bool flushed;
  bool evicted;
};

using Value = std::optional<int>;

struct Happening {
  const char* name;
  std::function<void(Cache&, Store&)> run;
  /// What readers get afterwards.
  std::function<Value(Case)> expected;
};

std::function<Value(Case)> always(Value value) {
  return [value](Case) { return value; };
}

/// The key as it was: with what was unsaved, if anything was.
Value as_before(Case given) {
  return given.before == Before::dirty ? unsaved : in_store;
}

/// Effect: the store refuses the key for a flush.
void park(Cache& cache, Store& store, StoreCall at) {
  store.reject(the_key, "no", at);
  EXPECT_EQ(cache.flush().parked, 1U);
  store.accept(the_key);
}

std::vector<Happening> happenings() {
  return {
      {"nothing", [](Cache&, Store&) {}, as_before},
      {"put",
       [](Cache& cache, Store&) {
         cache.put({the_key, 3});
       },
       always(3)},
      {"put_twice_with_a_flush_between",
       [](Cache& cache, Store&) {
         cache.put({the_key, 3});
         EXPECT_TRUE(cache.flush().ok());
         cache.put({the_key, 4});
       },
       always(4)},
      {"update",
       [](Cache& cache, Store&) {
         EXPECT_TRUE(cache.update(the_key, [](Account& item) { item.value = 3; }));
       },
       always(3)},
      {"compute",
       [](Cache& cache, Store&) {
         EXPECT_TRUE(cache.compute(the_key, [](auto& item) { item->value = 3; }));
       },
       always(3)},
      {"compute_to_nothing",
       [](Cache& cache, Store&) {
         EXPECT_FALSE(cache.compute(the_key, [](auto& item) { item.reset(); }));
       },
       always(std::nullopt)},
      {"erase", [](Cache& cache, Store&) { cache.erase(the_key); }, always(std::nullopt)},
      {"erase_then_put",
       [](Cache& cache, Store&) {
         cache.erase(the_key);
         cache.put({the_key, 3});
       },
       always(3)},
      {"erase_flush_then_put",
       [](Cache& cache, Store&) {
         cache.erase(the_key);
         EXPECT_TRUE(cache.flush().ok());
         cache.put({the_key, 3});
       },
       always(3)},
      {"put_flush_then_erase",
       [](Cache& cache, Store&) {
         cache.put({the_key, 3});
         EXPECT_TRUE(cache.flush().ok());
         cache.erase(the_key);
       },
       always(std::nullopt)},
      // Another process writes, and says so.
      {"invalidate",
       [](Cache& cache, Store& store) {
         store.insert({the_key, 7});
         EXPECT_EQ(cache.invalidate(the_key), !cache.is_dirty());
       },
       [](Case given) -> Value { return given.before == Before::dirty ? unsaved : 7; }},
      {"invalidate_of_a_row_that_is_gone",
       [](Cache& cache, Store& store) {
         store.remove(the_key);
         EXPECT_EQ(cache.invalidate(the_key), !cache.is_dirty());
       },
       [](Case given) { return given.before == Before::dirty ? Value{unsaved} : std::nullopt; }},
      {"invalidate_all",
       [](Cache& cache, Store& store) {
         store.insert({the_key, 7});
         EXPECT_TRUE(cache.invalidate_all().ok());
       },
       [](Case given) -> Value { return given.before == Before::dirty ? unsaved : 7; }},
      {"get", [](Cache& cache, Store&) { EXPECT_TRUE(cache.get(the_key)); }, as_before},
      {"preload_without_a_reading",
       [](Cache& cache, Store&) {
         cache.preload(std::vector<Account>{{the_key, in_store}});
       },
       as_before},
      // What is given up stays readable, but the store knows nothing of it.
      {"put_and_discard_dirty",
       [](Cache& cache, Store&) {
         cache.put({the_key, 3});
         EXPECT_EQ(cache.discard_dirty(), 1U);
       },
       [](Case given) -> Value { return given.evicted ? in_store : 3; }},
      {"erase_and_discard_dirty",
       [](Cache& cache, Store&) {
         cache.erase(the_key);
         EXPECT_EQ(cache.discard_dirty(), 1U);
       },
       always(in_store)},
      {"put_parked",
       [](Cache& cache, Store& store) {
         cache.put({the_key, 3});
         park(cache, store, StoreCall::save);
       },
       always(3)},
      {"put_parked_and_discarded",
       [](Cache& cache, Store& store) {
         cache.put({the_key, 3});
         park(cache, store, StoreCall::save);
         EXPECT_TRUE(cache.discard_parked(the_key));
       },
       always(in_store)},
      {"erase_parked_and_discarded",
       [](Cache& cache, Store& store) {
         cache.erase(the_key);
         park(cache, store, StoreCall::erase);
         EXPECT_TRUE(cache.discard_parked(the_key));
       },
       always(in_store)},
  };
}

class PreloadInterleavings
    : public ::testing::TestWithParam<std::tuple<Before, Happening, bool, bool>> {
 protected:
  static Case given() {
    const auto& [before, happening, flushed, evicted] = GetParam();
    return {before, flushed, evicted};
  }
  static const Happening& happening() { return std::get<1>(GetParam()); }

  /// Effect: crowds the key out, if it may leave.
  void evict() {
    for (int i = 0; i < 100 && cache.contains(the_key); ++i) {
      const auto name = "other " + std::to_string(i);
      cache.preload(std::vector<Account>{{name, 1}});
      cache.prune();
    }
  }

  Store store;
  Cache cache{store, manual({.capacity = 1})};
};

TEST_P(PreloadInterleavings, ReadersGetTheNewest) {
  store.insert({the_key, in_store});
  if (given().before == Before::clean) {
    EXPECT_TRUE(cache.get(the_key));
  } else if (given().before == Before::dirty) {
    cache.put({the_key, unsaved});
  }

  Reading reading = cache.reading();
  const std::vector<Account> rows = store.rows();
  happening().run(cache, store);
  const bool parked = !cache.parked().empty();
  if (given().flushed) (void)cache.flush();
  if (given().evicted) {
    evict();
    EXPECT_EQ(cache.contains(the_key), parked || (cache.is_dirty() && cache.peek(the_key)));
  }
  const std::size_t taken = cache.preload(rows, reading);

  const bool untouched =
      given().before == Before::nothing && happening().name == std::string("nothing");
  EXPECT_EQ(taken, untouched ? 1U : 0U);
  EXPECT_EQ(value_of(cache.get(the_key)), happening().expected(given()));
  EXPECT_FALSE(reading.overflowed());

  // What is read from now on is new.
  (void)cache.flush();
  reading = cache.reading();
  cache.preload(store.rows(), reading);
  EXPECT_EQ(value_of(cache.get(the_key)), happening().expected(given()));
}

std::string name_of(const ::testing::TestParamInfo<PreloadInterleavings::ParamType>& row) {
  constexpr const char* befores[] = {"Absent_", "Clean_", "Dirty_"};
  const auto& [before, happening, flushed, evicted] = row.param;
  return std::string(befores[static_cast<int>(before)]) + happening.name +
         (flushed ? "_flushed" : "") + (evicted ? "_evicted" : "");
}

INSTANTIATE_TEST_SUITE_P(
    Table, PreloadInterleavings,
    ::testing::Combine(::testing::Values(Before::nothing, Before::clean, Before::dirty),
                       ::testing::ValuesIn(happenings()), ::testing::Bool(), ::testing::Bool()),
    name_of);

void PrintTo(const Happening& happening, std::ostream* out) {
  *out << happening.name;
}

// ---- beside a miss

class PreloadBesideAMiss : public ::testing::Test {
 protected:
  PreloadBesideAMiss() { store.insert({the_key, in_store}); }

  Store store;
  Cache cache{store, manual()};
};

TEST_F(PreloadBesideAMiss, TheRowIsTakenInWhereNothingHappened) {
  const auto gate = block_at(store, StoreCall::find, FaultTime::after_effect);
  auto loader = in_background([&] { return cache.get(the_key); });
  gate->wait_for_arrival();
  const Reading reading = cache.reading();
  EXPECT_EQ(cache.preload(store.rows(), reading), 1U);
  gate->open();
  EXPECT_EQ(value_of(loader.get()), in_store);
}

TEST_F(PreloadBesideAMiss, AnErasedRowStaysErased) {
  const Reading reading = cache.reading();
  const auto rows = store.rows();
  const auto gate = block_at(store, StoreCall::find, FaultTime::after_effect);
  auto loader = in_background([&] { return cache.get(the_key); });
  gate->wait_for_arrival();
  cache.erase(the_key);
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(cache.preload(rows, reading), 0U);
  gate->open();
  EXPECT_FALSE(loader.get());
  EXPECT_FALSE(cache.get(the_key));
}

// ---- beside a flush

/// When the Reading begins, while the transaction with the key is held up: before its commit or
/// after.
class PreloadBesideAFlush : public ::testing::TestWithParam<std::tuple<FaultTime, bool>> {
 protected:
  PreloadBesideAFlush() { store.insert({the_key, in_store}); }

  Store store;
  Cache cache{store, manual()};
};

TEST_P(PreloadBesideAFlush, WhatLandsWhileTheReadingLivesIsRemembered) {
  const auto [time, discarded] = GetParam();
  cache.erase(the_key);
  const std::vector<Account> rows{{the_key, in_store}};  // as seen from before the commit
  const auto gate = block_at(store, StoreCall::commit_tx, time);
  auto flush = in_background([&] { return cache.flush(); });
  gate->wait_for_arrival();
  const Reading reading = cache.reading();
  if (discarded) {
    EXPECT_EQ(cache.discard_dirty(), 1U);  // it leaves when the flight has landed
  }
  EXPECT_EQ(cache.preload(rows, reading), 0U);
  gate->open();
  EXPECT_TRUE(flush.get().ok());
  EXPECT_EQ(cache.preload(rows, reading), 0U);
  EXPECT_FALSE(cache.get(the_key));
}

INSTANTIATE_TEST_SUITE_P(Commit, PreloadBesideAFlush,
                         ::testing::Combine(::testing::Values(FaultTime::before_effect,
                                                              FaultTime::after_effect),
                                            ::testing::Bool()));

}  // namespace
}  // namespace lazywriter::testing
