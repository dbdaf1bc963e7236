// Keys whose text the server writes in another way, or makes itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <lazywriter/lazy_writer_cache.hpp>
#include <string>
#include <tuple>

#include "notes.hpp"

namespace {
using Microseconds = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;
}

namespace {

namespace pg = lazywriter::pg;
using namespace std::chrono_literals;
using pgtest::message_of;
using testing::AllOf;
using testing::HasSubstr;

struct Device {
  std::string id;
  std::string part;
  std::int64_t number{};
  std::string key() const { return id; }
  void copy_key_data_from(const Device&) {}
};

struct Part : Device {
  std::tuple<std::string, std::string> key() const { return {part, id}; }
  void copy_key_data_from(const Part&) {}
};

constexpr auto devices = pg::table<Device>("devices", pg::key(&Device::id, "id", "uuid"),
                                           pg::column(&Device::number, "number"));
constexpr auto parts =
    pg::table<Part>("parts", pg::key(&Device::part, "part"), pg::key(&Device::id, "id", "uuid"));

const std::string upper = "9E0A5777-15C8-444B-A718-ED7926AA9C93";
const std::string lower = "9e0a5777-15c8-444b-a718-ed7926aa9c93";

class Keys : public pgtest::Database {
 protected:
  void SetUp() override {
    Database::SetUp();
    exec(
        "CREATE TABLE devices (id uuid PRIMARY KEY, number bigint NOT NULL);"
        "CREATE TABLE parts (part text, id uuid, PRIMARY KEY (part, id))");
  }

  static auto names_both(const std::string& column) {
    return AllOf(HasSubstr("column \"" + column + "\" was sent as \"" + upper +
                           "\" and came back as \"" + lower + "\""),
                 HasSubstr("write the key as the server does (a uuid in lower case)"));
  }
};

TEST_F(Keys, ThatComeBackInAnotherTextAreNamedWithBothTexts) {
  lazywriter::PqxxReaderWriter store{devices, url(), options()};
  Device device{upper, {}, 1};
  EXPECT_THAT(message_of<pg::RejectedValue>([&] { pgtest::save_one(store, device); }),
              AllOf(names_both("id"), HasSubstr("a trigger changes it")));
  exec("INSERT INTO devices VALUES ('" + lower + "', 5)");
  EXPECT_THAT(message_of<lazywriter::StoreContractError>([&] { store.find(upper); }),
              names_both("id"));
  ASSERT_TRUE(store.find(lower).has_value());
  EXPECT_EQ(store.find(lower)->number, 5);
}

TEST_F(Keys, OfSeveralColumnsNameTheOneThatDiffers) {
  lazywriter::PqxxReaderWriter store{parts, url(), options()};
  Part part;
  part.part = "a \"b\"";
  part.id = upper;
  EXPECT_THAT(message_of<pg::RejectedValue>([&] { pgtest::save_one(store, part); }),
              names_both("id"));
  part.id = lower;
  pgtest::save_one(store, part);
  EXPECT_THAT(message_of<lazywriter::StoreContractError>([&] {
                store.find({"a \"b\"", upper});
              }),
              names_both("id"));
  EXPECT_TRUE(store.find(part.key()).has_value());
}

TEST_F(Keys, ThatComeBackInAnotherTextAreParkedWithThatReason) {
  lazywriter::LazyWriterCache cache{
      lazywriter::PqxxReaderWriter{devices, url(), options()},
      {.flush_interval = 0ms, .park_after = 1, .retry_backoff_min = 0ms, .retry_backoff_max = 0ms}};
  cache.put({upper, {}, 1});
  for (char digit = '0'; digit <= '9'; ++digit) {
    std::string id = lower;
    id[0] = digit;
    cache.put({id, {}, 2});
  }
  pgtest::wait_until("it is parked", [&] { return cache.flush().parked == 1; });
  EXPECT_EQ(value("SELECT count(*) FROM devices"), "10");
  EXPECT_THAT(cache.parked().front().error, names_both("id"));
  cache.discard_parked(upper);
  exec("INSERT INTO devices VALUES ('" + lower + "', 5) ON CONFLICT DO NOTHING");
  EXPECT_THAT(message_of<lazywriter::StoreContractError>([&] { cache.get(upper); }),
              names_both("id"));
}

struct Reading {
  std::string device;
  Microseconds at{};
  std::tuple<std::string, Microseconds> key() const { return {device, at}; }
  void copy_key_data_from(const Reading&) {}
};

TEST_F(Keys, OfTimesComeBackToTheMicrosecond) {
  exec("CREATE TABLE readings (device text, at timestamptz, PRIMARY KEY (device, at))");
  lazywriter::PqxxReaderWriter store{
      pg::table<Reading>("readings", pg::key(&Reading::device, "device"),
                         pg::key(&Reading::at, "at")),
      url(), options()};
  std::vector<Reading> readings;
  for (int microsecond = 0; microsecond < 5; ++microsecond) {
    readings.push_back(
        {"a", Microseconds{std::chrono::microseconds{1'700'000'000'123'456 + microsecond}}});
  }
  pgtest::save_all(store, readings);
  EXPECT_EQ(value("SELECT count(*) FROM readings"), "5");
  for (const Reading& reading : readings)
    EXPECT_TRUE(store.find(reading.key()).has_value());
}

}  // namespace
