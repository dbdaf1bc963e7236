// A static cache whose adapter ends the process: its destructor runs within the call.
// CTEST_THREADS: none
// Not under ThreadSanitizer: a program that exits while its other threads are inside of a static
// object is a race in itself; here it is only asked whether it comes to its end.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "lazywriter/lazy_writer_cache.hpp"
#include "support/eventually.hpp"
#include "support/items.hpp"

namespace lazywriter::testing {
namespace {

using namespace std::chrono_literals;

constexpr int the_code = 7;

/// Ends the process at one of its calls.
struct ExitingStore {
  using item_type = Account;
  struct transaction_type {};

  std::string_view exits_at;
  bool fails = false;

  std::optional<Account> find(const std::string&) {
    reach("find");
    return std::nullopt;
  }
  transaction_type begin_tx() {
    reach("begin_tx");
    if (fails) throw std::runtime_error("down");
    return {};
  }
  void save(Account&, transaction_type&) { reach("save"); }
  void commit_tx(transaction_type&) { reach("commit_tx"); }
  void info(std::string_view) {}
  void warn(std::string_view text) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
    reach("warn");
  }
  void reach(std::string_view call) const {
    static std::atomic<bool> reached{false};
    if (call == exits_at && !reached.exchange(true)) std::exit(the_code);
  }
};

using ExitingCache = LazyWriterCache<Account, ExitingStore>;

/// Effect: `use` makes the process end, or a signal does before long.
template <class Use>
void run(const ExitingStore& store, Use use,
         std::chrono::milliseconds flush_interval = std::chrono::milliseconds{1}) {
  alarm(static_cast<unsigned>(patience().count()));  // a signal is another end than the_code
  static ExitingCache cache{store, {.flush_interval = flush_interval, .prune_interval = 1ms}};
  use(cache);
  for (;;)
    std::this_thread::sleep_for(1s);
}

class ExitTest : public ::testing::Test {
 protected:
  ExitTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  const ::testing::ExitedWithCode exits{the_code};
  const char* const warning = "destroyed within a call of its adapter, with . unsaved entr";
};

TEST_F(ExitTest, WithinACallOfTheFlushLoop) {
  const auto put = [](ExitingCache& cache) { cache.put({"ann", 1}); };
  EXPECT_EXIT(run({"begin_tx"}, put), exits, warning);
  EXPECT_EXIT(run({"save"}, put), exits, warning);
  EXPECT_EXIT(run({"commit_tx"}, put), exits, warning);
}

TEST_F(ExitTest, WithinALineOfTheLog) {
  const auto put = [](ExitingCache& cache) { cache.put({"ann", 1}); };
  EXPECT_EXIT(run({"warn", true}, put), exits, warning);
}

TEST_F(ExitTest, WithinAFlushWhileTheLoopWaitsForIt) {
  const auto flush = [](ExitingCache& cache) {
    cache.put({"ann", 1});
    cache.flush();
  };
  EXPECT_EXIT(run({"save"}, flush), exits, warning);
  EXPECT_EXIT(run({"save"}, flush, 0ms), exits, warning);
}

TEST_F(ExitTest, WithinAFind) {
  const auto get = [](ExitingCache& cache) { cache.get("ann"); };
  EXPECT_EXIT(run({"find"}, get), exits, warning);
}

}  // namespace
}  // namespace lazywriter::testing
