// examples/README.md on wiring tables, carried out: schema, rights, two tables with a foreign key,
// a pooler, several hosts, and a migration under a running program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <lazywriter/lazy_writer_cache.hpp>
#include <lazywriter/pqxx_reader_writer.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "pgbouncer.hpp"

namespace {

namespace pg = lazywriter::pg;
using namespace std::chrono_literals;
using pgtest::environment;

struct Customer {
  std::string login;
  std::string name;
  std::int64_t id{};
  const std::string& key() const { return login; }
  void copy_key_data_from(const Customer& stored) { id = stored.id; }
};
constexpr auto customers =
    pg::table<Customer>("shop.customer", pg::key(&Customer::login, "login"),
                        pg::column(&Customer::name, "name"), pg::generated(&Customer::id, "id"));

// [composite key]
struct Purchase {
  std::string customer;
  int number{};
  std::string article;
  std::chrono::system_clock::time_point changed_at{};

  std::tuple<std::string, int> key() const { return {customer, number}; }
  void copy_key_data_from(const Purchase& stored) { changed_at = stored.changed_at; }
};

constexpr auto purchases = pg::table<Purchase>(
    "shop.purchase", pg::key(&Purchase::customer, "customer"), pg::key(&Purchase::number, "number"),
    pg::column(&Purchase::article, "article"), pg::refreshed(&Purchase::changed_at, "changed_at"));
// [/composite key]

using CustomerStore = decltype(lazywriter::PqxxReaderWriter{customers, std::string_view{}});
using PurchaseStore = decltype(lazywriter::PqxxReaderWriter{purchases, std::string_view{}});
using Customers = lazywriter::LazyWriterCache<Customer, CustomerStore>;
using Purchases = lazywriter::LazyWriterCache<Purchase, PurchaseStore>;

// [parents first]
bool save_now(Customers& all_customers, Purchases& all_purchases) {
  return all_customers.flush().ok() && all_purchases.flush().ok();
}
// [/parents first]

/// The statements of wiring.sql between `-- [name]` and `-- [/name]`.
std::string statements(const std::string& name) {
  std::ifstream file(environment("LAZYWRITER_SOURCE_DIR") + "/tests/pqxx/wiring.sql");
  std::ostringstream text;
  text << file.rdbuf();
  const std::string all = text.str();
  const auto begin = all.find("-- [" + name + "]");
  const auto end = all.find("-- [/" + name + "]");
  if (begin == std::string::npos || end == std::string::npos) {
    throw std::runtime_error("wiring.sql has no region " + name);
  }
  return all.substr(begin, end - begin);
}

class Wiring : public pgtest::Database {
 protected:
  void SetUp() override {
    Database::SetUp();
    exec(statements("tables"));
    exec(statements("rights"));
  }
  void TearDown() override {
    exec("drop schema shop cascade; drop owned by shop_app; drop role shop_app");
  }

  std::string app_url() const { return url("&user=shop_app"); }

  static lazywriter::CacheConfig by_hand() {
    return {.flush_interval = 0ms, .prune_interval = 0ms, .retry_backoff_max = 100ms};
  }
};

TEST_F(Wiring, TheRightsAreEnoughAndParentsFirstRejectsNothing) {
  Customers all_customers{CustomerStore{customers, app_url(), options()}, by_hand()};
  Purchases all_purchases{PurchaseStore{purchases, app_url(), options()}, by_hand()};
  all_purchases.put({.customer = "ann", .number = 1, .article = "bread"});
  all_purchases.put({.customer = "ann", .number = 2, .article = "milk"});
  all_customers.put({.login = "ann", .name = "Ann"});
  EXPECT_TRUE(save_now(all_customers, all_purchases));
  EXPECT_EQ(all_purchases.stats().failed_items, 0u);
  EXPECT_EQ(all_customers.peek("ann")->id, 1);
  EXPECT_NE(all_purchases.peek({"ann", 1})->changed_at, Purchase{}.changed_at);

  all_purchases.erase({"ann", 1});
  EXPECT_TRUE(all_purchases.flush().ok());
  EXPECT_EQ(value("select string_agg(article, ',') from shop.purchase"), "milk");
  EXPECT_THAT(log.lines(), testing::IsEmpty());
}

TEST_F(Wiring, AChildBeforeItsParentIsStoredAfterIt) {
  Customers all_customers{CustomerStore{customers, app_url(), options()}, by_hand()};
  Purchases all_purchases{PurchaseStore{purchases, app_url(), options()}, by_hand()};
  all_purchases.put({.customer = "bob", .number = 1, .article = "bread"});
  EXPECT_EQ(all_purchases.flush().pending, 1u);
  all_customers.put({.login = "bob", .name = "Bob"});
  EXPECT_TRUE(save_now(all_customers, all_purchases));
  EXPECT_EQ(value("select count(*) from shop.purchase"), "1");
}

TEST_F(Wiring, APoolerNeedsOneOption) {
  const pgtest::PgBouncer pooler{2};
  const std::string pooler_url = pooler.url();
  // [pooler]
  const lazywriter::PqxxOptions behind_a_pooler{.prepared = false};
  lazywriter::PqxxReaderWriter store{customers, pooler_url, behind_a_pooler};
  // [/pooler]
  lazywriter::LazyWriterCache cache{std::move(store), by_hand()};
  cache.put({.login = "ann", .name = "Ann"});
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_EQ(value("select name from shop.customer"), "Ann");
}

TEST_F(Wiring, OfSeveralHostsTheOneThatTakesWritesIsFound) {
  const std::string several = "host=/nowhere," + value("show unix_socket_directories") +
                              " port=1," + value("show port") +
                              " dbname=postgres user=shop_app target_session_attrs=read-write";
  Customers cache{CustomerStore{customers, several, options()}, by_hand()};
  cache.put({.login = "ann", .name = "Ann"});
  EXPECT_TRUE(cache.flush().ok());
}

struct CustomerWithEmail {
  std::string login;
  std::string email;
  const std::string& key() const { return login; }
  void copy_key_data_from(const CustomerWithEmail&) {}
};
constexpr auto customers_with_email =
    pg::table<CustomerWithEmail>("shop.customer", pg::key(&CustomerWithEmail::login, "login"),
                                 pg::column(&CustomerWithEmail::email, "email"));

TEST_F(Wiring, AMigrationUnderARunningProgramLosesNothing) {
  Customers old_program{CustomerStore{customers, app_url(), options()}, by_hand()};
  old_program.put({.login = "ann", .name = "Ann"});
  EXPECT_TRUE(old_program.flush().ok());

  exec(statements("add a column"));
  old_program.put({.login = "ann", .name = "Anna"});
  old_program.put({.login = "bob", .name = "Bob"});
  EXPECT_TRUE(old_program.flush(10s).ok());
  EXPECT_TRUE(old_program.close().unsaved.empty());

  exec(statements("retire a column"));
  lazywriter::LazyWriterCache new_program{
      lazywriter::PqxxReaderWriter{customers_with_email, app_url(), options()}, by_hand()};
  new_program.put({.login = "ann", .email = "ann@example.org"});
  EXPECT_TRUE(new_program.flush().ok());
  EXPECT_EQ(value("select name from shop.customer where login = 'ann'"), "Anna");

  exec(statements("drop a column"));
  new_program.put({.login = "cid", .email = "cid@example.org"});
  EXPECT_TRUE(new_program.flush(10s).ok());
  EXPECT_EQ(new_program.get("bob")->email, "");
  EXPECT_EQ(value("select count(*) from shop.customer"), "3");
}

}  // namespace
