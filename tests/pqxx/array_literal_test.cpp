// CTEST_THREADS: none
#include <gtest/gtest.h>

#include <lazywriter/pqxx/array_literal.hpp>
#include <string>

#include "database.hpp"
#include "support/seed.hpp"

namespace {

using lazywriter::pg::ArrayLiteral;
using lazywriter::testing::test_seed;

TEST(ArrayLiteralText, QuotesEveryElement) {
  ArrayLiteral array;
  EXPECT_EQ(array.size(), 2U);
  EXPECT_EQ(array.take(), "{}");
  array.append("a");
  array.append_null();
  array.append("");
  array.append("NULL");
  array.append("a\"b\\c,{d} e");
  const std::size_t size = array.size();
  const std::string text = array.take();
  EXPECT_EQ(text, R"({"a",NULL,"","NULL","a\"b\\c,{d} e"})");
  EXPECT_EQ(text.size(), size);
  EXPECT_EQ(array.take(), "{}");
}

class ArrayLiteralOnServer : public pgtest::Database {};

TEST_F(ArrayLiteralOnServer, RandomTextsComeBack) {
  std::mt19937_64 random{test_seed()};
  const std::string_view alphabet = "\"\\{},; 'NULabc\n\t%$";
  std::vector<std::string> texts{
      "", "NULL", "null", "{}", "\\", "\"", "'", " a ", "\xF0\x9F\x98\x80"};
  for (int round = 0; round < 2'000; ++round) {
    std::string text;
    for (auto length = random() % 12; length > 0; --length) {
      text.push_back(alphabet[random() % alphabet.size()]);
    }
    texts.push_back(text);
  }
  ArrayLiteral array;
  for (const std::string& text : texts)
    array.append(text);
  pqxx::connection connection{url().c_str()};
  pqxx::nontransaction on{connection};
  const pqxx::result rows = lazywriter::pg::detail::run(
      on, "SELECT e FROM unnest($1::text[]) WITH ORDINALITY AS u(e, n) ORDER BY n", {array.take()});
  ASSERT_EQ(lazywriter::pg::detail::row_count(rows), texts.size());
  for (std::size_t row = 0; row < texts.size(); ++row) {
    EXPECT_EQ(lazywriter::pg::detail::field_text(rows, row, 0), texts[row]);
  }
}

}  // namespace
