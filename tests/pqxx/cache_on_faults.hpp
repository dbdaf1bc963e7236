// A cache on the real adapter, and what every fault is asked: is all of it stored, is only the
// guilty parked, what did the log say.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "database.hpp"
#include "lazywriter/lazy_writer_cache.hpp"
#include "support/eventually.hpp"

namespace pgtest {
// Of a name of its own, since the tests share a program and the other kind of Note is in it, too.
inline namespace faulty_notes {

namespace pg = lazywriter::pg;
using namespace std::chrono_literals;
using lazywriter::testing::eventually;

struct Note {
  std::string name;
  std::string text;
  std::optional<std::string> label{};  // unique
  std::int64_t number{};
  std::int64_t id{};
  const std::string& key() const { return name; }
  void copy_key_data_from(const Note& stored) { id = stored.id; }
};

constexpr auto notes = pg::table<Note>(
    "notes", pg::key(&Note::name, "name"), pg::column(&Note::text, "text"),
    pg::column(&Note::label, "label"), pg::column(&Note::number, "number", "numeric(6)"),
    pg::generated(&Note::id, "id"));
using Store = decltype(lazywriter::PqxxReaderWriter{notes, std::string_view{}});
using Cache = lazywriter::LazyWriterCache<Note, Store>;

/// What the log says when the store begins to take nothing, and when it takes writes again.
inline auto says_down(const std::string& error) {
  return testing::AllOf(
      testing::StartsWith("notes: the store does not take writes, they are kept and tried again: "),
      testing::HasSubstr(error));
}
inline auto says_up() {
  return testing::StrEq("notes: the store takes writes again");
}
/// What it says of an item that fails while others are stored, and of one that is parked.
inline auto says_alone(const std::string& key, const std::string& error) {
  return testing::AllOf(
      testing::StartsWith("notes: \"" + key +
                          "\" failed alone, it is kept and tried again apart from "
                          "the others: "),
      testing::HasSubstr(error));
}
inline auto says_parked(const std::string& key, const std::string& error) {
  return testing::AllOf(
      testing::StartsWith("notes: parked \"" + key + "\", the store rejects it: "),
      testing::HasSubstr(error));
}

class CacheOnFaults : public Database {
 protected:
  void SetUp() override {
    Database::SetUp();
    exec(create_notes);
  }

  static constexpr const char* create_notes =
      "CREATE TABLE notes (name text PRIMARY KEY, text text NOT NULL, label text UNIQUE, number "
      "numeric(6) NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY)";

  /// No loops; a rejection counts at once and a few of them park.
  static lazywriter::CacheConfig by_hand() {
    lazywriter::CacheConfig config;
    config.flush_interval = config.prune_interval = 0ms;
    config.retry_backoff_min = config.retry_backoff_max = 0ms;
    config.close_timeout = 0ms;
    config.park_after = 2;
    return config;
  }

  /// The flush loop at work, impatient.
  static lazywriter::CacheConfig running() {
    lazywriter::CacheConfig config;
    config.flush_interval = 2ms;
    config.retry_backoff_min = 2ms;
    config.retry_backoff_max = 20ms;
    config.close_timeout = 20s;
    return config;
  }

  Store store() { return Store{notes, url(), options()}; }

  /// A trigger on notes whose body is `body`.
  void trigger(const std::string& body, const std::string& when = "BEFORE INSERT OR UPDATE") {
    const bool deferred = when.starts_with("AFTER");
    exec("CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN " + body +
         " END$$; CREATE " + (deferred ? "CONSTRAINT " : "") + "TRIGGER act " + when +
         " ON notes " + (deferred ? "DEFERRABLE INITIALLY DEFERRED " : "") +
         "FOR EACH ROW EXECUTE FUNCTION act()");
  }
  static constexpr const char* at_commit = "AFTER INSERT OR UPDATE";

  // Writes that the reference remembers.
  void put(Cache& cache, const Note& note) {
    cache.put(note);
    remember(note);
  }
  void remember(const Note& note) { reference_[note.name] = note.text; }
  void put_many(Cache& cache, const std::string& prefix, int count) {
    for (int i = 0; i < count; ++i)
      put(cache, {prefix + std::to_string(i), "fine"});
  }
  void erase(Cache& cache, const std::string& name) {
    cache.erase(name);
    reference_.erase(name);
  }

  /// Expects that the cache answers with every write, whatever the state of the store.
  void expect_readable(Cache& cache) {
    for (const auto& [name, text] : reference_) {
      const auto note = cache.peek(name);
      EXPECT_TRUE(note && note->text == text) << name;
    }
  }

  /// Expects that the table holds the reference, but for these rows.
  void expect_stored(const std::set<std::string>& missing = {}) {
    std::map<std::string, std::string> stored;
    const pqxx::result rows = admin().exec("SELECT name, text FROM notes");
    for (std::size_t row = 0; row < pg::detail::row_count(rows); ++row) {
      stored.emplace(pg::detail::field_text(rows, row, 0).value(),
                     pg::detail::field_text(rows, row, 1).value());
    }
    std::map<std::string, std::string> expected = reference_;
    for (const std::string& name : missing)
      expected.erase(name);
    EXPECT_EQ(stored, expected);
  }

  /// Effect: flushes by hand until nothing is dirty, or nothing but `left` entries.
  void flush_all(Cache& cache, std::size_t left = 0) {
    EXPECT_TRUE(eventually([&] { return cache.flush().pending == left; }));
  }

  /// Expects that the loop, left alone, comes to store all.
  void expect_recovery(Cache& cache) {
    EXPECT_TRUE(eventually([&] { return !cache.is_dirty(); })) << "dirty: " << cache.dirty_count();
    EXPECT_TRUE(cache.parked().empty());
    expect_readable(cache);
    expect_stored();
  }

  static std::set<std::string> parked_names(const Cache& cache) {
    std::set<std::string> names;
    for (const auto& unsaved : cache.parked())
      names.insert(unsaved.key);
    return names;
  }

  /// Returns: all that the log has been told. Waits for the pass under way, which tells the log
  /// only after the entries know what became of them: a flush has its turn after it.
  std::vector<std::string> told(Cache& cache) {
    cache.flush();
    return log.lines();
  }

  /// What a fault lets through, from which follows what the log is to say of it.
  enum class Takes { nothing, erases };

  /// Effect: a fault of the store, from `breaks()` to `mends()`, while the loop runs. Expects that
  /// meanwhile writes are kept, however often they are tried, that the log says so once, and that
  /// the loop writes all of them by itself afterwards.
  template <class Break, class Mend>
  void live_through(Cache& cache, Break breaks, Mend mends, const std::string& error,
                    Takes takes = Takes::nothing) {
    put_many(cache, "before ", 20);
    expect_recovery(cache);
    breaks();
    put_many(cache, "during ", 12);
    put(cache, {"before 1", "newer"});
    erase(cache, "before 2");
    const auto failed = cache.stats().failed_transactions;
    EXPECT_TRUE(eventually([&] { return cache.stats().failed_transactions > failed + 10; }));
    EXPECT_TRUE(cache.parked().empty());
    expect_readable(cache);
    mends();
    expect_recovery(cache);
    if (takes == Takes::nothing) {
      EXPECT_THAT(told(cache), testing::ElementsAre(says_down(error), says_up()));
    } else {
      std::set<std::string> failing{"before 1"};
      for (int i = 0; i < 12; ++i)
        failing.insert("during " + std::to_string(i));
      expect_told_of_items(told(cache), error, failing);
    }
  }

  /// Expects a log of a fault for which `failing` fail while one erase is stored. By what else is
  /// in its transactions, a pass finds that they fail alone, and names each of them once, or that
  /// the store takes nothing; it takes writes again with the erase, and with what is stored in the
  /// end.
  static void expect_told_of_items(const std::vector<std::string>& lines, const std::string& error,
                                   std::set<std::string> failing) {
    std::vector<std::string> of_the_store;
    for (const std::string& line : lines) {
      const auto named = std::find_if(failing.begin(), failing.end(), [&](const auto& key) {
        return testing::Matches(says_alone(key, error))(line);
      });
      if (named != failing.end()) {
        failing.erase(named);
      } else {
        of_the_store.push_back(line);
      }
    }
    EXPECT_FALSE(lines.empty());
    EXPECT_THAT(of_the_store,
                testing::AnyOf(
                    testing::IsEmpty(), testing::ElementsAre(says_down(error), says_up()),
                    testing::ElementsAre(says_down(error), says_up(), says_down(error), says_up())))
        << testing::PrintToString(lines);
  }

 private:
  std::map<std::string, std::string> reference_;  // name, text
};

}  // namespace faulty_notes
}  // namespace pgtest
