// Rows that the server refuses, at once or at COMMIT: only they are parked, and they are not lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cache_on_faults.hpp"

namespace {

using lazywriter::FlushResult;
using lazywriter::LazyWriterCache;
using lazywriter::WriteFailure;
using namespace pgtest;
using testing::ElementsAre;
using testing::HasSubstr;

struct State {
  const char* code;
  WriteFailure expected;
  /// Raised at COMMIT, it says nothing of whether that has happened.
  bool in_doubt_at_end = false;
};

class FaultyRows : public CacheOnFaults {
 protected:
  static constexpr std::array states{State{"02000", WriteFailure::rejected},
                                     State{"21000", WriteFailure::rejected},
                                     State{"22001", WriteFailure::rejected},
                                     State{"22P05", WriteFailure::rejected},
                                     State{"23502", WriteFailure::rejected},
                                     State{"23505", WriteFailure::rejected},
                                     State{"23514", WriteFailure::rejected},
                                     State{"23P01", WriteFailure::rejected},
                                     State{"44000", WriteFailure::rejected},
                                     State{"54000", WriteFailure::rejected},
                                     State{"P0001", WriteFailure::rejected},
                                     State{"P0002", WriteFailure::rejected},
                                     State{"HV000", WriteFailure::rejected},
                                     State{"ABCDE", WriteFailure::rejected},
                                     State{"08006", WriteFailure::unavailable, true},
                                     State{"0A000", WriteFailure::transient},
                                     State{"2200H", WriteFailure::transient},
                                     State{"25006", WriteFailure::unavailable, true},
                                     State{"26000", WriteFailure::transient},
                                     State{"28000", WriteFailure::unavailable},
                                     State{"3D000", WriteFailure::unavailable},
                                     State{"3F000", WriteFailure::rejected},
                                     State{"40001", WriteFailure::transient},
                                     State{"40P01", WriteFailure::transient},
                                     State{"42501", WriteFailure::rejected},
                                     State{"42P01", WriteFailure::rejected},
                                     State{"53100", WriteFailure::unavailable},
                                     State{"53200", WriteFailure::transient},
                                     State{"53300", WriteFailure::unavailable, true},
                                     State{"55P03", WriteFailure::transient},
                                     State{"57014", WriteFailure::transient},
                                     State{"57P01", WriteFailure::unavailable, true},
                                     State{"58030", WriteFailure::unavailable, true},
                                     State{"XX000", WriteFailure::transient}};

  /// Effect: one row of nine raises `state` for as long as the trigger is on.
  void raise(const State& state) {
    exec("TRUNCATE notes; ALTER TABLE notes ENABLE TRIGGER act");
    Cache cache{store(), by_hand()};
    const std::size_t told_before = log.lines().size();
    put_many(cache, "note ", 8);
    put(cache, {"note 4", state.code});
    const bool rejected = state.expected == WriteFailure::rejected;
    flush_all(cache, rejected ? 0 : 1);
    for (int again = 0; again < 5; ++again) {
      put(cache, {"later " + std::to_string(again), "fine"});  // stored by the same pass
      cache.flush();
    }
    EXPECT_EQ(cache.dirty_count(), rejected ? 0U : 1U);
    EXPECT_EQ(cache.parked().size(), rejected ? 1U : 0U);
    expect_readable(cache);
    expect_stored({"note 4"});

    exec("ALTER TABLE notes DISABLE TRIGGER act");
    EXPECT_EQ(cache.retry_parked(), rejected ? 1U : 0U);
    flush_all(cache);
    expect_stored();
    auto lines = log.lines();
    lines.erase(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(told_before));
    const std::string error = std::string("no ") + state.code;
    if (rejected) {
      EXPECT_THAT(lines, ElementsAre(says_parked("note 4", error)));
    } else if (state.expected == WriteFailure::unavailable && !(at_end_ && state.in_doubt_at_end)) {
      // That it is one item's shows when the store takes a single other one.
      EXPECT_THAT(lines, ElementsAre(says_down(error), says_alone("note 4", error), says_up()));
    } else {
      EXPECT_THAT(lines, ElementsAre(says_alone("note 4", error)));
    }
  }

  void raise_all(const std::string& when) {
    at_end_ = when == at_commit;
    exec("TRUNCATE notes");
    trigger(
        "IF NEW.text <> 'fine' THEN RAISE EXCEPTION USING ERRCODE = NEW.text, "
        "MESSAGE = 'no ' || NEW.text; END IF; RETURN NEW;",
        when);
    for (const State& state : states) {
      SCOPED_TRACE(state.code);
      raise(state);
    }
  }

  bool at_end_ = false;
};

TEST_F(FaultyRows, AnySqlstateOfARowHoldsUpThatRowOnly) {
  raise_all("BEFORE INSERT OR UPDATE");
}

TEST_F(FaultyRows, AnySqlstateOfARowAtCommitHoldsUpThatRowOnly) {
  raise_all(at_commit);
}

TEST_F(FaultyRows, EachRejectedRowIsParkedWithItsReasonAndTheOthersAreStored) {
  exec(
      "INSERT INTO notes VALUES ('foreign', 'fine', 'taken', 0); ALTER TABLE notes ADD CHECK "
      "(number >= 0)");
  trigger("IF NEW.text = 'suppressed' THEN RETURN NULL; END IF; RETURN NEW;");
  std::mt19937 random{1};
  std::string long_name(9000, ' ');  // not to be compressed
  for (char& c : long_name)
    c = static_cast<char>('0' + random() % 75);
  const std::vector<std::pair<Note, std::string>> guilty{
      {{"nul", std::string("a\0b", 3)}, "NUL"},
      {{"no UTF-8", "\xC3\x28"}, "encoding"},
      {{"out of range", "fine", {}, 1'000'000}, "overflow"},
      {{"forbidden", "fine", {}, -1}, "check constraint"},
      {{"not unique", "fine", "taken"}, "unique constraint"},
      {{"suppressed", "suppressed"}, "did not come back"},
      {{long_name, "fine"}, "index row"},
      {{std::string("nul\0key", 7), "fine"}, "NUL"}};
  Cache cache{store(), by_hand()};
  put_many(cache, "note ", 200);
  put(cache, {"foreign", "fine", "taken"});
  std::set<std::string> names;
  for (const auto& [note, reason] : guilty) {
    put(cache, note);
    names.insert(note.name);
  }
  flush_all(cache);
  EXPECT_EQ(parked_names(cache), names);
  expect_stored(names);
  expect_readable(cache);
  const auto parked = cache.parked();
  for (const auto& [note, reason] : guilty) {
    const auto found =
        std::find_if(parked.begin(), parked.end(),
                     [&name = note.name](const auto& unsaved) { return unsaved.key == name; });
    ASSERT_NE(found, parked.end()) << reason;
    EXPECT_THAT(found->error, HasSubstr(reason));
    EXPECT_EQ(found->item->text, note.text);
  }
  // Each parking was told once, and nothing else.
  EXPECT_EQ(log.lines().size(), guilty.size());
  EXPECT_THAT(log.lines(), testing::Each(HasSubstr("the store rejects it")));

  // A better value releases them; what no value can help is erased.
  erase(cache, long_name);
  erase(cache, std::string("nul\0key", 7));
  for (const char* const name :
       {"nul", "no UTF-8", "out of range", "forbidden", "not unique", "suppressed"}) {
    put(cache, {name, "better"});
  }
  EXPECT_TRUE(cache.flush().ok());
  expect_stored();
}

// ---- values handed on

TEST_F(FaultyRows, AUniqueValueIsHandedFromOneRowToAnother) {
  Cache cache{store(), by_hand()};
  put(cache, {"a", "fine", {}});
  put(cache, {"b", "fine", "L"});
  EXPECT_TRUE(cache.flush().ok());
  put(cache, {"a", "taker", "L"});  // comes first in the statement
  put(cache, {"b", "giver", {}});
  EXPECT_TRUE(cache.flush().ok());
  expect_stored();
  EXPECT_EQ(value("SELECT name FROM notes WHERE label = 'L'"), "a");
  put(cache, {"b", "heir", "L"});
  erase(cache, "a");
  EXPECT_TRUE(cache.flush().ok());
  expect_stored();
  EXPECT_EQ(value("SELECT name FROM notes WHERE label = 'L'"), "b");
  EXPECT_TRUE(log.lines().empty());
}

TEST_F(FaultyRows, AChainOfFortyHandedOnValuesIsStoredAndNothingParked) {
  Cache cache{store(), by_hand()};
  const auto put_chain = [&](int shift) {
    for (int i = 10; i < 50; ++i)
      put(cache, {"note " + std::to_string(i), "fine", "label " + std::to_string(i + shift)});
  };
  put_chain(0);
  flush_all(cache);
  put_chain(1);  // each takes the label of the next, which is saved after it
  flush_all(cache);
  EXPECT_EQ(cache.stats().parkings, 0U);
  expect_stored();
  EXPECT_EQ(value("SELECT count(*) FROM notes WHERE label = 'label ' || substr(name, 6)::int + 1"),
            "40");
  EXPECT_TRUE(log.lines().empty());
}

TEST_F(FaultyRows, ASwapOfUniqueValuesIsParkedReadableAndReleasedByAThirdValue) {
  Cache cache{store(), by_hand()};
  put(cache, {"a", "fine", "A"});
  put(cache, {"b", "fine", "B"});
  put(cache, {"c", "fine", "C"});
  EXPECT_TRUE(cache.flush().ok());
  put(cache, {"a", "swapped", "B"});
  put(cache, {"b", "swapped", "A"});
  put(cache, {"c", "bystander", "C"});
  flush_all(cache);
  EXPECT_EQ(parked_names(cache), (std::set<std::string>{"a", "b"}));
  expect_readable(cache);
  EXPECT_EQ(value("SELECT string_agg(name || label || text, ',' ORDER BY name) FROM notes"),
            "aAfine,bBfine,cCbystander");
  EXPECT_THAT(log.lines(), testing::UnorderedElementsAre(says_parked("a", "unique constraint"),
                                                         says_parked("b", "unique constraint")));
  put(cache, {"a", "swapped", {}});
  EXPECT_EQ(cache.retry_parked(), 1U);
  EXPECT_TRUE(cache.flush().ok());
  put(cache, {"a", "swapped", "B"});
  EXPECT_TRUE(cache.flush().ok());
  expect_stored();
  EXPECT_EQ(value("SELECT string_agg(name || label, ',' ORDER BY name) FROM notes"), "aB,bA,cC");
}

TEST_F(FaultyRows, ASwapIsStoredWhereTheConstraintIsDeferrable) {
  for (const std::string mode : {"IMMEDIATE", "DEFERRED"}) {
    exec(
        "TRUNCATE notes; ALTER TABLE notes DROP CONSTRAINT notes_label_key, ADD CONSTRAINT "
        "notes_label_key UNIQUE (label) DEFERRABLE INITIALLY " +
        mode);
    Cache cache{store(), by_hand()};
    put(cache, {"a", "fine", "A"});
    put(cache, {"b", "fine", "B"});
    EXPECT_TRUE(cache.flush().ok());
    put(cache, {"a", "swapped", "B"});
    put(cache, {"b", "swapped", "A"});
    EXPECT_TRUE(cache.flush().ok());
    expect_stored();
    EXPECT_EQ(value("SELECT string_agg(name || label, ',' ORDER BY name) FROM notes"), "aB,bA");
    EXPECT_TRUE(log.lines().empty());
  }
}

// ---- two caches

struct Remark {
  std::int64_t number{};
  std::string note;  // refers to notes
  std::int64_t key() const { return number; }
  void copy_key_data_from(const Remark&) {}
};
constexpr auto remarks = pg::table<Remark>("remarks", pg::key(&Remark::number, "number"),
                                           pg::column(&Remark::note, "note"));

TEST_F(FaultyRows, AChildThatComesBeforeItsParentInAnotherCacheIsStoredAfterIt) {
  for (const std::string when : {"IMMEDIATE", "DEFERRED"}) {
    exec(
        "TRUNCATE notes CASCADE; DROP TABLE IF EXISTS remarks; CREATE TABLE remarks (number bigint "
        "PRIMARY KEY, note text NOT NULL REFERENCES notes DEFERRABLE INITIALLY " +
        when + "); INSERT INTO notes VALUES ('known', 'fine', NULL, 0)");
    auto config = running();
    config.retry_backoff_max = 10s;  // nobody is parked before
    config.park_after = 2;
    const std::size_t told_before = log.lines().size();
    LazyWriterCache children{lazywriter::PqxxReaderWriter{remarks, url(), options()}, config};
    std::vector<testing::Matcher<std::string>> orphans_named;
    for (int i = 0; i < 30; ++i) {
      children.put(Remark{i, i % 3 == 0 ? "parent" : "known"});
      if (i % 3 != 0) continue;
      orphans_named.push_back(testing::AllOf(
          testing::StartsWith("remarks: " + std::to_string(i) +
                              " failed alone, it is kept and tried again apart from the others: "),
          HasSubstr("violates foreign key constraint")));
    }
    EXPECT_TRUE(eventually([&] { return value("SELECT count(*) FROM remarks") == "20"; }));
    EXPECT_TRUE(eventually([&] { return children.stats().failed_transactions > 30; }));
    // The database knows of a commit before the cache does.
    EXPECT_TRUE(eventually([&] { return children.dirty_count() == 10; }));
    EXPECT_TRUE(children.parked().empty());
    // By now each was rejected as often as parks, and only the time keeps it from that.
    children.flush();
    children.flush();
    Cache parents{store(), running()};
    put(parents, {"known", "fine"});
    put(parents, {"parent", "fine"});
    expect_recovery(parents);
    EXPECT_TRUE(eventually([&] { return !children.is_dirty(); }));
    children.flush();  // what the pass under way has to say was said
    EXPECT_EQ(children.stats().parkings, 0U);
    EXPECT_EQ(value("SELECT count(*) FROM remarks"), "30");
    auto lines = log.lines();
    lines.erase(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(told_before));
    EXPECT_THAT(lines, testing::UnorderedElementsAreArray(orphans_named));
  }
}

}  // namespace
