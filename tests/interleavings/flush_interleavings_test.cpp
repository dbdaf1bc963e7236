// Every operation at every moment of a flush: one table of (where the flush is blocked, how it
// ends) x (operation on a key that it has in flight), each with what must be seen then and in the
// end.
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "support/inspector.hpp"
#include "support/manual_cache.hpp"

namespace lazywriter::testing {
namespace {

enum class Ending { commits, fails, is_halved, is_rejected, is_rejected_at_commit };

struct Phase {
  const char* name;
  /// Where the flush waits while the operation runs; nullopt: the operation comes before it.
  std::optional<StoreCall> blocked_in;
  Ending ending;
};

/// What an operation means for the key.
enum class Effect { nothing, writes, erases, discards, takes_part };

struct Operation {
  const char* name;
  Effect effect;
  /// The value that readers see after it.
  std::optional<int> seen;
  std::function<void(Cache&)> run;
};

constexpr int in_store = 1;
constexpr int in_memory = 2;
const std::string the_key = long_key("the key");
const std::string bystander = long_key("bystander");

std::vector<Phase> phases() {
  using enum Ending;
  using enum StoreCall;
  return {{"BeforeTheSnapshot", std::nullopt, commits},
          {"BeforeAFailure", std::nullopt, fails},
          {"BeforeARejection", std::nullopt, is_rejected},
          {"InBegin", begin_tx, commits},
          {"InBeginFailing", begin_tx, fails},
          {"InBeginRejected", begin_tx, is_rejected},
          {"InSave", save, commits},
          {"InSaveFailing", save, fails},
          {"InSaveHalved", save, is_halved},
          {"InSaveRejected", save, is_rejected},
          {"InCommit", commit_tx, commits},
          {"InCommitFailing", commit_tx, fails},
          {"InCommitHalved", commit_tx, is_halved},
          {"InCommitRejected", commit_tx, is_rejected_at_commit}};
}

std::vector<Operation> operations() {
  using enum Effect;
  return {
      {"put", writes, 3,
       [](Cache& cache) {
         cache.put({the_key, 3});
       }},
      {"put_twice", writes, 4,
       [](Cache& cache) {
         cache.put({the_key, 3});
         cache.put({the_key, 4});
       }},
      {"try_put", writes, 3,
       [](Cache& cache) {
         EXPECT_TRUE(cache.try_put({the_key, 3}));
       }},
      {"update", writes, 3,
       [](Cache& cache) {
         EXPECT_TRUE(cache.update(the_key, [](Account& item) { ++item.value; }));
       }},
      {"update_nothing", nothing, 2,
       [](Cache& cache) { EXPECT_TRUE(cache.update(the_key, [](Account&) { return false; })); }},
      {"compute_set", writes, 3,
       [](Cache& cache) {
         EXPECT_TRUE(cache.compute(the_key, [](std::optional<Account>& item) { ++item->value; }));
       }},
      {"compute_keep", nothing, 2,
       [](Cache& cache) {
         EXPECT_TRUE(cache.compute(the_key, [](std::optional<Account>&) { return false; }));
       }},
      {"compute_erase", erases, std::nullopt,
       [](Cache& cache) {
         EXPECT_FALSE(cache.compute(the_key, [](std::optional<Account>& item) { item.reset(); }));
       }},
      {"erase", erases, std::nullopt, [](Cache& cache) { cache.erase(the_key); }},
      {"erase_and_put", writes, 5,
       [](Cache& cache) {
         cache.erase(the_key);
         cache.put({the_key, 5});
       }},
      {"get", nothing, 2, [](Cache& cache) { EXPECT_EQ(value_of(cache.get(the_key)), in_memory); }},
      {"get_into", nothing, 2,
       [](Cache& cache) {
         Account out;
         EXPECT_TRUE(cache.get_into(the_key, out));
         EXPECT_EQ(out.value, in_memory);
       }},
      {"visit", nothing, 2,
       [](Cache& cache) {
         EXPECT_TRUE(cache.visit(the_key, [](const Account& item) { EXPECT_EQ(item.value, 2); }));
       }},
      {"peek", nothing, 2, [](Cache& cache) { EXPECT_EQ(seen(cache, the_key), in_memory); }},
      {"contains", nothing, 2, [](Cache& cache) { EXPECT_TRUE(cache.contains(the_key)); }},
      {"invalidate", nothing, 2, [](Cache& cache) { EXPECT_FALSE(cache.invalidate(the_key)); }},
      {"prune", nothing, 2, [](Cache& cache) { EXPECT_EQ(cache.prune(), 0U); }},
      {"preload", nothing, 2,
       [](Cache& cache) {
         EXPECT_EQ(cache.preload(std::vector<Account>{{the_key, 9}}), 0U);
       }},
      {"retry_parked", nothing, 2, [](Cache& cache) { EXPECT_EQ(cache.retry_parked(), 0U); }},
      {"discard_parked", nothing, 2,
       [](Cache& cache) { EXPECT_FALSE(cache.discard_parked(the_key)); }},
      {"discard_dirty", discards, 2, [](Cache& cache) { EXPECT_EQ(cache.discard_dirty(), 2U); }},
      {"discard_dirty_and_put", writes, 3,
       [](Cache& cache) {
         EXPECT_EQ(cache.discard_dirty(), 2U);
         cache.put({the_key, 3});
       }},
      // These wait for the flush under way, so they run beside it.
      {"flush", takes_part, 2, [](Cache& cache) { (void)cache.flush(); }},
      {"flush_with_timeout", takes_part, 2, [](Cache& cache) { (void)cache.flush(5s); }},
      {"invalidate_all", takes_part, 2, [](Cache& cache) { (void)cache.invalidate_all(); }},
      {"close", takes_part, 2, [](Cache& cache) { (void)cache.close(100ms); }},
  };
}

class FlushInterleavings : public ::testing::TestWithParam<std::tuple<Phase, Operation>> {
 protected:
  void SetUp() override {
    store.insert({the_key, in_store});
    cache.put({bystander, 1});
    cache.put({the_key, in_memory});
    switch (phase().ending) {
      case Ending::commits:
        break;
      case Ending::fails:
        store.fail_next(phase().blocked_in.value_or(StoreCall::commit_tx), 1,
                        StoreFault::unavailable);
        break;
      case Ending::is_halved:
        store.fail_next(*phase().blocked_in, 1, StoreFault::transient);
        break;
      case Ending::is_rejected:
        store.reject(the_key);
        break;
      case Ending::is_rejected_at_commit:
        store.reject(the_key, "no", StoreCall::commit_tx);
        break;
    }
  }

  static Phase phase() { return std::get<0>(GetParam()); }
  static Operation operation() { return std::get<1>(GetParam()); }

  [[nodiscard]] bool rejected() const {
    return phase().ending == Ending::is_rejected || phase().ending == Ending::is_rejected_at_commit;
  }

  /// The row is not rejected once it is to be erased, if it is the saving that is rejected.
  [[nodiscard]] bool stays_rejected() const {
    return phase().ending == Ending::is_rejected_at_commit ||
           (phase().ending == Ending::is_rejected && operation().effect != Effect::erases);
  }

  /// Whether the key holds something unsaved after the one flush.
  [[nodiscard]] std::size_t unsaved_after_flush() const {
    switch (operation().effect) {
      case Effect::nothing:
        return phase().ending == Ending::commits || phase().ending == Ending::is_halved ? 0 : 1;
      case Effect::discards:
        return 0;
      case Effect::takes_part:
        return rejected() ? 1 : 0;
      case Effect::erases:
      case Effect::writes:
        // A commit held the older version; a failure none. A rejection is followed by fresh
        // attempts in the same pass, which take the newer version along.
        if (phase().ending == Ending::commits) return later_than_copy() ? 1 : 0;
        if (phase().ending == Ending::is_halved) return 0;  // halves, too
        if (phase().ending == Ending::fails) return 1;
        return stays_rejected() ? 1 : 0;
    }
    return 0;
  }

  /// The copy is taken before begin_tx, so an operation at any blocked call is later.
  [[nodiscard]] bool later_than_copy() const { return phase().blocked_in.has_value(); }

  Store store;
  Cache cache{store, manual()};
};

TEST_P(FlushInterleavings, EndAsTheTableSays) {
  const bool takes_part = operation().effect == Effect::takes_part;
  if (!phase().blocked_in) {
    operation().run(cache);
    if (!takes_part) {
      EXPECT_EQ(seen(cache, the_key), operation().seen);
    }
    (void)cache.flush();
  } else {
    const auto gate = block_at(store, *phase().blocked_in);
    auto flush = in_background([&] { return cache.flush(); });
    gate->wait_for_arrival();
    std::future<void> beside;
    if (takes_part) {
      beside = in_background([&] { operation().run(cache); });
      EXPECT_EQ(seen(cache, the_key), in_memory);
    } else {
      operation().run(cache);
      EXPECT_EQ(seen(cache, the_key), operation().seen);
    }
    gate->open();
    (void)flush.get();
    if (takes_part) beside.get();
  }

  if (takes_part && phase().ending == Ending::fails) (void)cache.flush();
  const bool forgotten = takes_part && unsaved_after_flush() == 0;  // by invalidate_all
  if (!forgotten) {
    EXPECT_EQ(seen(cache, the_key), operation().seen);
  }
  const CacheStats stats = cache.stats();
  EXPECT_EQ(stats.in_flight, 0U);
  EXPECT_TRUE(detail::CacheInspector::fits(cache));
  EXPECT_EQ(stats.dirty, cache.dirty_count());
  EXPECT_EQ(stats.parked, cache.parked().size());
  const bool bystander_waits = phase().ending == Ending::fails && !takes_part &&
                               operation().effect != Effect::discards &&
                               std::string(operation().name) != "discard_dirty_and_put";
  EXPECT_EQ(stats.dirty + stats.parked, unsaved_after_flush() + (bystander_waits ? 1U : 0U));
  if (rejected() && operation().effect == Effect::nothing) {
    EXPECT_EQ(stats.parked, 1U);
  }
  if (operation().name == std::string("close")) return;

  // Once the store is well again, the newest value reaches it.
  store.on_call(nullptr);
  store.recover();
  store.accept(the_key);
  cache.retry_parked();
  EXPECT_TRUE(cache.flush(20s).ok());
  EXPECT_EQ(cache.dirty_count() + cache.parked().size(), 0U);
  EXPECT_EQ(value_of(cache.get(the_key)), operation().seen);
  if (operation().effect == Effect::discards) {
    const bool committed = phase().ending == Ending::commits && phase().blocked_in.has_value();
    EXPECT_EQ(value_of(store.row(the_key)), committed ? in_memory : in_store);
  } else {
    EXPECT_EQ(value_of(store.row(the_key)), operation().seen);
    if (operation().name != std::string("discard_dirty_and_put")) {
      EXPECT_EQ(value_of(store.row(bystander)), 1);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Table, FlushInterleavings,
                         ::testing::Combine(::testing::ValuesIn(phases()),
                                            ::testing::ValuesIn(operations())),
                         [](const auto& row) {
                           return std::string(std::get<0>(row.param).name) + "_" +
                                  std::get<1>(row.param).name;
                         });

void PrintTo(const Phase& phase, std::ostream* out) {
  *out << phase.name;
}
void PrintTo(const Operation& operation, std::ostream* out) {
  *out << operation.name;
}

}  // namespace
}  // namespace lazywriter::testing
