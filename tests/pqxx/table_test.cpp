// CTEST_THREADS: none
#include <gtest/gtest.h>

#include <lazywriter/pqxx/table.hpp>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

namespace {

namespace pg = lazywriter::pg;

struct Row {
  std::string name;
  int number{};
  std::optional<std::string> note;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Row&) {}
};

struct Pair : Row {
  std::tuple<std::string, int> key() const { return {name, number}; }
  void copy_key_data_from(const Pair&) {}
};

struct StdPair : Row {
  std::pair<std::string, int> key() const { return {name, number}; }
  void copy_key_data_from(const StdPair&) {}
};

constexpr auto rows =
    pg::table<Row>("rows", pg::key(&Row::name, "name"), pg::column(&Row::number, "number"),
                   pg::column(&Row::note, "note", "varchar(10)"));

TEST(Table, IsAConstant) {
  static_assert(rows.name == "rows");
  static_assert(std::get<0>(rows.columns).role == pg::ColumnRole::key);
  static_assert(std::get<1>(rows.columns).sql_type == "integer");
  static_assert(std::get<2>(rows.columns).sql_type == "varchar(10)");
}

TEST(Table, CompositeKeysAreTuplesOrPairs) {
  constexpr auto tuple = pg::table<Pair>("t", pg::key(&Row::name, "a"), pg::key(&Row::number, "b"));
  constexpr auto pair =
      pg::table<StdPair>("t", pg::key(&Row::name, "a"), pg::key(&Row::number, "b"));
  static_assert(std::get<1>(tuple.columns).role == pg::ColumnRole::key);
  static_assert(std::get<1>(pair.columns).role == pg::ColumnRole::key);
}

TEST(Table, RefusesNamesThatAreRepeatedOrEmpty) {
  EXPECT_THROW(pg::table<Row>("", pg::key(&Row::name, "name")), std::invalid_argument);
  EXPECT_THROW(pg::table<Row>("t", pg::key(&Row::name, "")), std::invalid_argument);
  EXPECT_THROW(pg::table<Row>("t", pg::key(&Row::name, "a"), pg::column(&Row::number, "a")),
               std::invalid_argument);
}

}  // namespace
