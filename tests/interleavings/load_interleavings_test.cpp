// Every operation while a load of the same key is under way: one table of (how the load ends) x
// (operation), each with what the loader gets, what readers see, and what is unsaved then.
#include <gtest/gtest.h>

#include <exception>
#include <functional>
#include <future>
#include <optional>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include "support/eventually.hpp"
#include "support/manual_cache.hpp"

namespace lazywriter::testing {
namespace {

enum class Ending { finds, finds_nothing, throws };

/// What an operation means for the load.
enum class Effect {
  nothing,  // the result of the load stands
  wins,     // what it wrote stands, and the result of the load is dropped
  forgets,  // the result is too old: the loader asks again, and finds the row as it is by then
  joins,    // it waits for the load and goes on with its result
  closes,
};

struct Operation {
  const char* name;
  Effect effect;
  /// For wins and joins: what readers see afterwards, given what the load found.
  std::function<std::optional<int>(std::optional<int> loaded)> seen;
  /// The same for what is unsaved.
  std::function<std::size_t(std::optional<int> loaded)> dirty;
  std::function<void(Cache&)> run;
};

constexpr int before = 1;
constexpr int after = 7;
const std::string the_key = long_key("the key");

std::optional<int> unchanged(std::optional<int> loaded) {
  return loaded;
}
std::optional<int> three(std::optional<int>) {
  return 3;
}
std::optional<int> gone(std::optional<int>) {
  return std::nullopt;
}
std::size_t none(std::optional<int>) {
  return 0;
}
std::size_t one(std::optional<int>) {
  return 1;
}
std::size_t if_there(std::optional<int> loaded) {
  return loaded ? 1 : 0;
}

std::vector<Operation> operations() {
  using enum Effect;
  const auto three_if_there = [](std::optional<int> loaded) {
    return loaded ? std::optional<int>{3} : std::nullopt;
  };
  return {
      {"put", wins, three, one,
       [](Cache& cache) {
         cache.put({the_key, 3});
       }},
      {"put_twice", wins, three, one,
       [](Cache& cache) {
         cache.put({the_key, 2});
         cache.put({the_key, 3});
       }},
      {"put_and_flush", wins, three, none,
       [](Cache& cache) {
         cache.put({the_key, 3});
         EXPECT_TRUE(cache.flush().ok());
       }},
      {"put_flush_and_invalidate", forgets, three, none,
       [](Cache& cache) {
         cache.put({the_key, 3});
         EXPECT_TRUE(cache.flush().ok());
         EXPECT_TRUE(cache.invalidate(the_key));
       }},
      {"put_and_discard", wins, three, none,
       [](Cache& cache) {
         cache.put({the_key, 3});
         EXPECT_EQ(cache.discard_dirty(), 1U);
       }},
      {"erase", wins, gone, one, [](Cache& cache) { cache.erase(the_key); }},
      {"erase_and_flush", forgets, gone, none,
       [](Cache& cache) {
         cache.erase(the_key);
         EXPECT_TRUE(cache.flush().ok());
       }},
      {"update", joins, three_if_there, if_there,
       [](Cache& cache) { cache.update(the_key, [](Account& item) { item.value = 3; }); }},
      {"compute_set", joins, three, one,
       [](Cache& cache) {
         cache.compute(the_key, [](std::optional<Account>& item) { item = Account{the_key, 3}; });
       }},
      {"compute_keep", joins, unchanged, none,
       [](Cache& cache) { cache.compute(the_key, [](std::optional<Account>&) { return false; }); }},
      {"compute_erase", joins, gone, if_there,
       [](Cache& cache) {
         cache.compute(the_key, [](std::optional<Account>& item) { item.reset(); });
       }},
      {"get", joins, unchanged, none, [](Cache& cache) { cache.get(the_key); }},
      {"visit", joins, unchanged, none,
       [](Cache& cache) { cache.visit(the_key, [](const Account&) {}); }},
      {"peek", nothing, unchanged, none, [](Cache& cache) { EXPECT_FALSE(cache.peek(the_key)); }},
      {"contains", nothing, unchanged, none,
       [](Cache& cache) { EXPECT_FALSE(cache.contains(the_key)); }},
      {"invalidate", forgets, unchanged, none,
       [](Cache& cache) { EXPECT_TRUE(cache.invalidate(the_key)); }},
      {"invalidate_all", forgets, unchanged, none,
       [](Cache& cache) { EXPECT_TRUE(cache.invalidate_all().ok()); }},
      {"preload", wins, three, none,
       [](Cache& cache) {
         EXPECT_EQ(cache.preload(std::vector<Account>{{the_key, 3}}), 1U);
       }},
      {"discard_dirty", nothing, unchanged, none,
       [](Cache& cache) { EXPECT_EQ(cache.discard_dirty(), 0U); }},
      {"prune", nothing, unchanged, none, [](Cache& cache) { EXPECT_EQ(cache.prune(), 0U); }},
      {"flush", nothing, unchanged, none, [](Cache& cache) { EXPECT_TRUE(cache.flush().ok()); }},
      {"retry_parked", nothing, unchanged, none,
       [](Cache& cache) { EXPECT_EQ(cache.retry_parked(), 0U); }},
      {"close", closes, unchanged, none,
       [](Cache& cache) { EXPECT_TRUE(cache.close().unsaved.empty()); }},
  };
}

class LoadInterleavings : public ::testing::TestWithParam<std::tuple<Ending, Operation>> {
 protected:
  static Ending ending() { return std::get<0>(GetParam()); }
  static Operation operation() { return std::get<1>(GetParam()); }

  /// The first find waits with its answer in hand; with Ending::throws every one throws.
  std::shared_ptr<Gate> block_load() {
    struct Opener {
      std::shared_ptr<Gate> gate = std::make_shared<Gate>();
      ~Opener() { gate->open(); }
    };
    const auto opener = std::make_shared<Opener>();
    store.on_call([gate = opener->gate](StoreCall call, FaultTime time) {
      if (call != StoreCall::find || time != FaultTime::after_effect) return;
      gate->pass();
      if (ending() == Ending::throws) throw StoreDown("find failed");
    });
    return {opener, opener->gate.get()};
  }

  static std::optional<int> found() {
    return ending() == Ending::finds ? std::optional<int>{before} : std::nullopt;
  }

  Store store;
  Cache cache{store, manual()};
};

/// What the thread got: a value, none, or the exception of the store.
struct Got {
  bool threw = false;
  std::optional<int> value;
};

Got result_of(std::future<std::optional<Account>>& loader) {
  try {
    return {false, value_of(loader.get())};
  } catch (const StoreDown&) {
    return {true, std::nullopt};
  }
}

TEST_P(LoadInterleavings, EndAsTheTableSays) {
  if (ending() == Ending::finds) store.insert({the_key, before});
  const auto gate = block_load();
  auto loader = in_background([&] { return cache.get(the_key); });
  gate->wait_for_arrival();

  const bool throws = ending() == Ending::throws;
  const Effect effect = operation().effect;
  if (effect == Effect::joins) {
    auto joined = in_background([&] { operation().run(cache); });
    EXPECT_TRUE(eventually([&] { return cache.stats().misses == 2; }));
    gate->open();
    if (throws) {
      EXPECT_THROW(joined.get(), StoreDown);
    } else {
      joined.get();
    }
  } else {
    operation().run(cache);
    // What the load has in its hands is too old now.
    if (std::string(operation().name).starts_with("invalidate") && ending() == Ending::finds) {
      store.insert({the_key, after});
    }
    gate->open();
  }
  const Got got = result_of(loader);

  const bool refound = effect == Effect::forgets && operation().seen(0) == 0;
  std::optional<int> expected = operation().seen(found());
  if (refound && ending() == Ending::finds) expected = after;
  const auto dirty = operation().dirty(found());
  if (throws && effect != Effect::wins) {
    EXPECT_TRUE(got.threw || effect == Effect::closes);
    EXPECT_EQ(seen(cache, the_key), std::nullopt);
    EXPECT_EQ(cache.dirty_count(), 0U);
  } else if (effect == Effect::closes) {
    EXPECT_TRUE(got.value == found() || got.value == std::nullopt);
  } else {
    EXPECT_FALSE(got.threw);
    // A joining change comes before or after what the loader reads.
    EXPECT_TRUE(got.value == expected || (effect == Effect::joins && got.value == found()));
    EXPECT_EQ(seen(cache, the_key), expected);
    EXPECT_EQ(cache.dirty_count(), dirty);
  }
  EXPECT_TRUE(cache.parked().empty());

  if (effect == Effect::closes) return;
  store.on_call(nullptr);
  EXPECT_TRUE(cache.flush().ok());
  if (!throws && operation().name != std::string("preload") &&
      operation().name != std::string("put_and_discard")) {
    EXPECT_EQ(value_of(store.row(the_key)), expected);
  }
}

std::string name_of(const ::testing::TestParamInfo<LoadInterleavings::ParamType>& row) {
  constexpr const char* endings[] = {"Finding_", "FindingNothing_", "Throwing_"};
  return std::string(endings[static_cast<int>(std::get<0>(row.param))]) +
         std::get<1>(row.param).name;
}

INSTANTIATE_TEST_SUITE_P(Table, LoadInterleavings,
                         ::testing::Combine(::testing::Values(Ending::finds, Ending::finds_nothing,
                                                              Ending::throws),
                                            ::testing::ValuesIn(operations())),
                         name_of);

void PrintTo(const Operation& operation, std::ostream* out) {
  *out << operation.name;
}

TEST(LoadRaces, NobodyJoinsAStaleLoad) {
  Store store;
  store.insert({the_key, before});
  Cache cache{store, manual()};
  Gate gate;
  bool first = true;
  store.on_call([&](StoreCall call, FaultTime time) {
    if (call != StoreCall::find || time != FaultTime::after_effect || !first) return;
    first = false;
    gate.pass();
  });
  auto loader = in_background([&] { return cache.get(the_key); });
  gate.wait_for_arrival();
  store.insert({the_key, after});
  EXPECT_TRUE(cache.invalidate(the_key));
  EXPECT_EQ(value_of(cache.get(the_key)), after);  // its own find, while the old one hangs
  gate.open();
  EXPECT_EQ(value_of(loader.get()), after);
  EXPECT_EQ(seen(cache, the_key), after);
}

TEST(LoadRaces, AStaleLoadThatFailsDoesNotFailThoseWhoWaited) {
  Store store;
  store.insert({the_key, before});
  Cache cache{store, manual()};
  Gate gate;
  bool first = true;
  store.on_call([&](StoreCall call, FaultTime time) {
    if (call != StoreCall::find || time != FaultTime::after_effect || !first) return;
    first = false;
    gate.pass();
    throw StoreDown("the first find fails");
  });
  auto loader = in_background([&] { return cache.get(the_key); });
  gate.wait_for_arrival();
  auto waiter = in_background([&] { return cache.get(the_key); });
  EXPECT_TRUE(eventually([&] { return cache.stats().misses == 2; }));
  cache.put({the_key, 3});
  EXPECT_EQ(value_of(waiter.get()), 3);
  gate.open();
  EXPECT_EQ(value_of(loader.get()), 3);
}

TEST(LoadRaces, AnErasedRowThatIsFlushedMeanwhileDoesNotComeBack) {
  Store store;
  store.insert({the_key, before});
  Cache cache{store, manual()};
  const auto gate = block_at(store, StoreCall::find, FaultTime::after_effect);
  auto loader = in_background([&] { return cache.get(the_key); });
  gate->wait_for_arrival();
  cache.erase(the_key);
  EXPECT_TRUE(cache.flush().ok());
  gate->open();
  EXPECT_FALSE(loader.get());
  EXPECT_FALSE(cache.contains(the_key));
}

TEST(LoadRaces, WhatCameInAndWasEvictedMeanwhileIsReadAgain) {
  const auto put = [](Cache& cache, Store&) {
    cache.put({the_key, 3});
    EXPECT_TRUE(cache.flush().ok());
  };
  const auto preload = [](Cache& cache, Store& store) {
    store.insert({the_key, 3});
    EXPECT_EQ(cache.preload(std::vector<Account>{{the_key, 3}}), 1U);
  };
  for (const auto& come_in : {std::function<void(Cache&, Store&)>(put), {preload}}) {
    Store store;
    store.insert({the_key, before});
    Cache cache{store, manual({.capacity = 1})};
    const auto gate = block_at(store, StoreCall::find, FaultTime::after_effect);
    auto loader = in_background([&] { return cache.get(the_key); });
    gate->wait_for_arrival();
    come_in(cache, store);
    cache.preload(std::vector<Account>{{"other 1", 1}, {"other 2", 1}});
    cache.prune();
    EXPECT_FALSE(cache.contains(the_key));
    gate->open();
    EXPECT_EQ(value_of(loader.get()), 3);
    EXPECT_EQ(value_of(cache.get(the_key)), 3);
  }
}

}  // namespace
}  // namespace lazywriter::testing
