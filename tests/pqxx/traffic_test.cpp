// What travels to the server: the statements of each batch, and batches above 16 MiB.
// CTEST_TIMEOUT: 900
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <lazywriter/lazy_writer_cache.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "notes.hpp"
#include "server_log.hpp"

namespace {

/// A megabyte of one letter, which takes no memory while it is not on its way.
struct Megabyte {
  char letter = 'a';
  bool operator==(const Megabyte&) const = default;
};
constexpr std::size_t megabyte = 1'000'000;

}  // namespace

template <>
struct lazywriter::pg::codec<Megabyte> {
  static constexpr std::string_view sql_type = "text";
  static void encode(Megabyte value, std::string& out) { out.append(megabyte, value.letter); }
  static Megabyte decode(std::string_view text) {
    if (text.size() != megabyte || text != std::string(megabyte, text[0])) {
      throw std::invalid_argument("not a megabyte of one letter");
    }
    return {text[0]};
  }
};

namespace {

namespace pg = lazywriter::pg;
using namespace std::chrono_literals;
using pgtest::Note;
using pgtest::notes;
using pgtest::NoteStore;
using testing::ElementsAre;
using testing::IsEmpty;

class Traffic : public pgtest::Notes, public testing::WithParamInterface<bool> {
 protected:
  lazywriter::PqxxOptions chosen() {
    lazywriter::PqxxOptions made = options();
    made.verify_schema = false;
    made.prepared = GetParam();
    return made;
  }
  std::string logged_url() const {
    return url_with_defaults(pgtest::ServerLog::defaults()) + "&application_name=logged";
  }
};

TEST_P(Traffic, ABatchIsOneStatementInATransactionOfTwoMoreRoundTrips) {
  pgtest::ServerLog server{"logged"};
  lazywriter::LazyWriterCache cache{NoteStore{notes, logged_url(), chosen()},
                                    {.flush_interval = 0ms, .max_batch = 1'000}};
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_THAT(server.statements(), IsEmpty());

  for (int number = 0; number < 2'500; ++number)
    cache.put({std::to_string(number), "old"});
  EXPECT_THAT(server.statements(), IsEmpty());
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_THAT(server.statements(),
              ElementsAre("begin, id", "save", "commit, status", "begin, id", "save",
                          "commit, status", "begin, id", "save", "commit, status"));

  for (int number = 0; number < 300; ++number) {
    if (number % 3 == 0) cache.erase(std::to_string(number));
    for (int times = 0; times < 5; ++times)
      cache.put({std::to_string(1'000 + number), "new"});
  }
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_THAT(server.statements(), ElementsAre("begin, id", "erase", "save", "commit, status"));

  cache.erase("2000");
  EXPECT_TRUE(cache.flush().ok());
  EXPECT_THAT(server.statements(), ElementsAre("begin, id", "erase", "commit, status"));

  EXPECT_TRUE(cache.get("1000").has_value());
  EXPECT_THAT(server.statements(), IsEmpty());
}

TEST_P(Traffic, ALookupIsOneStatement) {
  pgtest::ServerLog server{"logged"};
  const NoteStore store{notes, logged_url(), chosen()};
  EXPECT_FALSE(store.find("a").has_value());
  const std::vector<std::string> statements = server.statements();
  EXPECT_EQ(std::count(statements.begin(), statements.end(), "find"), 1);
  EXPECT_EQ(statements.size(), GetParam() ? 1U : 3U) << testing::PrintToString(statements);
}

INSTANTIATE_TEST_SUITE_P(PreparedAndNot, Traffic, testing::Bool());

struct Large {
  std::string name;
  Megabyte text;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Large&) {}
};

TEST_F(Traffic, AThousandMegabytesAreSplitWithinOneTransaction) {
  pgtest::ServerLog server{"logged"};
  lazywriter::LazyWriterCache cache{
      lazywriter::PqxxReaderWriter{pg::table<Large>("notes", pg::key(&Large::name, "name"),
                                                    pg::column(&Large::text, "text")),
                                   logged_url(), options()},
      {.flush_interval = 0ms, .max_batch = 1'000}};
  for (int number = 0; number < 1'000; ++number) {
    cache.put({std::to_string(number), {static_cast<char>('a' + number % 26)}});
  }
  const lazywriter::FlushResult result = cache.flush();
  EXPECT_TRUE(result.ok()) << result.error;
  EXPECT_EQ(result.written, 1'000U);
  std::vector<std::string> statements = server.statements();
  // Those of verify_schema come first.
  statements.erase(statements.begin(),
                   std::find(statements.begin(), statements.end(), "begin, id"));
  // 16 MiB are reached by 17 megabytes.
  ASSERT_EQ(statements.size(), 2U + (1'000 + 16) / 17) << testing::PrintToString(statements);
  EXPECT_EQ(statements.back(), "commit, status");
  EXPECT_EQ(std::count(statements.begin(), statements.end(), "save"), (1'000 + 16) / 17);
  EXPECT_EQ(value("SELECT count(*) FROM notes WHERE text = repeat(chr(97 + name::int % 26), " +
                  std::to_string(megabyte) + ")"),
            "1000");
  EXPECT_TRUE(cache.invalidate_all().ok());
  EXPECT_EQ(cache.get("27")->text, Megabyte{'b'});
}

}  // namespace
