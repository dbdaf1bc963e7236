// Every operation while a load of the same key is under way: one table of (how the load ends) x
// (operation), each with what the loader gets, what readers see, and what is unsaved then.
#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <tuple>
#include <utility>
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
  forgets,  // the result is not cached; the loader gets it all the same, or what is newer
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
      {"preload_erase_and_flush", forgets, gone, none,
       [](Cache& cache) {
         EXPECT_EQ(cache.preload(std::vector<Account>{{the_key, 3}}), 1U);
         cache.erase(the_key);
         EXPECT_TRUE(cache.flush().ok());
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
  std::shared_ptr<Gate> block_load() { return block_load(store); }
  static std::shared_ptr<Gate> block_load(Store& at) {
    struct Opener {
      std::shared_ptr<Gate> gate = std::make_shared<Gate>();
      ~Opener() { gate->open(); }
    };
    const auto opener = std::make_shared<Opener>();
    at.on_call([gate = opener->gate](StoreCall call, FaultTime time) {
      if (call != StoreCall::find || time != FaultTime::after_effect) return;
      gate->pass();
      if (ending() == Ending::throws) throw StoreDown("find failed");
    });
    return {opener, opener->gate.get()};
  }

  static bool invalidates() {
    return std::string(operation().name).starts_with("invalidate") && ending() == Ending::finds;
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
    // What the load has in its hands is older now than the row.
    if (invalidates()) store.insert({the_key, after});
    gate->open();
  }
  const Got got = result_of(loader);
  // A compute that joined settles by itself that there is nothing.
  EXPECT_LE(store.calls(StoreCall::find), effect == Effect::joins ? 2U : 1U);

  const std::optional<int> expected = operation().seen(found());
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
    EXPECT_EQ(seen(cache, the_key), effect == Effect::forgets ? std::nullopt : expected);
    EXPECT_EQ(cache.dirty_count(), dirty);
  }
  EXPECT_TRUE(cache.parked().empty());

  if (effect == Effect::closes) return;
  store.on_call(nullptr);
  EXPECT_TRUE(cache.flush().ok());
  if (!throws && operation().name != std::string("preload") &&
      operation().name != std::string("put_and_discard")) {
    EXPECT_EQ(value_of(store.row(the_key)), invalidates() ? after : expected);
  }
}

/// How the thread that loads changes what it finds: by update or compute.
using Change = std::function<void(Cache&)>;

void add_by_update(Cache& cache) {
  cache.update(the_key, [](Account& item) { item.value += 100; });
}
void add_by_compute(Cache& cache) {
  cache.compute(the_key, [](std::optional<Account>& item) {
    if (!item) item = Account{the_key, 0};
    item->value += 100;
  });
}

TEST_P(LoadInterleavings, AChangeStartsFromTheNewestOfItsProcess) {
  const Effect effect = operation().effect;
  const bool throws = ending() == Ending::throws;
  if (effect == Effect::joins || effect == Effect::closes) return;
  for (const auto& [change, creates] :
       {std::pair<Change, bool>{add_by_update, false}, {add_by_compute, true}}) {
    Store here;
    Cache one{here, manual()};
    if (ending() == Ending::finds) here.insert({the_key, before});
    const auto gate = block_load(here);
    auto loader = in_background([&, &add = change] { add(one); });
    gate->wait_for_arrival();
    operation().run(one);
    gate->open();
    const std::optional<int> base = operation().seen(found());
    if (throws && effect != Effect::wins) {
      EXPECT_THROW(loader.get(), StoreDown);
      continue;
    }
    loader.get();
    EXPECT_EQ(here.calls(StoreCall::find), 1U);
    std::optional<int> changed = base;
    if (base || creates) changed = base.value_or(0) + 100;
    EXPECT_EQ(seen(one, the_key), changed);
    here.on_call(nullptr);
    EXPECT_TRUE(one.flush().ok());
    const bool in_memory_alone = operation().name == std::string("preload") ||
                                 operation().name == std::string("put_and_discard");
    if (!in_memory_alone || changed != base) {
      EXPECT_EQ(value_of(here.row(the_key)), changed);
    }
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
  EXPECT_EQ(value_of(loader.get()), after);  // that entry is the answer
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

TEST(LoadRaces, WhatCameInMeanwhileIsNotEvictedBeforeTheLoadIsOver) {
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
    EXPECT_TRUE(cache.contains(the_key));
    gate->open();
    EXPECT_EQ(value_of(loader.get()), 3);
    EXPECT_EQ(store.calls(StoreCall::find), 1U);
  }
}

/// Every call that asks the store on a miss. Each returns the value that it came to.
struct Asking {
  const char* name;
  bool changes;
  std::function<std::optional<int>(Cache&)> call;
};

std::vector<Asking> every_asking_call() {
  return {{"get", false, [](Cache& cache) { return value_of(cache.get(the_key)); }},
          {"get_into", false,
           [](Cache& cache) {
             Account out;
             return cache.get_into(the_key, out) ? std::optional<int>{out.value} : std::nullopt;
           }},
          {"visit", false,
           [](Cache& cache) {
             std::optional<int> value;
             cache.visit(the_key, [&](const Account& item) { value = item.value; });
             return value;
           }},
          {"update", true,
           [](Cache& cache) {
             std::optional<int> value;
             cache.update(the_key, [&](Account& item) { value = ++item.value; });
             return value;
           }},
          {"update that changes nothing", false,
           [](Cache& cache) {
             std::optional<int> value;
             cache.update(the_key, [&](Account& item) {
               value = item.value;
               return false;
             });
             return value;
           }},
          {"compute", true,
           [](Cache& cache) {
             std::optional<int> value;
             cache.compute(the_key, [&](std::optional<Account>& item) {
               if (item) value = ++item->value;
             });
             return value;
           }},
          {"compute that changes nothing", false, [](Cache& cache) {
             std::optional<int> value;
             cache.compute(the_key, [&](std::optional<Account>& item) {
               value = value_of(item);
               return false;
             });
             return value;
           }}};
}

/// Effect: while each find has its answer in hand, `f` runs. A call that asked for ever ends by an
/// exception.
void during_every_find(Store& store, std::function<void()> f) {
  store.on_call([&store, f = std::move(f)](StoreCall call, FaultTime time) {
    if (call != StoreCall::find || time != FaultTime::after_effect) return;
    if (store.calls(StoreCall::find) > 20) throw StoreDown("asked again and again");
    in_background(f).get();
  });
}

TEST(MissesEnd, AfterOneFindWhateverIsInvalidatedMeanwhile) {
  for (const auto& asking : every_asking_call()) {
    for (const bool all : {false, true}) {
      Store store;
      store.insert({the_key, before});
      Cache cache{store, manual()};
      during_every_find(store, [&] {
        if (all) {
          cache.invalidate_all();
        } else {
          EXPECT_TRUE(cache.invalidate(the_key));
        }
      });
      EXPECT_EQ(asking.call(cache), before + (asking.changes ? 1 : 0)) << asking.name;
      EXPECT_EQ(store.calls(StoreCall::find), 1U) << asking.name;
      EXPECT_EQ(cache.contains(the_key), asking.changes) << asking.name;
      EXPECT_EQ(cache.dirty_count(), asking.changes ? 1U : 0U) << asking.name;
      EXPECT_EQ(cache.prune(), 0U);
    }
  }
}

TEST(MissesEnd, AfterOneFindWithTheNewestValueWhateverIsWrittenAndForgottenMeanwhile) {
  for (const auto& asking : every_asking_call()) {
    for (const bool all : {false, true}) {
      Store store;
      store.insert({the_key, before});
      Cache cache{store, manual()};
      during_every_find(store, [&] {
        for (const int value : {30, 40}) {
          cache.put({the_key, value});
          EXPECT_TRUE(cache.flush().ok());
          if (all) {
            cache.invalidate_all();
          } else {
            EXPECT_TRUE(cache.invalidate(the_key));
          }
        }
      });
      EXPECT_EQ(asking.call(cache), 40 + (asking.changes ? 1 : 0)) << asking.name;
      EXPECT_EQ(store.calls(StoreCall::find), 1U) << asking.name;
      EXPECT_EQ(cache.contains(the_key), asking.changes) << asking.name;
      EXPECT_TRUE(cache.flush().ok());
      EXPECT_EQ(value_of(store.row(the_key)), 40 + (asking.changes ? 1 : 0)) << asking.name;
    }
  }
}

TEST(MissesEnd, AfterOneFindWithNothingIfTheRowWasErasedMeanwhile) {
  for (const auto& asking : every_asking_call()) {
    Store store;
    store.insert({the_key, before});
    Cache cache{store, manual()};
    during_every_find(store, [&] {
      cache.put({the_key, 30});
      EXPECT_TRUE(cache.flush().ok());
      EXPECT_TRUE(cache.invalidate(the_key));
      cache.erase(the_key);
      EXPECT_TRUE(cache.flush().ok());
    });
    EXPECT_EQ(asking.call(cache), std::nullopt) << asking.name;
    EXPECT_EQ(store.calls(StoreCall::find), 1U) << asking.name;
    EXPECT_TRUE(cache.flush().ok());
    EXPECT_FALSE(store.row(the_key)) << asking.name;
  }
}

TEST(MissesEnd, WithNothingIfTheRowThatAnotherLoadBroughtWasErasedMeanwhile) {
  for (const auto& asking : every_asking_call()) {
    Store store;
    store.insert({the_key, before});
    Cache cache{store, manual()};
    bool once = true;
    during_every_find(store, [&] {
      if (!std::exchange(once, false)) return;
      EXPECT_TRUE(cache.invalidate(the_key));
      EXPECT_EQ(value_of(cache.get(the_key)), before);
      EXPECT_TRUE(cache.contains(the_key));
      cache.erase(the_key);
      EXPECT_TRUE(cache.flush().ok());
    });
    EXPECT_EQ(asking.call(cache), std::nullopt) << asking.name;
    EXPECT_EQ(store.calls(StoreCall::find), 2U) << asking.name;
    EXPECT_FALSE(cache.contains(the_key)) << asking.name;
  }
}

TEST(MissesEnd, AChangeAsksOnceMoreWhereAnEntryWasGivenUpUnsaved) {
  for (const auto& asking : every_asking_call()) {
    for (const bool erase : {false, true}) {
      Store store;
      store.insert({the_key, before});
      Cache cache{store, manual()};
      bool once = true;
      during_every_find(store, [&] {
        if (!std::exchange(once, false)) return;
        cache.put({the_key, 30});
        EXPECT_TRUE(cache.flush().ok());
        if (erase) {
          cache.erase(the_key);
          EXPECT_EQ(cache.discard_dirty(), 1U);
        } else {
          store.reject(the_key);
          cache.put({the_key, 40});
          cache.flush();
          EXPECT_TRUE(cache.discard_parked(the_key));
          store.accept(the_key);
        }
      });
      const auto value = asking.call(cache);
      // A read may return what the key held when it began; a change must not start from there.
      const bool reads = store.calls(StoreCall::find) == 1;
      EXPECT_EQ(value, reads ? before : 30 + (asking.changes ? 1 : 0)) << asking.name;
      EXPECT_TRUE(!reads || !asking.changes) << asking.name;
      EXPECT_LE(store.calls(StoreCall::find), 2U) << asking.name;
      EXPECT_TRUE(cache.flush().ok());
      EXPECT_EQ(value_of(store.row(the_key)), 30 + (asking.changes ? 1 : 0)) << asking.name;
    }
  }
}

TEST(MissesEnd, AChangeThatWaitsForASlotKeepsWhatItFound) {
  Store store;
  store.insert({the_key, before});
  CacheConfig config = manual({.max_dirty = 1});
  config.flush_interval = 1h;
  Cache cache{store, config};
  const auto gate = block_at(store, StoreCall::commit_tx);
  cache.put({"other", 1});
  auto writer = in_background([&] { add_by_update(cache); });
  EXPECT_TRUE(eventually([&] { return cache.stats().backpressure_waits == 1; }));
  EXPECT_TRUE(cache.contains(the_key));
  EXPECT_TRUE(cache.invalidate(the_key));
  EXPECT_FALSE(cache.contains(the_key));
  gate->open();
  writer.get();
  EXPECT_EQ(seen(cache, the_key), before + 100);
  EXPECT_EQ(store.calls(StoreCall::find), 1U);
}

TEST(MissesEnd, ForThoseWhoWaitForTheLoadsOfOthers) {
  constexpr int readers = 4;
  constexpr int calls = 25;
  Store store;
  store.insert({the_key, before});
  Cache cache{store, manual()};
  store.on_call([&](StoreCall call, FaultTime time) {
    if (call != StoreCall::find) return;
    if (store.calls(StoreCall::find) > 10 * readers * calls) throw StoreDown("no end");
    if (time == FaultTime::after_effect) cache.invalidate(the_key);
  });
  std::vector<std::future<void>> threads;
  for (int t = 0; t < readers; ++t) {
    threads.push_back(in_background([&] {
      for (int i = 0; i < calls; ++i)
        EXPECT_EQ(value_of(cache.get(the_key)), before);
    }));
  }
  for (auto& thread : threads)
    thread.get();
  EXPECT_LE(store.calls(StoreCall::find), static_cast<std::size_t>(readers * calls));
}

}  // namespace
}  // namespace lazywriter::testing
