// CTEST_THREADS: none
#include <gtest/gtest.h>

#include <chrono>
#include <lazywriter/pqxx/connection_string.hpp>
#include <lazywriter/pqxx/options.hpp>
#include <stdexcept>
#include <string>

namespace {

using lazywriter::pg::detail::ConnectionTarget;
using namespace std::chrono_literals;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(ConnectionString, BothFormsArePassedOn) {
  const ConnectionTarget uri{"postgresql://u:se%40cret@h:1/db?sslmode=require&sslrootcert=/ca.pem",
                             1500ms};
  EXPECT_TRUE(contains(uri.text(), "password='se@cret'")) << uri.text();
  EXPECT_TRUE(contains(uri.text(), "sslmode='require'"));
  EXPECT_TRUE(contains(uri.text(), "sslrootcert='/ca.pem'"));
  EXPECT_TRUE(contains(uri.text(), "connect_timeout='2'"));
  EXPECT_TRUE(contains(uri.text(), "keepalives_idle='60'"));
  EXPECT_TRUE(contains(uri.text(), "client_encoding='UTF8'"));
  const ConnectionTarget words{
      "host=h password='it\\'s' connect_timeout=9 client_encoding=LATIN1"
      " keepalives_idle=5",
      1s};
  EXPECT_TRUE(contains(words.text(), "password='it\\'s'")) << words.text();
  EXPECT_TRUE(contains(words.text(), "connect_timeout='9'"));
  EXPECT_TRUE(contains(words.text(), "keepalives_idle='5'"));
  EXPECT_FALSE(contains(words.text(), "keepalives_idle='60'"));
  EXPECT_FALSE(contains(words.text(), "LATIN1"));
}

TEST(ConnectionString, WhatCannotBeParsedIsNotRepeated) {
  for (const std::string bad :
       {"host=h password=hush hush", "postgresql://u:hush@h/db?nonsense=hush", "hush",
        "postgresql://u:hu/sh@h/db", "postgresql://u:hush@sh@h/db", "postgresql://u:p@h:hush/db",
        "host=h password='hush", "host=hush@h", "port=hush", "postgresql://u:%zzhush@h/db",
        "host=h dbname='postgresql://u:hush@h/db'", "dbname='password=hush'"}) {
    try {
      const ConnectionTarget target{bad, 1s};
      ADD_FAILURE() << "accepted: " << bad;
    } catch (const std::invalid_argument& error) {
      EXPECT_FALSE(contains(error.what(), "hush")) << error.what();
      EXPECT_TRUE(contains(error.what(), "the connection string cannot be used"));
    }
  }
  EXPECT_THROW(ConnectionTarget(std::string_view("host=a\0b", 8), 1s), std::invalid_argument);
}

TEST(ConnectionString, AMessageSaysWhatToLookFor) {
  try {
    const ConnectionTarget target{"hosst=h password=hush", 1s};
    ADD_FAILURE();
  } catch (const std::invalid_argument& error) {
    EXPECT_TRUE(contains(error.what(), "a parameter in it is unknown")) << error.what();
    EXPECT_TRUE(contains(error.what(), "has no quotes")) << error.what();
  }
}

TEST(ConnectionString, SecretsAreBlottedOut) {
  const ConnectionTarget target{"host=h password=hush", 1s};
  EXPECT_EQ(target.without_secrets("hush and hush"), "*** and ***");
}

void expect_refused(const lazywriter::PqxxOptions& options, const std::string& field) {
  try {
    lazywriter::pg::detail::validate(options);
    ADD_FAILURE() << field;
  } catch (const std::invalid_argument& error) {
    EXPECT_TRUE(contains(error.what(), field)) << error.what();
  }
}

TEST(PqxxOptions, AreValidated) {
  EXPECT_NO_THROW(lazywriter::pg::detail::validate({}));
  expect_refused({.read_connections = 0}, "read_connections");
  expect_refused({.connect_timeout = 0ms}, "connect_timeout");
  expect_refused({.lock_timeout = 0ms}, "lock_timeout");
  expect_refused({.statement_timeout = 1s}, "statement_timeout");
  expect_refused({.watchdog = 30s}, "watchdog");
  expect_refused({.watchdog = std::chrono::hours{24 * 365}}, "watchdog");
}

}  // namespace
