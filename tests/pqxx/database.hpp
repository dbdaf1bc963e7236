// A schema of its own for each test, on the server that DATABASE_URL names. Without a server tests
// fail.
#pragma once

#include <gtest/gtest.h>

#include <unistd.h>
#include <atomic>
#include <cstdlib>
#include <lazywriter/pqxx_reader_writer.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/eventually.hpp"

namespace pgtest {

/// What an environment variable says; throws when it is missing, so that no test is skipped
/// silently.
inline std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  if (value == nullptr || *value == '\0') {
    throw std::runtime_error(std::string(name) +
                             " is not set: run this test by cmake/throwaway_postgres.sh");
  }
  return value;
}

/// start | stop | restart | kill | pause | continue of the test's own server.
inline void control_server(const std::string& action) {
  const std::string command = environment("LAZYWRITER_PGCTL") + " " + action;
  if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
}

/// Runs SQL as the owner of everything, on a connection of its own, libpqxx only.
class Admin {
 public:
  explicit Admin(const std::string& url) : connection_(url.c_str()) {}

  pqxx::result exec(const std::string& sql) {
    pqxx::nontransaction on{connection_};
    return on.exec(sql);
  }

  /// The first field as text; "NULL" for null, "nothing" without a row.
  std::string value(const std::string& sql) {
    const pqxx::result rows = exec(sql);
    if (lazywriter::pg::detail::row_count(rows) == 0) return "nothing";
    return std::string(lazywriter::pg::detail::field_text(rows, 0, 0).value_or("NULL"));
  }

 private:
  pqxx::connection connection_;
};

/// Collects what an adapter says.
class Log {
 public:
  void add(std::string_view text) {
    const std::lock_guard lock{mutex_};
    lines_.emplace_back(text);
  }
  std::vector<std::string> lines() const {
    const std::lock_guard lock{mutex_};
    return lines_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

/// A test with an empty schema that is first in the search path of url().
class Database : public testing::Test {
 protected:
  void SetUp() override {
    static std::atomic<int> number{0};
    schema_ = "t" + std::to_string(::getpid()) + "_" + std::to_string(++number);
    base_ = environment("DATABASE_URL");
    Admin{base_}.exec("CREATE SCHEMA " + schema_);
  }

  const std::string& schema() const { return schema_; }

  /// The connection string; `more` goes on as "&keyword=value".
  std::string url(const std::string& more = {}) const { return url_with_defaults({}) + more; }

  /// url() for sessions that start from other defaults; each one "name=value" without blanks.
  std::string url_with_defaults(const std::vector<std::string>& settings) const {
    std::string text = base_ + (base_.find('?') == std::string::npos ? "?" : "&") +
                       "options=-csearch_path%3D" + schema_;
    for (const std::string& setting : settings) {
      const std::size_t equals = setting.find('=');
      text += "%20-c" + setting.substr(0, equals) + "%3D" + setting.substr(equals + 1);
    }
    return text;
  }

  Admin admin() const { return Admin{url()}; }
  void exec(const std::string& sql) const { admin().exec(sql); }
  std::string value(const std::string& sql) const { return admin().value(sql); }

  /// Blocks until so many sessions that call themselves so wait for a lock.
  void wait_for_lock_waiters(const std::string& application, int count) const {
    Admin observer = admin();
    EXPECT_TRUE(lazywriter::testing::eventually([&] {
      return observer.value(
                 "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
                 "application_name = '" +
                 application + "'") == std::to_string(count);
    }));
  }

  lazywriter::PqxxOptions options() {
    lazywriter::PqxxOptions chosen;
    chosen.info = [this](std::string_view text) { log.add(text); };
    chosen.warn = [this](std::string_view text) { log.add(text); };
    return chosen;
  }

  Log log;

 private:
  std::string schema_;
  std::string base_;
};

/// Saves items in one transaction.
template <class Store, class Items>
void save_all(Store& store, Items& items) {
  auto transaction = store.begin_tx();
  store.save_batch(items, transaction);
  store.commit_tx(transaction);
}

template <class Store, class Item>
void save_one(Store& store, Item& item) {
  auto transaction = store.begin_tx();
  store.save(item, transaction);
  store.commit_tx(transaction);
}

}  // namespace pgtest
