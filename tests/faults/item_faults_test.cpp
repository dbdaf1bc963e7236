// Hash, equality, copy and copy_key_data_from of an item throw at their N-th call, for every N.
#include <gtest/gtest.h>

#include <cstddef>
#include <string>

#include "support/scenario.hpp"
#include "support/touchy_item.hpp"

namespace lazywriter::testing {
namespace {

template <class Item>
class ItemFaults : public ::testing::Test {};
using Items = ::testing::Types<TouchyItem, TouchyValueItem>;
TYPED_TEST_SUITE(ItemFaults, Items);

TYPED_TEST(ItemFaults, AtEveryCallLoseNothing) {
  for (const auto touch : {Touch::hash, Touch::equality, Touch::copy, Touch::key_data}) {
    bool met = true;
    for (std::size_t nth = 1; met; ++nth) {
      SCOPED_TRACE("kind " + std::to_string(static_cast<int>(touch)) + ", call " +
                   std::to_string(nth));
      Trip::set(touch, 0);
      Scenario<TypeParam> scenario;
      Trip::set(touch, nth);
      scenario.run();
      met = Trip::met;
      Trip::set(touch, 0);
      scenario.expect_consistent();
      if (touch == Touch::equality || touch == Touch::copy) scenario.rewrite_parked();
      scenario.expect_recovery();
      ASSERT_LT(nth, 10'000U);
      if (this->HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace lazywriter::testing
