// Random operations on one thread beside a reference map, with a store that fails at random.
#include <gtest/gtest.h>

#include <string>

#include "model/sequential_model.hpp"
#include "support/seed.hpp"

namespace lazywriter::testing {
namespace {

TEST(SequentialModel, TheCacheEqualsTheReferenceWhateverTheStoreDoes) {
  Dice seeds(test_seed());
  for (int round = 0; round < 100 && !HasFailure(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    Dice dice(seeds.seed());
    SequentialModel model(dice);
    for (int i = 0; i < 600 && !HasFailure(); ++i)
      model.step();
    if (!HasFailure()) model.recover();
  }
}

}  // namespace
}  // namespace lazywriter::testing
