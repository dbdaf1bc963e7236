// The adapter fails at its N-th call, for every N: before or after the effect, once or from then
// on, in every way in which it can fail.
#include <gtest/gtest.h>

#include <cstddef>
#include <optional>
#include <string>
#include <tuple>

#include "support/scenario.hpp"

namespace lazywriter::testing {
namespace {

enum class Lasting { once, from_then_on };

class AdapterFaults : public ::testing::TestWithParam<std::tuple<StoreFault, FaultTime, Lasting>> {
 protected:
  static void fail() {
    switch (std::get<0>(GetParam())) {
      case StoreFault::transient:
        throw StoreDown("injected");
      case StoreFault::rejected:
        throw StoreRejected("injected");
      default:
        throw 42;
    }
  }
};

TEST_P(AdapterFaults, AtEveryCallLoseNothing) {
  const auto [fault, when, lasting] = GetParam();
  bool met = true;
  for (std::size_t nth = 1; met; ++nth) {
    SCOPED_TRACE("call " + std::to_string(nth));
    Scenario<Account> scenario;
    std::size_t calls = 0;
    met = false;
    scenario.store().on_call([&, when = when, lasting = lasting](StoreCall, FaultTime time) {
      if (time != when) return;
      ++calls;
      if (calls == nth || (calls > nth && lasting == Lasting::from_then_on)) {
        met = true;
        fail();
      }
    });
    scenario.run();
    scenario.store().on_call(nullptr);
    scenario.expect_consistent();
    scenario.expect_recovery();
    ASSERT_LT(nth, 1'000U);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, AdapterFaults,
    ::testing::Combine(::testing::Values(StoreFault::transient, StoreFault::rejected,
                                         StoreFault::unknown),
                       ::testing::Values(FaultTime::before_effect, FaultTime::after_effect),
                       ::testing::Values(Lasting::once, Lasting::from_then_on)));

/// The store goes away at every moment of the search for a row that it rejects.
TEST(AdapterFaults, AStoreThatGoesAwayWhileARejectedRowIsSoughtLosesNothing) {
  for (const auto at : {StoreCall::save, StoreCall::commit_tx}) {
    for (const auto* key : {"a", "old 1", "c"}) {
      bool met = true;
      for (std::size_t nth = 1; met; ++nth) {
        SCOPED_TRACE(std::string(key) + ", call " + std::to_string(nth));
        Scenario<Account> scenario;
        scenario.store().reject(key, "no", at);
        std::size_t calls = 0;
        scenario.store().on_call([&](StoreCall call, FaultTime time) {
          if (call == StoreCall::find || time != FaultTime::before_effect) return;
          if (++calls >= nth) throw StoreDown("injected");
        });
        scenario.run();
        met = calls >= nth;
        scenario.store().on_call(nullptr);
        scenario.expect_consistent();
        scenario.store().accept(key);
        scenario.expect_recovery();
        ASSERT_LT(nth, 1'000U);
        if (HasFailure()) return;
      }
    }
  }
}

/// Every row and every call that can reject it, with a write that comes while it is parked.
TEST(AdapterFaults, ARowThatIsRejectedForAWhileIsTheOnlyOneThatWaits) {
  for (const auto at : {StoreCall::save, StoreCall::erase, StoreCall::commit_tx}) {
    for (const auto as : {StoreFault::rejected, StoreFault::transient}) {
      for (const auto* key : {"a", "b", "c", "new", "old 1", "old 2", "old 4"}) {
        SCOPED_TRACE(key);
        Scenario<Account> scenario;
        scenario.store().reject(key, "no", at, as);
        scenario.run();
        scenario.expect_consistent();
        scenario.cache().flush();
        if (as == StoreFault::rejected) {
          EXPECT_LE(scenario.cache().dirty_count() + scenario.cache().parked().size(), 1U);
        }
        scenario.expect_consistent();
        scenario.store().accept(key);
        scenario.expect_recovery();
      }
    }
  }
}

}  // namespace
}  // namespace lazywriter::testing
