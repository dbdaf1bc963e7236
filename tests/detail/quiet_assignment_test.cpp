// CTEST_THREADS: none
#include "lazywriter/detail/base/quiet_assignment.hpp"

#include <gtest/gtest.h>

#include <any>
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "lazywriter/cache_item.hpp"

namespace lazywriter::detail {
namespace {

using Shared = std::shared_ptr<int>;

template <class Last>
struct EndsWith {
  std::string text;
  Last last;
};
template <class First>
struct BeginsWith {
  First first;
  std::string text;
  std::int64_t number = 0;
};
template <class Base>
struct DerivedFrom : Base {
  std::string text;
};

enum class Color : std::uint8_t { red };
struct Empty {};
struct Bits {
  unsigned low : 3;
  unsigned high : 5;
  std::string text;
};
struct Plain {
  std::string text;
  std::int64_t number = 0;
  std::string other;
  double real = 1;
};
struct TwoStringsAndMore {
  std::string one;
  std::string two;
  Shared more;
};

class WithConstructor {
 public:
  explicit WithConstructor(int) {}

 private:
  std::string text_;
};
/// Made of whatever there is.
struct Greedy {
  template <class Anything>
  Greedy(Anything&& anything) : held(std::forward<Anything>(anything)) {}  // NOLINT
  std::any held;
};
/// The same, so that it is ambiguous which of the two converts.
struct Ambiguous {
  Ambiguous() = default;
  template <class Anything>
  Ambiguous(const Anything& anything) : held(anything) {}  // NOLINT
  std::any held;
};

TEST(QuietAssignment, OfWhatOwnsNothingButCharacters) {
  EXPECT_TRUE(assigns_quietly<int>());
  EXPECT_TRUE(assigns_quietly<std::string>());
  EXPECT_TRUE(assigns_quietly<Empty>());
  EXPECT_TRUE(assigns_quietly<Plain>());
  EXPECT_TRUE(assigns_quietly<Bits>());
  EXPECT_TRUE(assigns_quietly<EndsWith<Plain>>());
  EXPECT_TRUE(assigns_quietly<BeginsWith<Plain>>());
  EXPECT_TRUE(assigns_quietly<DerivedFrom<Plain>>());
  EXPECT_TRUE(assigns_quietly<EndsWith<Color>>());
  EXPECT_TRUE(assigns_quietly<BeginsWith<Empty>>());
  EXPECT_TRUE(assigns_quietly<EndsWith<char[4]>>());
  EXPECT_TRUE(assigns_quietly<BeginsWith<char[4]>>());
  EXPECT_TRUE((assigns_quietly<EndsWith<std::array<std::string, 2>>>()));
  EXPECT_TRUE(assigns_quietly<EndsWith<std::string_view>>());
  EXPECT_TRUE(assigns_quietly<EndsWith<std::span<int>>>());
  EXPECT_TRUE(assigns_quietly<EndsWith<std::chrono::system_clock::time_point>>());
}

template <class Member>
void expect_noticed_anywhere() {
  EXPECT_FALSE(assigns_quietly<Member>());
  EXPECT_FALSE(assigns_quietly<EndsWith<Member>>());
  EXPECT_FALSE(assigns_quietly<BeginsWith<Member>>());
  EXPECT_FALSE(assigns_quietly<EndsWith<EndsWith<Member>>>());
  EXPECT_FALSE(assigns_quietly<BeginsWith<EndsWith<Member>>>());
  EXPECT_FALSE(assigns_quietly<EndsWith<BeginsWith<Member>>>());
  EXPECT_FALSE(assigns_quietly<BeginsWith<BeginsWith<Member>>>());
  EXPECT_FALSE(assigns_quietly<DerivedFrom<BeginsWith<Member>>>());
}

TEST(QuietAssignment, NotOfWhatMayDestroySomething) {
  expect_noticed_anywhere<Shared>();
  expect_noticed_anywhere<std::unique_ptr<int>>();
  expect_noticed_anywhere<std::vector<int>>();
  expect_noticed_anywhere<std::map<std::string, std::string>>();
  expect_noticed_anywhere<std::function<void()>>();
  expect_noticed_anywhere<std::any>();
  expect_noticed_anywhere<std::variant<int, std::string, Shared>>();
  expect_noticed_anywhere<std::pair<std::string, Shared>>();
  expect_noticed_anywhere<std::tuple<Shared>>();
  expect_noticed_anywhere<std::optional<Shared>>();
  expect_noticed_anywhere<std::array<Shared, 2>>();
  expect_noticed_anywhere<TwoStringsAndMore>();
  EXPECT_FALSE(assigns_quietly<EndsWith<Shared[2]>>());
  EXPECT_FALSE(assigns_quietly<BeginsWith<Shared[2]>>());
}

TEST(QuietAssignment, NotOfWhatCannotBeLookedInto) {
  expect_noticed_anywhere<WithConstructor>();
  expect_noticed_anywhere<Greedy>();
  expect_noticed_anywhere<Ambiguous>();
  EXPECT_FALSE(assigns_quietly<EndsWith<std::string[70]>>());
}

class Counter {
 public:
  explicit Counter(std::string name) : name_(std::move(name)) {}
  const std::string& key() const { return name_; }
  void copy_key_data_from(const Counter&) {}

 private:
  std::string name_;
};

}  // namespace
}  // namespace lazywriter::detail

template <>
inline constexpr bool
    lazywriter::enable_overwrite_in_place<lazywriter::detail::EndsWith<std::string>> = false;
template <>
inline constexpr bool lazywriter::enable_overwrite_in_place<lazywriter::detail::Counter> = true;

namespace lazywriter::detail {
namespace {

TEST(QuietAssignment, IsWhatTheUserSaysItIs) {
  EXPECT_TRUE(enable_overwrite_in_place<Plain>);
  EXPECT_TRUE(enable_overwrite_in_place<Counter>);
  EXPECT_FALSE(assigns_quietly<Counter>()) << "it has private members";
  EXPECT_FALSE(enable_overwrite_in_place<EndsWith<std::string>>);
  EXPECT_TRUE(assigns_quietly<EndsWith<std::string>>());
}

}  // namespace
}  // namespace lazywriter::detail
