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
  for (const char* const state :
       {"",      "08006", "0A000", "25006", "25P02", "26000", "28P01", "2200H",
        "3D000", "3F000", "40001", "40P01", "42501", "42P01", "53100", "53300",
        "55P03", "57014", "57P01", "58030", "XX000", "XX001"}) {
    EXPECT_EQ(pg::detail::classify_sqlstate(state), WriteFailure::transient) << state;
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
  EXPECT_EQ(pg::detail::classify_error(pg::CommitInDoubt("")), WriteFailure::transient);
  EXPECT_EQ(pg::detail::classify_error(pg::RolledBack("")), WriteFailure::transient);
  EXPECT_EQ(pg::detail::classify_error(pg::NotSent("")), WriteFailure::transient);
  EXPECT_EQ(pg::detail::classify_error(std::bad_alloc()), WriteFailure::transient);
  EXPECT_EQ(pg::detail::classify_error(std::logic_error("")), WriteFailure::transient);
  EXPECT_EQ(pg::detail::classify_error(pqxx::broken_connection("")), WriteFailure::transient);
  EXPECT_EQ(pg::detail::classify_error(rolled_back<pqxx::serialization_failure>()),
            WriteFailure::transient);
  EXPECT_EQ(pg::detail::classify_error(rolled_back<pqxx::deadlock_detected>()),
            WriteFailure::transient);
  EXPECT_EQ(pg::detail::classify_error(pqxx::insufficient_privilege("", "")),
            WriteFailure::transient);
  EXPECT_EQ(pg::detail::classify_error(pqxx::unique_violation("", "", "23505")),
            WriteFailure::rejected);
  EXPECT_EQ(pg::detail::classify_error(pqxx::check_violation("", "")), WriteFailure::rejected);
  EXPECT_EQ(pg::detail::classify_error(pqxx::plpgsql_raise("", "")), WriteFailure::rejected);
  EXPECT_EQ(pg::detail::classify_error(pqxx::sql_error("", "", "53100")), WriteFailure::transient);
}

TEST(ErrorClass, OfTheConnection) {
  EXPECT_TRUE(pg::detail::connection_survives(pqxx::unique_violation("", "", "23505")));
  EXPECT_TRUE(pg::detail::connection_survives(pqxx::sql_error("", "", "57014")));
  EXPECT_TRUE(pg::detail::connection_survives(rolled_back<pqxx::deadlock_detected>()));
  EXPECT_FALSE(pg::detail::connection_survives(pqxx::broken_connection("")));
  EXPECT_FALSE(pg::detail::connection_survives(pqxx::sql_error("", "", "57P01")));
  EXPECT_FALSE(pg::detail::connection_survives(pqxx::sql_error("", "", "26000")));
  EXPECT_FALSE(pg::detail::connection_survives(pqxx::feature_not_supported("", "", "0A000")));
  EXPECT_FALSE(pg::detail::connection_survives(std::bad_alloc()));
}

}  // namespace
