// Every type and every kind of key, written to the server and read back.
// CTEST_THREADS: none
#include <gtest/gtest.h>

#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "database.hpp"
#include "support/seed.hpp"

namespace {

namespace pg = lazywriter::pg;
using Time = std::chrono::system_clock::time_point;

enum class Colour { red, green };

}  // namespace

template <>
struct lazywriter::pg::codec<Colour> {
  static constexpr std::string_view sql_type = "text";
  static void encode(Colour value, std::string& out) {
    out.append(value == Colour::red ? "red" : "green");
  }
  static Colour decode(std::string_view text) {
    if (text == "red") return Colour::red;
    if (text == "green") return Colour::green;
    throw std::invalid_argument("unknown colour");
  }
};

namespace {

struct Everything {
  std::int64_t id{};
  bool flag{};
  std::int8_t tiny{};
  std::uint8_t byte{};
  std::int16_t small{};
  std::uint16_t word{};
  std::int32_t normal{};
  std::uint32_t wide{};
  std::uint64_t huge{};
  float single{};
  double precise{};
  std::string money = "0.00";
  std::string text;
  std::string json = "{}";
  std::optional<std::string> maybe_text;
  std::optional<int> maybe_number;
  std::optional<double> maybe_double;
  Time time{};
  std::optional<Time> maybe_time;
  std::vector<std::byte> bytes;
  Colour colour = Colour::red;

  std::int64_t key() const { return id; }
  void copy_key_data_from(const Everything&) {}
  bool operator==(const Everything&) const = default;
};

constexpr auto everything = pg::table<Everything>(
    "everything", pg::key(&Everything::id, "id"), pg::column(&Everything::flag, "flag"),
    pg::column(&Everything::tiny, "tiny"), pg::column(&Everything::byte, "byte"),
    pg::column(&Everything::small, "small"), pg::column(&Everything::word, "word"),
    pg::column(&Everything::normal, "normal"), pg::column(&Everything::wide, "wide"),
    pg::column(&Everything::huge, "huge"), pg::column(&Everything::single, "single"),
    pg::column(&Everything::precise, "precise"),
    pg::column(&Everything::money, "money", "numeric(12,2)"), pg::column(&Everything::text, "text"),
    pg::column(&Everything::json, "json", "jsonb"),
    pg::column(&Everything::maybe_text, "maybe_text"),
    pg::column(&Everything::maybe_number, "maybe_number"),
    pg::column(&Everything::maybe_double, "maybe_double"), pg::column(&Everything::time, "time"),
    pg::column(&Everything::maybe_time, "maybe_time"), pg::column(&Everything::bytes, "bytes"),
    pg::column(&Everything::colour, "colour", "colour"));

constexpr const char* create_everything =
    "CREATE TYPE colour AS ENUM ('red', 'green'); CREATE TABLE everything (id bigint PRIMARY KEY,"
    " flag boolean NOT NULL, tiny smallint NOT NULL, byte smallint NOT NULL, small smallint NOT "
    "NULL,"
    " word integer NOT NULL, normal integer NOT NULL, wide bigint NOT NULL, huge numeric(20) NOT "
    "NULL,"
    " single real NOT NULL, precise double precision NOT NULL, money numeric(12,2) NOT NULL,"
    " text text NOT NULL, json jsonb NOT NULL, maybe_text text, maybe_number integer,"
    " maybe_double double precision, time timestamptz NOT NULL, maybe_time timestamptz,"
    " bytes bytea NOT NULL, colour colour NOT NULL)";

/// Random values that favour the edges.
class Values {
 public:
  explicit Values(std::uint64_t seed) : random_(seed) {}

  Everything item(std::int64_t id) {
    Everything made;
    made.id = id;
    made.flag = chance(2);
    made.tiny = integer<std::int8_t>();
    made.byte = integer<std::uint8_t>();
    made.small = integer<std::int16_t>();
    made.word = integer<std::uint16_t>();
    made.normal = integer<std::int32_t>();
    made.wide = integer<std::uint32_t>();
    made.huge = integer<std::uint64_t>();
    made.single = floating<float, std::uint32_t>();
    made.precise = floating<double, std::uint64_t>();
    made.money = std::to_string(static_cast<std::int64_t>(random_() % 1'000'000'000)) + ".07";
    made.text = text();
    made.json = "{\"n\": " + std::to_string(random_() % 1000) + "}";
    if (chance(2)) made.maybe_text = text();
    if (chance(2)) made.maybe_number = integer<int>();
    if (chance(2)) made.maybe_double = floating<double, std::uint64_t>();
    made.time = time();
    if (chance(2)) made.maybe_time = time();
    for (auto length = random_() % 40; length > 0; --length) {
      made.bytes.push_back(static_cast<std::byte>(random_() & 255U));
    }
    made.colour = chance(2) ? Colour::red : Colour::green;
    return made;
  }

  std::string text() {
    static const std::vector<std::string> pieces{"\"",
                                                 "'",
                                                 "\\",
                                                 "{",
                                                 "}",
                                                 ",",
                                                 "NULL",
                                                 "null",
                                                 " ",
                                                 "\n",
                                                 "\t",
                                                 "\r",
                                                 "$1",
                                                 "%s",
                                                 "--",
                                                 ";",
                                                 "a",
                                                 "Z",
                                                 "\xC3\xA4",
                                                 "\xE2\x82\xAC",
                                                 "\xF0\x9F\x98\x80",
                                                 "\x01",
                                                 "\x7F"};
    std::string made;
    for (auto length = random_() % 9; length > 0; --length)
      made += pieces[random_() % pieces.size()];
    return made;
  }

 private:
  bool chance(unsigned one_in) { return random_() % one_in == 0; }

  template <class T>
  T integer() {
    if (chance(4)) return std::numeric_limits<T>::min();
    if (chance(4)) return std::numeric_limits<T>::max();
    return static_cast<T>(random_());
  }

  template <class T, class Bits>
  T floating() {
    if (chance(8)) return std::numeric_limits<T>::infinity();
    const T value = std::bit_cast<T>(static_cast<Bits>(random_()));
    return std::isnan(value) ? T{0} : value;
  }

  Time time() {
    if (chance(8)) return Time::max();
    return Time{std::chrono::microseconds{
        static_cast<std::int64_t>(random_() % 9'000'000'000'000'000) - 4'000'000'000'000'000}};
  }

  std::mt19937_64 random_;
};

class RoundTrip : public pgtest::Database {};

TEST_F(RoundTrip, EveryTypeWithRandomValues) {
  exec(create_everything);
  // They would garble numbers, dates, bytes and NULLs, were the sessions' settings not pinned.
  const std::string where = url_with_defaults(
      {"extra_float_digits=-3", "DateStyle=SQL,DMY", "TimeZone=Asia/Kolkata", "bytea_output=escape",
       "array_nulls=off", "standard_conforming_strings=off"});
  Values values{lazywriter::testing::test_seed()};
  for (const bool prepared : {true, false}) {
    lazywriter::PqxxOptions chosen = options();
    chosen.prepared = prepared;
    lazywriter::PqxxReaderWriter store{everything, where, chosen};
    for (int round = 0; round < 3; ++round) {
      std::vector<Everything> items;
      for (std::int64_t id = 0; id < 200; ++id)
        items.push_back(values.item(id));
      const std::vector<Everything> sent = items;
      pgtest::save_all(store, items);
      EXPECT_EQ(items, sent);
      for (const Everything& item : sent) {
        const std::optional<Everything> found = store.find(item.id);
        ASSERT_TRUE(found.has_value());
        ASSERT_EQ(*found, item) << item.id;
      }
    }
    EXPECT_FALSE(store.find(1'000'000).has_value());
  }
}

TEST_F(RoundTrip, NotANumber) {
  exec(create_everything);
  lazywriter::PqxxReaderWriter store{everything, url(), options()};
  Everything item;
  item.single = std::numeric_limits<float>::quiet_NaN();
  item.precise = std::numeric_limits<double>::quiet_NaN();
  pgtest::save_one(store, item);
  const auto found = store.find(0);
  EXPECT_TRUE(std::isnan(found->single));
  EXPECT_TRUE(std::isnan(found->precise));
}

struct Note {
  std::string name;
  std::string text;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Note&) {}
};

TEST_F(RoundTrip, AwkwardTextsAsKeysAndValues) {
  exec("CREATE TABLE notes (name text PRIMARY KEY, text text NOT NULL)");
  lazywriter::PqxxReaderWriter store{
      pg::table<Note>("notes", pg::key(&Note::name, "name"), pg::column(&Note::text, "text")),
      url(), options()};
  Values values{lazywriter::testing::test_seed()};
  std::vector<Note> notes;
  for (const std::string awkward :
       {"", " ", "NULL", "null", "{}", "{a,b}", "\"", "\\", "\\\\", "'", "'; DROP", "a,b", "\n",
        "\xF0\x9F\x98\x80", "$1", "\\x00", "\\000"}) {
    notes.push_back({awkward, awkward});
  }
  for (int number = 0; number < 500; ++number) {
    notes.push_back({std::to_string(number) + values.text(), values.text()});
  }
  const auto sent = notes;
  pgtest::save_all(store, notes);
  for (const Note& note : sent) {
    const auto found = store.find(note.name);
    ASSERT_TRUE(found.has_value()) << note.name;
    EXPECT_EQ(found->name, note.name);
    EXPECT_EQ(found->text, note.text);
  }
  auto transaction = store.begin_tx();
  for (const Note& note : sent)
    store.erase(note.name, transaction);
  store.commit_tx(transaction);
  EXPECT_EQ(value("SELECT count(*) FROM notes"), "0");
}

TEST_F(RoundTrip, MegabyteValues) {
  exec("CREATE TABLE notes (name text PRIMARY KEY, text text NOT NULL)");
  lazywriter::PqxxReaderWriter store{
      pg::table<Note>("notes", pg::key(&Note::name, "name"), pg::column(&Note::text, "text")),
      url(), options()};
  std::vector<Note> notes;
  for (int number = 0; number < 40; ++number) {  // more than the 16 MiB of one statement
    notes.push_back(
        {std::to_string(number), std::string(1'000'000, static_cast<char>('a' + number % 26))});
    notes.back().text += "\"\\,{}";
  }
  const auto sent = notes;
  pgtest::save_all(store, notes);
  for (const Note& note : sent)
    EXPECT_EQ(store.find(note.name)->text, note.text);
}

struct Place {
  std::string country;
  std::int32_t code{};
  std::optional<bool> open;
  std::int16_t floor{};
  std::tuple<std::string, std::int32_t> key() const { return {country, code}; }
  void copy_key_data_from(const Place&) {}
};

struct Floor : Place {
  std::tuple<std::string, std::int32_t, std::int16_t> key() const { return {country, code, floor}; }
  void copy_key_data_from(const Floor&) {}
};

TEST_F(RoundTrip, CompositeKeysAndQuotedNames) {
  exec(
      "CREATE TABLE \"My \"\"Places\"\"\" (\"Coun.try\" text, \"CODE\" integer, \"select\" boolean,"
      " PRIMARY KEY (\"CODE\", \"Coun.try\"))");
  lazywriter::PqxxReaderWriter store{
      pg::table<Place>("\"" + schema() + "\".My \"Places\"", pg::key(&Place::country, "Coun.try"),
                       pg::key(&Place::code, "CODE"), pg::column(&Place::open, "select")),
      url(), options()};
  std::vector<Place> places;
  for (int code = 0; code < 50; ++code) {
    places.push_back({"AT", code, true, 0});
    places.push_back({"DE", code, std::nullopt, 0});
  }
  pgtest::save_all(store, places);
  EXPECT_EQ(store.find({"AT", 7})->open, true);
  EXPECT_EQ(store.find({"DE", 7})->open, std::nullopt);
  EXPECT_FALSE(store.find({"FR", 7}).has_value());
  auto transaction = store.begin_tx();
  const std::vector<std::tuple<std::string, std::int32_t>> keys{{"AT", 7}, {"FR", 7}};
  store.erase_batch(keys, transaction);
  store.commit_tx(transaction);
  EXPECT_FALSE(store.find({"AT", 7}).has_value());
  EXPECT_TRUE(store.find({"DE", 7}).has_value());
}

TEST_F(RoundTrip, KeysOfThreeColumnsAndNothingElse) {
  exec(
      "CREATE TABLE floors (country text, code integer, floor smallint, UNIQUE (floor, code, "
      "country))");
  lazywriter::PqxxReaderWriter store{
      pg::table<Floor>("floors", pg::key(&Place::country, "country"), pg::key(&Place::code, "code"),
                       pg::key(&Place::floor, "floor")),
      url(), options()};
  Floor floor;
  floor.country = "AT";
  floor.code = 1;
  floor.floor = -2;
  pgtest::save_one(store, floor);
  pgtest::save_one(store, floor);  // it exists, and still a row comes back
  EXPECT_TRUE(store.find({"AT", 1, -2}).has_value());
  EXPECT_EQ(value("SELECT count(*) FROM floors"), "1");
}

TEST_F(RoundTrip, CompositeKeysWithRandomValues) {
  exec(
      "CREATE TABLE floors (country text, code integer, floor smallint, open boolean,"
      " PRIMARY KEY (country, code, floor))");
  lazywriter::PqxxReaderWriter store{
      pg::table<Floor>("floors", pg::key(&Place::country, "country"), pg::key(&Place::code, "code"),
                       pg::key(&Place::floor, "floor"), pg::column(&Place::open, "open")),
      url(), options()};
  Values values{lazywriter::testing::test_seed()};
  std::map<std::tuple<std::string, std::int32_t, std::int16_t>, Floor> sent;
  for (int number = 0; number < 500; ++number) {
    const Everything random = values.item(number);
    Floor floor;
    floor.country = random.text;
    floor.code = random.normal;
    floor.floor = random.small;
    if (random.maybe_number) floor.open = random.flag;
    sent[floor.key()] = floor;
  }
  std::vector<Floor> batch;
  std::vector<std::tuple<std::string, std::int32_t, std::int16_t>> keys;
  for (const auto& [each, floor] : sent) {
    keys.push_back(each);
    batch.push_back(floor);
  }
  pgtest::save_all(store, batch);
  for (const auto& [each, floor] : sent) {
    const auto found = store.find(each);
    ASSERT_TRUE(found.has_value());
    ASSERT_EQ(found->key(), each);
    ASSERT_EQ(found->open, floor.open);
  }
  auto transaction = store.begin_tx();
  store.erase_batch(keys, transaction);
  store.commit_tx(transaction);
  EXPECT_EQ(value("SELECT count(*) FROM floors"), "0");
}

/// A key of one member after the other, for every type that can be one.
template <class Key>
struct Keyed {
  Key id{};
  std::string text;
  Key key() const { return id; }
  void copy_key_data_from(const Keyed&) {}
};

template <class Key>
class KeyTypes : public pgtest::Database {};
using AllKeyTypes = testing::Types<std::int8_t, std::uint8_t, std::int16_t, std::uint16_t,
                                   std::int32_t, std::uint32_t, std::int64_t, std::uint64_t>;
TYPED_TEST_SUITE(KeyTypes, AllKeyTypes);

TYPED_TEST(KeyTypes, OfEveryWidthAreFoundAndErased) {
  using Item = Keyed<TypeParam>;
  this->exec("CREATE TABLE keyed (id " + std::string(pg::codec<TypeParam>::sql_type) +
             " PRIMARY KEY, text text NOT NULL)");
  lazywriter::PqxxReaderWriter store{
      pg::table<Item>("keyed", pg::key(&Item::id, "id"), pg::column(&Item::text, "text")),
      this->url(), this->options()};
  using Limits = std::numeric_limits<TypeParam>;
  std::vector<Item> items{
      {Limits::min(), "lowest"}, {TypeParam{7}, "seven"}, {Limits::max(), "highest"}};
  pgtest::save_all(store, items);
  EXPECT_EQ(store.find(Limits::min())->text, "lowest");
  EXPECT_EQ(store.find(TypeParam{7})->text, "seven");
  EXPECT_EQ(store.find(Limits::max())->text, "highest");
  EXPECT_FALSE(store.find(TypeParam{8}).has_value());
  auto transaction = store.begin_tx();
  const std::vector<TypeParam> keys{Limits::min(), Limits::max()};
  store.erase_batch(keys, transaction);
  store.commit_tx(transaction);
  EXPECT_EQ(this->value("SELECT string_agg(text, ',') FROM keyed"), "seven");
}

struct Stamped {
  std::string name;
  int number{};
  std::int64_t id{};
  Time changed{};
  std::string owner;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Stamped& stored) {
    id = stored.id;
    changed = stored.changed;
  }
};

TEST_F(RoundTrip, GeneratedAndRefreshedMembersComeBack) {
  exec(
      "CREATE TABLE stamped (name text PRIMARY KEY, number integer NOT NULL, id bigint GENERATED "
      "ALWAYS AS"
      " IDENTITY, changed timestamptz NOT NULL DEFAULT clock_timestamp(), owner text NOT NULL "
      "DEFAULT"
      " 'nobody')");
  lazywriter::PqxxReaderWriter store{
      pg::table<Stamped>("stamped", pg::key(&Stamped::name, "name"),
                         pg::column(&Stamped::number, "number"), pg::generated(&Stamped::id, "id"),
                         pg::refreshed(&Stamped::changed, "changed")),
      url(), options()};
  std::vector<Stamped> items{{"b", 1, 0, {}, "kept"}, {"a", 2, 0, {}, "kept"}};
  pgtest::save_all(store, items);
  EXPECT_EQ(items[1].id, 1);  // in the order of the key
  EXPECT_EQ(items[0].id, 2);
  EXPECT_EQ(items[0].owner, "kept");
  const Stamped first = items[0];
  items[0].number = 5;
  pgtest::save_one(store, items[0]);
  EXPECT_EQ(items[0].id, first.id);
  EXPECT_GT(items[0].changed, first.changed);
  EXPECT_EQ(store.find("b")->number, 5);
  EXPECT_EQ(store.find("b")->changed, items[0].changed);
}

TEST_F(RoundTrip, DomainsNarrowColumnsAndPartitions) {
  exec(
      "CREATE DOMAIN short AS varchar(5) CHECK (value <> 'bad'); CREATE TABLE parted (name short "
      "PRIMARY KEY,"
      " text varchar(5)) PARTITION BY HASH (name);"
      "CREATE TABLE parted0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
      "CREATE TABLE parted1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1)");
  lazywriter::PqxxReaderWriter store{pg::table<Note>("parted", pg::key(&Note::name, "name"),
                                                     pg::column(&Note::text, "text", "varchar(5)")),
                                     url(), options()};
  Note fits{"a", "12345"};
  pgtest::save_one(store, fits);
  EXPECT_EQ(store.find("a")->text, "12345");
  Note too_long{"a", "123456"};
  auto transaction = store.begin_tx();
  EXPECT_THROW(store.save(too_long, transaction), std::exception);  // never cut off silently
}

TEST_F(RoundTrip, WhatAColumnsOwnTypeDoesToAValueStillHappens) {
  exec(
      "CREATE TABLE typed (name text PRIMARY KEY, rounded numeric(12,2), padded char(4), cut "
      "varchar(4))");
  const auto stored = [this](auto member, const char* column, const char* type, std::string text) {
    lazywriter::PqxxReaderWriter store{
        pg::table<Note>("typed", pg::key(&Note::name, "name"), pg::column(member, column, type)),
        url(), options()};
    Note note{"a", std::move(text)};
    pgtest::save_one(store, note);
    return store.find("a")->text;
  };
  EXPECT_EQ(stored(&Note::text, "rounded", "numeric(12,2)", "1.005"), "1.01");
  EXPECT_EQ(stored(&Note::text, "padded", "char(4)", "ab"), "ab  ");
  EXPECT_EQ(stored(&Note::text, "cut", "varchar(4)", "abcd   "), "abcd");
  EXPECT_THROW(stored(&Note::text, "cut", "varchar(4)", "abcde"), std::exception);
}

TEST_F(RoundTrip, AFindForAKeyThatCannotExistFindsNothing) {
  exec("CREATE TABLE notes (name text PRIMARY KEY, text text NOT NULL)");
  exec("CREATE TABLE ids (name uuid PRIMARY KEY, text text NOT NULL)");
  lazywriter::PqxxReaderWriter notes{
      pg::table<Note>("notes", pg::key(&Note::name, "name"), pg::column(&Note::text, "text")),
      url(), options()};
  EXPECT_FALSE(notes.find(std::string("a\0b", 3)).has_value());
  EXPECT_FALSE(notes.find("\xFF\xFE").has_value());
  lazywriter::PqxxReaderWriter ids{
      pg::table<Note>("ids", pg::key(&Note::name, "name", "uuid"), pg::column(&Note::text, "text")),
      url(), options()};
  EXPECT_FALSE(ids.find("no uuid").has_value());
  Note known{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "x"};
  pgtest::save_one(ids, known);
  EXPECT_EQ(ids.find(known.name)->text, "x");
}

}  // namespace
