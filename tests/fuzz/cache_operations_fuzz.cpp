// Bytes as a sequence of operations on a cache, its settings and the failures of its store, beside
// the reference map of the model test.
#include <gtest/gtest.h>

#include "fuzz/fuzz.hpp"
#include "model/sequential_model.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  GTEST_FLAG_SET(break_on_failure, true);
  lazywriter::fuzz::Bytes bytes(data, size);
  lazywriter::testing::SequentialModel model(bytes);
  while (!bytes.empty())
    model.step();
  model.recover();
  return 0;
}
