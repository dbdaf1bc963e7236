#include "lazywriter/detail/base/hash_seed.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <set>
#include <stdexcept>
#include <thread>

namespace lazywriter::detail {
namespace {

TEST(HashSeedTest, EveryOneIsAnother) {
  std::set<std::uint64_t> masks;
  std::set<std::uint64_t> factors;
  for (int i = 0; i < 100; ++i) {
    const HashSeed seed = HashSeed::fresh();
    masks.insert(seed.mask);
    factors.insert(seed.factor);
    EXPECT_EQ(seed.factor >> 63, 1U);
    EXPECT_EQ(seed.factor & 1U, 1U);
  }
  EXPECT_EQ(masks.size(), 100U);
  EXPECT_EQ(factors.size(), 100U);
}

struct NoDevice {
  NoDevice() { throw std::runtime_error("no source of randomness"); }
  unsigned operator()() { return 0; }
};
struct BrokenDevice {
  unsigned operator()() { throw std::runtime_error("it ran dry"); }
};

TEST(HashSeedTest, WithoutARandomDeviceItIsMadeOfTheTime) {
  std::set<std::uint64_t> masks;
  std::set<std::uint64_t> factors;
  for (int i = 0; i < 10; ++i) {
    for (const HashSeed& seed : {HashSeed::fresh<NoDevice>(), HashSeed::fresh<BrokenDevice>()}) {
      masks.insert(seed.mask);
      factors.insert(seed.factor);
    }
    std::this_thread::sleep_for(std::chrono::microseconds{1});  // the clock goes on
  }
  EXPECT_GT(masks.size(), 5U);
  EXPECT_GT(factors.size(), 5U);
}

TEST(HashSeedTest, ATestCanFixItForItsThread) {
  {
    const FixedHashSeed outer(7);
    const HashSeed seed = HashSeed::fresh();
    EXPECT_EQ(HashSeed::fresh(), seed);
    {
      const FixedHashSeed inner(8);
      EXPECT_NE(HashSeed::fresh(), seed);
    }
    EXPECT_EQ(HashSeed::fresh(), seed);
    std::thread([&] { EXPECT_NE(HashSeed::fresh(), seed); }).join();
  }
  EXPECT_NE(HashSeed::fresh(), HashSeed::fresh());
}

TEST(HashSeedTest, BothWaysToFoldAProductAgree) {
  std::mt19937_64 random(1);
  EXPECT_EQ(fold_multiply(~std::uint64_t{0}, ~std::uint64_t{0}),
            fold_multiply_by_halves(~std::uint64_t{0}, ~std::uint64_t{0}));
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t a = random() >> (i % 64);
    const std::uint64_t b = random();
    ASSERT_EQ(fold_multiply(a, b), fold_multiply_by_halves(a, b)) << a << " * " << b;
  }
}

}  // namespace
}  // namespace lazywriter::detail
