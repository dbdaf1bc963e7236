// CTEST_THREADS: none
#include <gtest/gtest.h>

#include <lazywriter/pqxx/error_class.hpp>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace {

using lazywriter::WriteFailure;
namespace pg = lazywriter::pg;

TEST(ErrorClass, OfAnSqlstate) {
  for (const char* const state : {"", "0A000", "25P02", "26000", "2200H", "40001", "40P01", "42703",
                                  "53200", "55P03", "57014", "XX000", "XX001"}) {
    EXPECT_EQ(pg::detail::classify_sqlstate(state), WriteFailure::transient) << state;
  }
  for (const char* const state :
       {"08000", "08006", "25006", "28000", "28P01", "3D000", "3F000", "42501", "42P01", "53100",
        "53300", "57P01", "57P02", "57P03", "57P04", "58000", "58030"}) {
    EXPECT_EQ(pg::detail::classify_sqlstate(state), WriteFailure::unavailable) << state;
  }
  for (const char* const state :
       {"22001", "22003", "22021", "22P02", "23502", "23503", "23505", "23514", "23P01", "44000",
        "P0001", "54000", "21000", "99999", "ABCDE", "P0004"}) {
    EXPECT_EQ(pg::detail::classify_sqlstate(state), WriteFailure::rejected) << state;
  }
}

// Without an SQLSTATE; libpqxx 6 takes no statement.
template <class Error>
Error rolled_back() {
  if constexpr (std::is_constructible_v<Error, std::string, std::string>) {
    return Error("", "");
  } else {
    return Error("");
  }
}

TEST(ErrorClass, OfAnExceptionByItsTypeFirst) {
  EXPECT_EQ(pg::detail::classify_error(pg::RejectedValue("")), WriteFailure::rejected);
  EXPECT_EQ(pg::detail::classify_error(pg::UnreadableValue("")), WriteFailure::rejected);
  EXPECT_EQ(pg::detail::classify_error(pg::CommitInDoubt("")), WriteFailure::in_doubt);
  EXPECT_EQ(pg::detail::classify_error(pg::RolledBack("")), WriteFailure::transient);
  EXPECT_EQ(pg::detail::classify_error(pg::ConnectionLost("")), WriteFailure::unavailable);
  EXPECT_EQ(pg::detail::classify_error(pg::NotSent("")), WriteFailure::unavailable);
  EXPECT_EQ(pg::detail::classify_error(std::bad_alloc()), WriteFailure::transient);
  EXPECT_EQ(pg::detail::classify_error(std::logic_error("")), WriteFailure::transient);
  EXPECT_EQ(pg::detail::classify_error(pqxx::broken_connection("")), WriteFailure::unavailable);
  EXPECT_EQ(pg::detail::classify_error(rolled_back<pqxx::serialization_failure>()),
            WriteFailure::transient);
  EXPECT_EQ(pg::detail::classify_error(rolled_back<pqxx::deadlock_detected>()),
            WriteFailure::transient);
  EXPECT_EQ(pg::detail::classify_error(pqxx::insufficient_privilege("", "")),
            WriteFailure::unavailable);
  EXPECT_EQ(pg::detail::classify_error(pqxx::undefined_table("", "")), WriteFailure::unavailable);
  EXPECT_EQ(pg::detail::classify_error(pqxx::disk_full("", "")), WriteFailure::unavailable);
  EXPECT_EQ(pg::detail::classify_error(pqxx::too_many_connections("")), WriteFailure::unavailable);
  EXPECT_EQ(pg::detail::classify_error(pqxx::unique_violation("", "", "23505")),
            WriteFailure::rejected);
  EXPECT_EQ(pg::detail::classify_error(pqxx::check_violation("", "")), WriteFailure::rejected);
  EXPECT_EQ(pg::detail::classify_error(pqxx::plpgsql_raise("", "")), WriteFailure::rejected);
  EXPECT_EQ(pg::detail::classify_error(pqxx::sql_error("", "", "53100")),
            WriteFailure::unavailable);
}

TEST(ErrorClass, WhatTheServerHasToBeAskedAbout) {
  using pg::detail::Inquiry;
  const auto of = [](const char* state) {
    return pg::detail::inquiry_of(pqxx::sql_error("", "", state));
  };
  for (const char* const state : {"42501", "42P01", "3F000"}) {
    EXPECT_EQ(of(state), Inquiry::access) << state;
  }
  EXPECT_EQ(pg::detail::inquiry_of(pqxx::insufficient_privilege("", "")), Inquiry::access);
  EXPECT_EQ(pg::detail::inquiry_of(pqxx::undefined_table("", "")), Inquiry::access);
  EXPECT_EQ(of("54000"), Inquiry::notify_queue);
  for (const char* const state : {"42703", "23505", "08006", "54001", "57P01"}) {
    EXPECT_EQ(of(state), Inquiry::none) << state;
  }
  EXPECT_EQ(pg::detail::inquiry_of(pg::ConnectionLost("")), Inquiry::none);
}

TEST(ErrorClass, OfTheConnection) {
  EXPECT_TRUE(pg::detail::connection_survives(pqxx::unique_violation("", "", "23505")));
  EXPECT_TRUE(pg::detail::connection_survives(pqxx::sql_error("", "", "57014")));
  EXPECT_TRUE(pg::detail::connection_survives(rolled_back<pqxx::deadlock_detected>()));
  EXPECT_TRUE(pg::detail::connection_survives(pqxx::insufficient_privilege("", "")));
  EXPECT_FALSE(pg::detail::connection_survives(pqxx::broken_connection("")));
  EXPECT_FALSE(pg::detail::connection_survives(pqxx::sql_error("", "", "57P01")));
  EXPECT_FALSE(pg::detail::connection_survives(pqxx::sql_error("", "", "26000")));
  EXPECT_FALSE(pg::detail::connection_survives(pqxx::feature_not_supported("", "", "0A000")));
  EXPECT_FALSE(pg::detail::connection_survives(std::bad_alloc()));
}

}  // namespace
