// Two processes write the same table in opposite orders, for a quarter of
// LAZYWRITER_SOAK_SECONDS (20) in each test; the rounds that they made are printed.
// CTEST_TIMEOUT: 900
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <lazywriter/lazy_writer_cache.hpp>
#include <stdexcept>
#include <string>

#include "notes.hpp"

namespace {

using namespace std::chrono_literals;
using pgtest::notes;
using pgtest::NoteStore;

constexpr int keys = 500;

std::chrono::milliseconds duration_of_each() {
  const char* const given = std::getenv("LAZYWRITER_SOAK_SECONDS");
  return std::chrono::seconds{given != nullptr ? std::stol(given) : 20} / 4;
}

enum class Work { only_puts, puts_and_erases };

/// One of the two processes.
class WriterProcess {
 public:
  WriterProcess(std::string url, bool ascending, Work work)
      : url_(std::move(url)), ascending_(ascending), work_(work) {}

  /// Effect: writes until the time is over, and all keys a last time. Throws when a flush does not
  /// succeed, or when the log has anything to say that it should not.
  void run() {
    lazywriter::PqxxOptions options;
    options.info = nullptr;
    options.warn = [this](std::string_view message) { warnings_.append(message).append("\n"); };
    lazywriter::LazyWriterCache cache{
        NoteStore{notes, url_, options},
        {.flush_interval = 0ms, .prune_interval = 0ms, .lookup_on_miss = false, .max_batch = 60}};
    const auto end = std::chrono::steady_clock::now() + duration_of_each();
    int round = 0;
    while (std::chrono::steady_clock::now() < end) {
      ++round;
      write_all(cache, round, std::to_string(round), work_ == Work::puts_and_erases);
    }
    write_all(cache, round, "final", false);
    std::cout << (ascending_ ? "up: " : "down: ") << round << " rounds of " << keys << " keys\n";
    // Rows in one order in one statement leave nothing to wait for in a circle.
    if (work_ == Work::only_puts && !warnings_.empty()) throw std::runtime_error(warnings_);
  }

 private:
  template <class Cache>
  void write_all(Cache& cache, int round, const std::string& text, bool with_erases) {
    for (int step = 0; step < keys; ++step) {
      const int number = ascending_ ? step : keys - 1 - step;
      std::string name = std::to_string(1'000 + number);
      if (with_erases && (number + round) % 3 == 0) {
        cache.erase(name);
      } else {
        cache.put({std::move(name), text});
      }
    }
    const lazywriter::FlushResult result = cache.flush(60s);
    if (!result.ok()) throw std::runtime_error("not flushed: " + result.error);
  }

  const std::string url_;
  const bool ascending_;
  const Work work_;
  std::string warnings_;
};

class TwoProcesses : public pgtest::Notes {
 protected:
  /// Both processes end with the same write to every key, so whoever was later has left this.
  void expect_the_last_write_of_every_row() const {
    EXPECT_EQ(value("SELECT count(*) FROM notes WHERE text = 'final'"), std::to_string(keys));
    EXPECT_EQ(value("SELECT count(*) FROM notes"), std::to_string(keys));
  }

  /// Effect: both write at once. Returns: the deadlocks that the server has seen meanwhile.
  int write_in_opposite_orders(Work work) {
    const std::string before = deadlocks();
    // Deadlocks are found quickly, so that many of them can happen.
    const std::string where = url_with_defaults({"deadlock_timeout=20ms"});
    const pid_t up = start({where, true, work});
    const pid_t down = start({where, false, work});
    EXPECT_EQ(status_of(up), 0);
    EXPECT_EQ(status_of(down), 0);
    return std::stoi(deadlocks()) - std::stoi(before);
  }

 private:
  static pid_t start(WriterProcess process) {
    std::cout << std::flush;
    const pid_t child = ::fork();
    if (child != 0) return child;
    try {
      process.run();
      std::cout << std::flush;
      ::_exit(0);
    } catch (const std::exception& error) {
      std::cerr << "a writer failed: " << error.what() << std::endl;
      ::_exit(1);
    }
  }

  static int status_of(pid_t child) {
    int status = -1;
    return ::waitpid(child, &status, 0) == child ? status : -1;
  }

  std::string deadlocks() const {
    return value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()");
  }
};

TEST_F(TwoProcesses, ThatOnlyPutNeverMeetInADeadlock) {
  EXPECT_EQ(write_in_opposite_orders(Work::only_puts), 0);
  expect_the_last_write_of_every_row();
}

TEST_F(TwoProcesses, ThatPutAndEraseLoseNothingAndSeeNoDeadlock) {
  const int deadlocks = write_in_opposite_orders(Work::puts_and_erases);
  std::cout << "deadlocks, none of which reached a caller: " << deadlocks << "\n";
  expect_the_last_write_of_every_row();
}

}  // namespace
